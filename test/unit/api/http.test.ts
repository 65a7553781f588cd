/** Small decisions of the HTTP side: ranges, access, problems, remembered answers. */
import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { test } from "node:test";
import { createGate, tokenHash } from "../../../coordinator/api/http/access.ts";
import { parseRange } from "../../../coordinator/api/http/bytes.ts";
import { RememberedAnswers } from "../../../coordinator/api/http/idempotency.ts";
import { problemOf, refusalOf } from "../../../coordinator/api/http/problem.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { type ActorId, OPERATOR_ACTOR, SYSTEM_ACTOR } from "../../../shared/model/ids.ts";

test("ranges", () => {
  const cases: [string | undefined, number, ReturnType<typeof parseRange>][] = [
    [undefined, 10, undefined],
    ["bytes=0-3", 10, [0, 4]],
    ["bytes=9-", 10, [9, 10]],
    ["bytes=3-99", 10, [3, 10]],
    ["bytes=-3", 10, [7, 10]],
    ["bytes=-30", 10, [0, 10]],
    ["bytes=10-", 10, "beyond"],
    ["bytes=0-", 0, "beyond"],
    ["bytes=-0", 10, "beyond"],
    ["bytes=-5", 0, "beyond"],
    ["bytes=5-3", 10, undefined],
    ["bytes=-", 10, undefined],
    ["bytes=a-b", 10, undefined],
    ["bytes=0-1,3-4", 10, undefined],
    ["bytes=9999999999999999-", 10, undefined],
    ["items=0-1", 10, undefined],
  ];
  for (const [header, size, expected] of cases) assert.deepEqual(parseRange(header, size), expected, header);
});

function request(options: { url?: string; headers?: Record<string, string>; remote?: string }): IncomingMessage {
  const { url = "/", headers = {}, remote = "10.0.0.1" } = options;
  return { url, headers, socket: { remoteAddress: remote } } as unknown as IncomingMessage;
}

const KNOWN = { kind: "known" } as const;
const OPEN = { kind: "open" } as const;
const LOOPBACK = { kind: "platform", permission: "operate", loopback: true } as const;

test("the gate", async () => {
  const gate = createGate(tokenHash("right"), async (token) => {
    return token === "session" ? { actor: 7 as ActorId, via: "session 3", scopes: null } : undefined;
  });
  const right = { authorization: "Bearer right" };
  const wrong = { authorization: "Bearer wrong" };
  assert.equal((await gate.admit(KNOWN, request({ headers: right }), "r")).actor, OPERATOR_ACTOR);
  assert.equal(
    (await gate.admit(KNOWN, request({ headers: { authorization: "bearer right" } }), "r")).actor,
    OPERATOR_ACTOR,
  );
  assert.equal((await gate.admit(OPEN, request({}), "r")).actor, SYSTEM_ACTOR);
  assert.deepEqual(await gate.admit(KNOWN, request({ headers: { authorization: "Bearer session" } }), "r"), {
    actor: 7,
    via: "session 3",
    scopes: null,
    address: "10.0.0.1",
    request: "r",
  });
  const refused = { code: "unauthorized" };
  for (const headers of [{}, wrong, { authorization: "right" }, { authorization: "Bearer " }]) {
    await assert.rejects(gate.admit(KNOWN, request({ headers, remote: "127.0.0.1" }), "r"), refused);
  }
  assert.equal((await gate.admit(LOOPBACK, request({ remote: "127.0.0.1" }), "r")).actor, SYSTEM_ACTOR);
  assert.equal((await gate.admit(LOOPBACK, request({ remote: "::ffff:127.0.0.1" }), "r")).actor, SYSTEM_ACTOR);
  assert.equal((await gate.admit(LOOPBACK, request({ remote: "::1" }), "r")).actor, SYSTEM_ACTOR);
  for (const remote of ["10.0.0.1", "::ffff:10.0.0.1", "fe80::1", ""]) {
    await assert.rejects(gate.admit(LOOPBACK, request({ remote }), "r"), refused, remote);
  }
  await assert.rejects(gate.admit(LOOPBACK, request({ remote: "127.0.0.1", headers: wrong }), "r"), refused);
  await assert.rejects(
    gate.admit(LOOPBACK, request({ remote: "::1", headers: { forwarded: "for=1.2.3.4" } }), "r"),
    refused,
  );
  // The subprotocol counts for sockets only.
  const protocols = { "sec-websocket-protocol": "airavata.events.1, airavata.bearer.right" };
  await assert.rejects(gate.admit(KNOWN, request({ headers: protocols }), "r"), refused);
  assert.equal(
    (await gate.admit(KNOWN, request({ headers: { ...protocols, upgrade: "websocket" } }), "r")).actor,
    OPERATOR_ACTOR,
  );
  await assert.rejects(gate.admit(OPEN, request({ url: "/x?token=right" }), "r"), { code: "token_in_query" });
});

test("the gate believes what a coordinator states, and no more than it states", async () => {
  const gate = createGate(tokenHash("right"), async () => undefined);
  const stated = { actor: OPERATOR_ACTOR, client: "192.0.2.1", request: "r", via: "operator_token", scopes: null };
  const said = { via: "operator_token", scopes: null, address: "192.0.2.1", request: "r" };
  assert.deepEqual(await gate.admit(KNOWN, request({}), "r", stated), { actor: OPERATOR_ACTOR, ...said, stated });
  const limited = { ...stated, actor: 7 as ActorId, via: "token 4", scopes: ["read"] as const };
  assert.deepEqual((await gate.admit(KNOWN, request({}), "r", limited)).scopes, new Set(["read"]));
  const nobody = { ...stated, actor: SYSTEM_ACTOR };
  assert.deepEqual(await gate.admit(OPEN, request({}), "r", nobody), { actor: SYSTEM_ACTOR, ...said, stated: nobody });
  for (const need of [KNOWN, LOOPBACK]) {
    await assert.rejects(gate.admit(need, request({ remote: "127.0.0.1" }), "r", nobody), { code: "unauthorized" });
  }
});

test("what was not foreseen tells nothing of itself", () => {
  const { problem } = problemOf(refusalOf(new Error("password is hunter2")), "r-1");
  assert.deepEqual([problem.status, problem.code, problem.request_id], [500, "internal", "r-1"]);
  assert.doesNotMatch(JSON.stringify(problem), /hunter2/);
  const known = problemOf(new AiravataError("agent_offline", "agent 3 is away\u001b[31m"), "r-2");
  assert.deepEqual([known.problem.status, known.retryAfter], [503, 1]);
  assert.equal(known.problem.detail, "agent 3 is away\\u001b[31m");
});

test("a remembered answer is made once, and again only when it failed or is a day old", async () => {
  let nowMs = 0;
  const answers = new RememberedAnswers<number>(() => nowMs);
  let made = 0;
  const make = async (): Promise<number> => ++made;
  const key = { key: "k", bodyHash: "h" };
  assert.deepEqual(await answers.once(null, make), { answer: 1, replayed: false });
  const both = await Promise.all([answers.once(key, make), answers.once(key, make)]);
  assert.deepEqual(both, [
    { answer: 2, replayed: false },
    { answer: 2, replayed: true },
  ]);
  await assert.rejects(answers.once({ ...key, bodyHash: "other" }, make), { code: "idempotency_key_reused" });
  nowMs = 24 * 3_600_000 + 1;
  assert.deepEqual(await answers.once({ ...key, bodyHash: "other" }, make), { answer: 3, replayed: false });
  const failing = { key: "f", bodyHash: "h" };
  await assert.rejects(answers.once(failing, () => Promise.reject(new Error("no"))));
  assert.deepEqual(await answers.once(failing, make), { answer: 4, replayed: false });
});
