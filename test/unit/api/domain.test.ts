/** Pure decisions of the domain: scopes, grouped failures, identities. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import {
  checkHello,
  newEnrolmentToken,
  parsePublicKey,
  secretHash,
} from "../../../coordinator/domain/agent/identity.ts";
import { scopeOf } from "../../../coordinator/domain/experiment/decide.ts";
import { groupFailures } from "../../../coordinator/domain/experiment/explain.ts";
import type { FoundExperiment } from "../../../coordinator/domain/experiment/find.ts";
import type { StoredAttempt } from "../../../coordinator/store/records.ts";
import { generateIdentityKey, readIdentityKey, signHello } from "../../../shared/identity/identity.ts";
import { Blame, Outcome } from "../../../shared/model/attempt.ts";
import type { AgentId } from "../../../shared/model/ids.ts";
import { PROTOCOL_VERSION } from "../../../shared/protocol/messages.ts";

const found = {
  record: { experiment: 17 },
  definition: {
    templates: [
      { ordinal: 0, name: "dock", count: 100 },
      { ordinal: 1, name: "report", count: 10 },
    ],
  },
} as unknown as FoundExperiment;

test("names of tasks become sorted ranges, each task once", () => {
  const names = ["17.dock.5", "17.dock.3", "17.0.4", "17.report.9", "17.dock.4", "17.dock.99"];
  assert.deepEqual(scopeOf(found, names), [
    {
      template: 0,
      ranges: [
        [3, 5],
        [99, 99],
      ],
    },
    { template: 1, ranges: [[9, 9]] },
  ]);
  for (const name of ["18.dock.1", "17.dock.100", "17.zz.1", "17.2.1", "17.dock", "17.dock.-1"]) {
    assert.throws(() => scopeOf(found, [name]), { code: "task_not_found" }, name);
  }
});

test("failures with one cause are one group, with an example that says something", () => {
  const failure = (template: number, index: number, change: Partial<StoredAttempt>) => ({
    template,
    ...({ index, attempt: 1, outcome: Outcome.FAILED, blame: Blame.EXIT, exitCode: 1, signal: 0 } as StoredAttempt),
    tail: null,
    detail: null,
    ...change,
  });
  const groups = groupFailures(found, [
    failure(1, 0, { blame: Blame.SIGNAL, exitCode: -1, signal: 9 }),
    failure(0, 7, {}),
    failure(0, 8, { tail: "no such file" }),
    failure(0, 9, { tail: "another" }),
    failure(0, 10, { outcome: Outcome.CANCELED, blame: Blame.CANCELED }),
  ]);
  assert.deepEqual(
    groups.map(({ template, tasks, example, tail }) => [template, tasks, example, tail]),
    [
      ["dock", 3, "17.dock.8", "no such file"],
      ["report", 1, "17.report.0", null],
    ],
  );
});

test("only Ed25519 keys are identities", () => {
  const { publicKey } = generateIdentityKey();
  assert.ok(parsePublicKey(publicKey).equals(Buffer.from(publicKey, "base64")));
  const rsa = generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey.export({ type: "spki", format: "der" });
  const x25519 = generateKeyPairSync("x25519").publicKey.export({ type: "spki", format: "der" });
  for (const der of [rsa, x25519, Buffer.alloc(0), Buffer.alloc(32)]) {
    assert.throws(() => parsePublicKey(der.toString("base64")), { code: "request_invalid" });
  }
});

test("tokens are random, and known by their hash alone", () => {
  const token = newEnrolmentToken();
  assert.match(token, /^aet_[A-Za-z0-9_-]{43}$/);
  assert.notEqual(token, newEnrolmentToken());
  assert.equal(secretHash(token).length, 32);
});

test("a proof holds for its own nonce, timeline, agent, name and key, and for nothing else", async () => {
  const { privatePem, publicKey } = generateIdentityKey();
  const claim = { nonce: "n", timeline: 1, agent: 3, name: "node" };
  const proof = signHello(readIdentityKey(privatePem), claim);
  const hello = { version: 1, agent: 3 as AgentId, name: "node", proof } as Parameters<typeof checkHello>[0];
  const rest = { serves: null, computeResource: null, revoked: false };
  const identity = { name: "node", publicKey: parsePublicKey(publicKey), ...rest };
  assert.equal(await checkHello(hello, "n", 1, identity), identity);
  // Only whoever holds its key is told that it was revoked.
  const revoked = { ...identity, revoked: true };
  await assert.rejects(checkHello(hello, "n", 1, revoked), { code: "agent_revoked" });
  await assert.rejects(checkHello(hello, "m", 1, revoked), { code: "hello_refused" });
  const refused = { code: "hello_refused" };
  await assert.rejects(checkHello(hello, "m", 1, identity), refused);
  await assert.rejects(checkHello(hello, "n", 2, identity), refused);
  await assert.rejects(checkHello({ ...hello, agent: 4 as AgentId }, "n", 1, identity), refused);
  await assert.rejects(checkHello({ ...hello, name: "other" }, "n", 1, { ...identity, name: "other" }), refused);
  await assert.rejects(checkHello(hello, "n", 1, { ...identity, name: "other" }), refused);
  await assert.rejects(checkHello(hello, "n", 1, undefined), refused);
  await assert.rejects(checkHello({ ...hello, proof: "!!" }, "n", 1, identity), refused);
  const other = { ...identity, publicKey: parsePublicKey(generateIdentityKey().publicKey) };
  await assert.rejects(checkHello(hello, "n", 1, other), refused);
  await assert.rejects(checkHello({ ...hello, version: PROTOCOL_VERSION + 1 }, "n", 1, identity), {
    code: "protocol_version_unsupported",
  });
});
