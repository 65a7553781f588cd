/** Enrolment: one token, one agent, whatever races; and what becomes of identities. */
import assert from "node:assert/strict";
import { createHash, generateKeyPairSync } from "node:crypto";
import { type TestContext, test } from "node:test";
import { createStore, type Store } from "../../../coordinator/store/store.ts";
import { type AgentId, OPERATOR_ACTOR } from "../../../shared/model/ids.ts";
import { freshDatabase, type TestDatabase } from "../../support/postgres.ts";

const hash = (secret: string): Buffer => createHash("sha256").update(secret).digest();
const newKey = (): Buffer => generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "der" });

const BY = { actor: OPERATOR_ACTOR, via: "test", address: null, request: null };

async function stage(
  t: TestContext,
): Promise<{ store: Store; database: TestDatabase; token(secret: string): Promise<number> }> {
  const database = await freshDatabase(t);
  const store = createStore(database.url);
  database.defer(() => store.close());
  const token = async (secret: string): Promise<number> => {
    const fields = { note: "for a test", computeResource: "cluster", by: BY, lastsMs: 60_000 };
    return (await store.enrolment.create({ serves: null, secretHash: hash(secret), ...fields })).stored.id;
  };
  return { store, database, token };
}

test("a token makes one identity, and is used up", async (t) => {
  const { store, token } = await stage(t);
  const id = await token("s");
  const publicKey = newKey();
  const { agent, name } = await store.agents.enrol({ secretHash: hash("s"), name: "node-1", publicKey });
  assert.equal(name, "node-1");
  assert.deepEqual(await store.agents.identity(agent), { name: "node-1", publicKey, serves: null });
  const found = await store.agents.find(agent);
  assert.deepEqual([found?.name, found?.computeResource, found?.revokedAtMs], ["node-1", "cluster", null]);
  const used = await store.enrolment.find(id);
  assert.equal(used?.agent, agent);
  assert.ok((used?.usedAtMs ?? 0) > 0);
  const again = store.agents.enrol({ secretHash: hash("s"), name: "node-2", publicKey: newKey() });
  await assert.rejects(again, { code: "enrolment_token_used" });
});

test("an agent whose answer was lost asks again and is the same", async (t) => {
  const { store, token } = await stage(t);
  await token("s");
  const request = { secretHash: hash("s"), name: "node-1", publicKey: newKey() };
  const first = await store.agents.enrol(request);
  assert.ok(first.relationship > 0);
  assert.deepEqual(await store.agents.enrol(request), { ...first, relationship: 0 });
});

test("of many that race with one token exactly one is enrolled", async (t) => {
  const { store, token } = await stage(t);
  await token("s");
  const racing = Array.from({ length: 8 }, (_, i) =>
    store.agents.enrol({ secretHash: hash("s"), name: `n${i}`, publicKey: newKey() }),
  );
  const settled = await Promise.allSettled(racing);
  assert.equal(settled.filter(({ status }) => status === "fulfilled").length, 1);
  assert.equal((await store.agents.list(0, 10)).length, 1);
});

test("a name that is taken costs no token", async (t) => {
  const { store, token } = await stage(t);
  await token("s1");
  await token("s2");
  const { agent } = await store.agents.enrol({ secretHash: hash("s1"), name: "node", publicKey: newKey() });
  const second = { secretHash: hash("s2"), name: "node", publicKey: newKey() };
  await assert.rejects(store.agents.enrol(second), { code: "agent_name_taken" });
  assert.equal(await store.agents.revoke(agent), true);
  assert.notEqual((await store.agents.enrol(second)).agent, agent);
});

test("unknown, expired and revoked tokens are refused", async (t) => {
  const { store, database, token } = await stage(t);
  const attempt = (secret: string) => store.agents.enrol({ secretHash: hash(secret), name: "n", publicKey: newKey() });
  await assert.rejects(attempt("never made"), { code: "enrolment_token_invalid" });
  const revoked = await token("revoked");
  assert.equal(await store.enrolment.revoke(revoked), true);
  assert.equal(await store.enrolment.revoke(revoked), false);
  await assert.rejects(attempt("revoked"), { code: "enrolment_token_invalid" });
  await token("expired");
  const sql = await database.connect();
  await sql.query(
    "update enrolment_token set created_at = now() - interval '2 h', expires_at = now() - interval '1 h'",
    5_000,
  );
  await assert.rejects(attempt("expired"), { code: "enrolment_token_invalid" });
});

test("a revoked agent has no identity, a changed key is the one that counts", async (t) => {
  const { store, token } = await stage(t);
  await token("s");
  const { agent } = await store.agents.enrol({ secretHash: hash("s"), name: "node", publicKey: newKey() });
  const next = newKey();
  assert.equal(await store.agents.changeKey(agent, next), true);
  assert.deepEqual((await store.agents.identity(agent))?.publicKey, next);
  await store.agents.noteRoot(agent, "host:/scratch");
  assert.equal(await store.agents.revoke(agent), true);
  assert.equal(await store.agents.revoke(agent), false);
  assert.equal(await store.agents.changeKey(agent, newKey()), false);
  assert.equal(await store.agents.identity(agent), undefined);
  assert.equal((await store.agents.find(agent))?.name, "node");
  assert.deepEqual(await store.agents.list(0, 10), []);
  assert.equal(await store.agents.identity(99 as AgentId), undefined);
});

test("lists go page by page", async (t) => {
  const { store, token } = await stage(t);
  for (const name of ["a", "b", "c"]) {
    await token(name);
    await store.agents.enrol({ secretHash: hash(name), name, publicKey: newKey() });
  }
  const [first, second] = await store.agents.list(0, 2);
  assert.deepEqual([first?.name, second?.name], ["a", "b"]);
  assert.deepEqual(
    (await store.agents.list(second?.agent ?? 0, 2)).map(({ name }) => name),
    ["c"],
  );
  const tokens = await store.enrolment.list(null, 2);
  assert.deepEqual(
    tokens.map(({ id }) => id),
    [3, 2],
  );
  assert.deepEqual(
    (await store.enrolment.list(2, 2)).map(({ id }) => id),
    [1],
  );
});

test("keys asked for at once come together, each agent its own, and none of the revoked", async (t) => {
  const { store, token } = await stage(t);
  const keys = await Promise.all(
    Array.from({ length: 30 }, async (_, i) => {
      await token(`s${i}`);
      const publicKey = newKey();
      const { agent } = await store.agents.enrol({ secretHash: hash(`s${i}`), name: `n${i}`, publicKey });
      return { agent, publicKey };
    }),
  );
  const [gone, ...others] = keys as [(typeof keys)[number], ...typeof keys];
  const asked = keys.map(({ agent }) => store.agents.identity(agent));
  await store.agents.revoke(gone.agent);
  const after = store.agents.identity(gone.agent);
  const found = await Promise.all(asked);
  for (const [i, { publicKey }] of others.entries())
    assert.deepEqual(found[i + 1], { name: `n${i + 1}`, publicKey, serves: null });
  assert.equal(await after, undefined, "whoever was revoked before the question is refused");
  assert.equal(await store.agents.identity(999_999 as AgentId), undefined);
});

test("absences are those that were kept last, and whoever leads next loads them", async (t) => {
  const { store, token } = await stage(t);
  const agents: AgentId[] = [];
  for (const name of ["node-1", "node-2", "node-3"]) {
    await token(name);
    agents.push((await store.agents.enrol({ secretHash: hash(name), name, publicKey: newKey() })).agent);
  }
  const [first, second, third] = agents as [AgentId, AgentId, AgentId];
  await store.agents.keepAbsences([
    { agent: first, sinceMs: 1_000 },
    { agent: second, sinceMs: 2_000 },
  ]);
  const kept = [
    { agent: second, sinceMs: 2_500 },
    { agent: third, sinceMs: 3_000 },
  ];
  await store.agents.keepAbsences(kept);
  const reign = await store.leadership(0, "127.0.0.1:1").campaign(AbortSignal.timeout(60_000));
  const { absences = [] } = await reign.load();
  await reign.resign();
  assert.deepEqual(
    absences.sort((a, b) => a.agent - b.agent),
    kept,
  );
  await store.agents.keepAbsences([]);
});
