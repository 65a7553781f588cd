/** Statements between coordinators: genuine ones are read once, and secrets are shared by two and differ by everything. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createIdentity } from "../../../coordinator/domain/forward/identity.ts";
import { Peers } from "../../../coordinator/domain/forward/peers.ts";
import { createStatementReader, StatementWriter, UsedNumbers } from "../../../coordinator/domain/forward/statement.ts";
import { type ActorId, OPERATOR_ACTOR, SYSTEM_ACTOR } from "../../../shared/model/ids.ts";

const SEALED = { method: "POST", url: "/api/v1/experiments?x=1" };
const SAID = {
  actor: OPERATOR_ACTOR,
  client: "::ffff:192.0.2.1",
  request: "0b9f9a54-7f5e-4a35-9d3c-3d1b2f6f0a11",
  via: "operator_token",
  scopes: null,
};

test("two coordinators share a secret that differs by pair, term and direction", () => {
  const [a, b, c] = [createIdentity(), createIdentity(), createIdentity()];
  const secret = a.secretWith(b, 3, "to");
  assert.deepEqual(secret, b.secretWith(a, 3, "from"));
  assert.equal(secret.length, 32);
  for (const other of [
    a.secretWith(b, 4, "to"),
    a.secretWith(b, 3, "from"),
    a.secretWith(c, 3, "to"),
    a.secretWith({ id: c.id, publicKey: b.publicKey }, 3, "to"),
  ]) {
    assert.notDeepEqual(other, secret);
  }
  assert.throws(() => a.secretWith({ id: b.id, publicKey: Buffer.alloc(44) }, 3, "to"));
});

test("a statement is read as it was written, once, in its term and for its request", async () => {
  const secret = Buffer.alloc(32, 1);
  const writer = new StatementWriter("a".repeat(32));
  let term: number | undefined = 3;
  const reader = createStatementReader({ term: () => term, secretFrom: async () => secret });
  const text = writer.write({ term: 3, secret }, SAID, SEALED);
  const refused = { code: "forward_refused" };
  await assert.rejects(reader.read(text, { ...SEALED, method: "GET" }), refused);
  await assert.rejects(reader.read(text, { ...SEALED, url: "/api/v1/experiments?x=2" }), refused);
  await assert.rejects(reader.read(text.replace("192.0.2.1", "192.0.2.2"), SEALED), refused);
  assert.deepEqual(await reader.read(text, SEALED), SAID);
  await assert.rejects(reader.read(text, SEALED), refused);
  const other = writer.write({ term: 3, secret: Buffer.alloc(32, 2) }, SAID, SEALED);
  await assert.rejects(reader.read(other, SEALED), refused);
  const later = writer.write({ term: 4, secret }, SAID, SEALED);
  await assert.rejects(reader.read(later, SEALED), { code: "not_leading" });
  term = undefined;
  await assert.rejects(reader.read(later, SEALED), { code: "not_leading" });
  term = 4;
  assert.deepEqual(await reader.read(later, SEALED), SAID);
  await assert.rejects(reader.read(text, SEALED), { code: "not_leading" });
});

test("what a person's token is limited to goes with him; the operator and nobody are stated as ever", async () => {
  const secret = Buffer.alloc(32, 1);
  const writer = new StatementWriter("a".repeat(32));
  const reader = createStatementReader({ term: () => 3, secretFrom: async () => secret });
  const person = { ...SAID, actor: 107 as ActorId };
  for (const said of [
    { ...person, via: "session 17", scopes: null },
    { ...person, via: "token 4", scopes: ["read", "experiments"] as const },
    { ...person, via: "token 5", scopes: [] },
    { ...SAID, via: "token 4", scopes: null },
  ]) {
    const text = writer.write({ term: 3, secret }, said, SEALED);
    assert.match(text, /^2 /);
    assert.deepEqual(await reader.read(text, SEALED), said);
  }
  assert.match(writer.write({ term: 3, secret }, SAID, SEALED), /^1 /);
  const nobody = { ...SAID, actor: SYSTEM_ACTOR, via: "nobody" };
  const text = writer.write({ term: 3, secret }, nobody, SEALED);
  assert.match(text, /^1 /);
  assert.deepEqual(await reader.read(text, SEALED), nobody);
});

test("a client's address that is none does not get into the statement", async () => {
  const secret = Buffer.alloc(32, 1);
  const reader = createStatementReader({ term: () => 1, secretFrom: async () => secret });
  const said = { ...SAID, client: "a b\n1" };
  const text = new StatementWriter("a".repeat(32)).write({ term: 1, secret }, said, SEALED);
  assert.equal((await reader.read(text, SEALED)).client, "unknown");
});

test("leadership that is lost while a key is looked up: not read", async () => {
  const secret = Buffer.alloc(32, 1);
  let term: number | undefined = 1;
  const reader = createStatementReader({
    term: () => term,
    secretFrom: async () => {
      term = undefined;
      return secret;
    },
  });
  const text = new StatementWriter("a".repeat(32)).write({ term: 1, secret }, SAID, SEALED);
  await assert.rejects(reader.read(text, SEALED), { code: "not_leading" });
});

test("numbers are used once, in any order that requests may overtake each other in", () => {
  const numbers = new UsedNumbers();
  for (const number of [2, 1, 5, 3, 4]) assert.equal(numbers.use(number), true);
  for (const number of [1, 2, 3, 4, 5]) assert.equal(numbers.use(number), false);
  assert.equal(numbers.use(16_384 + 1), true);
  assert.equal(numbers.use(1), false);
  assert.equal(numbers.use(16_384 + 1), false);
  assert.equal(numbers.use(0), false);
});

test("keys are read when a stranger comes, once for all who wait, and not again at once", async () => {
  const [own, other] = [createIdentity(), createIdentity()];
  let readings = 0;
  let published: { id: string; publicKey: Buffer }[] = [];
  const peers = new Peers(own, async () => {
    readings++;
    return published;
  });
  const strangers = Array.from({ length: 50 }, (_, i) => peers.secretFrom(String(i), 1));
  assert.deepEqual(new Set(await Promise.all(strangers)), new Set([undefined]));
  assert.equal(readings, 1);
  published = [{ id: other.id, publicKey: other.publicKey }];
  const began = performance.now();
  assert.deepEqual(await peers.secretFrom(other.id, 1), other.secretWith(own, 1, "to"));
  assert.ok(performance.now() - began > 100);
  assert.equal(readings, 2);
  assert.deepEqual(await peers.secretFrom(other.id, 2), other.secretWith(own, 2, "to"));
  assert.equal(readings, 2);
  // Gone from the list at the next reading: its secrets go too.
  published = [];
  await peers.secretFrom("stranger", 2);
  assert.equal(await peers.secretFrom(other.id, 2), undefined);
});
