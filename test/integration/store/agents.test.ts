/** Enrolment: one token, one agent, whatever races; and what becomes of identities. */
import assert from "node:assert/strict";
import { createHash, generateKeyPairSync } from "node:crypto";
import { type TestContext, test } from "node:test";
import { createStore, type Store } from "../../../coordinator/store/store.ts";
import { type AgentId, OPERATOR_ACTOR } from "../../../shared/model/ids.ts";
import { freshDatabase, type TestDatabase } from "../../support/postgres.ts";

const hash = (secret: string): Buffer => createHash("sha256").update(secret).digest();
const BY = { actor: OPERATOR_ACTOR, via: "test", address: "192.0.2.1", request: null };
const newKey = (): Buffer => generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "der" });

async function stage(
  t: TestContext,
): Promise<{ store: Store; database: TestDatabase; token(secret: string, usesMax?: number): Promise<number> }> {
  const database = await freshDatabase(t);
  const store = createStore(database.url);
  database.defer(() => store.close());
  const token = async (secret: string, usesMax = 1): Promise<number> => {
    const fields = { note: "for a test", computeResource: "cluster", usesMax, lastsMs: 60_000 };
    return (await store.enrolment.create({ serves: null, secretHash: hash(secret), ...fields }, BY)).stored.id;
  };
  return { store, database, token };
}

test("a token makes one identity, and is used up", async (t) => {
  const { store, token } = await stage(t);
  const id = await token("s");
  const publicKey = newKey();
  const { agent, name } = await store.agents.enrol({ secretHash: hash("s"), name: "node-1", publicKey }, BY);
  assert.equal(name, "node-1");
  assert.deepEqual(await store.agents.identity(agent), {
    name: "node-1",
    publicKey,
    serves: null,
    computeResource: "cluster",
    revoked: false,
  });
  const found = await store.agents.find(agent);
  assert.deepEqual([found?.name, found?.computeResource, found?.revokedAtMs], ["node-1", "cluster", null]);
  const used = await store.enrolment.find(id);
  assert.equal(used?.agent, agent);
  assert.ok((used?.usedAtMs ?? 0) > 0);
  const again = store.agents.enrol({ secretHash: hash("s"), name: "node-2", publicKey: newKey() }, BY);
  await assert.rejects(again, { code: "enrolment_token_used" });
});

test("an agent whose answer was lost asks again and is the same", async (t) => {
  const { store, token } = await stage(t);
  await token("s");
  const request = { secretHash: hash("s"), name: "node-1", publicKey: newKey() };
  const first = await store.agents.enrol(request, BY);
  assert.deepEqual(await store.agents.enrol(request, BY), { ...first, relationship: 0 });
});

test("of many that race with one token exactly one is enrolled", async (t) => {
  const { store, token } = await stage(t);
  await token("s");
  const racing = Array.from({ length: 8 }, (_, i) =>
    store.agents.enrol({ secretHash: hash("s"), name: `n${i}`, publicKey: newKey() }, BY),
  );
  const settled = await Promise.allSettled(racing);
  assert.equal(settled.filter(({ status }) => status === "fulfilled").length, 1);
  assert.equal((await store.agents.list(0, 10)).length, 1);
});

test("a name that is taken costs no token", async (t) => {
  const { store, token } = await stage(t);
  await token("s1");
  await token("s2");
  const { agent } = await store.agents.enrol({ secretHash: hash("s1"), name: "node", publicKey: newKey() }, BY);
  const second = { secretHash: hash("s2"), name: "node", publicKey: newKey() };
  await assert.rejects(store.agents.enrol(second, BY), { code: "agent_name_taken" });
  assert.ok(await store.agents.revoke(agent, "", BY));
  assert.notEqual((await store.agents.enrol(second, BY)).agent, agent);
});

test("unknown, expired and revoked tokens are refused", async (t) => {
  const { store, database, token } = await stage(t);
  const attempt = (secret: string) =>
    store.agents.enrol({ secretHash: hash(secret), name: "n", publicKey: newKey() }, BY);
  await assert.rejects(attempt("never made"), { code: "enrolment_token_invalid" });
  const revoked = await token("revoked");
  assert.equal(await store.enrolment.revoke(revoked, BY), true);
  assert.equal(await store.enrolment.revoke(revoked, BY), false);
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
  const first = newKey();
  const { agent } = await store.agents.enrol({ secretHash: hash("s"), name: "node", publicKey: first }, BY);
  const next = newKey();
  assert.equal(await store.agents.changeKey({ agent, before: next, after: newKey() }, BY), false);
  assert.equal(await store.agents.changeKey({ agent, before: first, after: next }, BY), true);
  assert.deepEqual((await store.agents.identity(agent))?.publicKey, next);
  await store.agents.noteRoot(agent, "host:/scratch");
  assert.ok(await store.agents.revoke(agent, "", BY));
  assert.equal(await store.agents.revoke(agent, "", BY), undefined);
  assert.equal(await store.agents.changeKey({ agent, before: next, after: newKey() }, BY), false);
  assert.equal((await store.agents.identity(agent))?.revoked, true);
  assert.equal((await store.agents.find(agent))?.name, "node");
  assert.deepEqual(await store.agents.list(0, 10), []);
  assert.equal(await store.agents.identity(99 as AgentId), undefined);
});

test("lists go page by page", async (t) => {
  const { store, token } = await stage(t);
  for (const name of ["a", "b", "c"]) {
    await token(name);
    await store.agents.enrol({ secretHash: hash(name), name, publicKey: newKey() }, BY);
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
      const { agent } = await store.agents.enrol({ secretHash: hash(`s${i}`), name: `n${i}`, publicKey }, BY);
      return { agent, publicKey };
    }),
  );
  const [gone, ...others] = keys as [(typeof keys)[number], ...typeof keys];
  const asked = keys.map(({ agent }) => store.agents.identity(agent));
  await store.agents.revoke(gone.agent, "", BY);
  const after = store.agents.identity(gone.agent);
  const found = await Promise.all(asked);
  for (const [i, { publicKey }] of others.entries())
    assert.deepEqual(found[i + 1], {
      name: `n${i + 1}`,
      publicKey,
      serves: null,
      computeResource: "cluster",
      revoked: false,
    });
  assert.equal((await after)?.revoked, true, "whoever was revoked before the question is refused");
  assert.equal(await store.agents.identity(999_999 as AgentId), undefined);
});

test("absences are those that were kept last, and whoever leads next loads them", async (t) => {
  const { store, token } = await stage(t);
  const agents: AgentId[] = [];
  for (const name of ["node-1", "node-2", "node-3"]) {
    await token(name);
    agents.push((await store.agents.enrol({ secretHash: hash(name), name, publicKey: newKey() }, BY)).agent);
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

test("a token of several uses lets so many in, whatever races, and shows who they were", async (t) => {
  const { store, database, token } = await stage(t);
  const id = await token("s", 3);
  const racing = Array.from({ length: 6 }, (_, i) =>
    store.agents.enrol({ secretHash: hash("s"), name: `n${i}`, publicKey: newKey() }, BY),
  );
  const settled = await Promise.allSettled(racing);
  assert.equal(settled.filter(({ status }) => status === "fulfilled").length, 3);
  for (const { reason } of settled.filter((one) => one.status === "rejected")) {
    assert.equal(reason.code, "enrolment_token_used");
  }
  const used = await store.enrolment.find(id);
  assert.deepEqual([used?.uses, used?.usesMax, used?.usedAtMs === null], [3, 3, false]);
  const uses = await store.enrolment.uses(id, 10);
  assert.deepEqual(
    uses.map(({ agent }) => agent),
    (await store.agents.list(0, 10)).map(({ agent }) => agent),
  );
  assert.equal(uses[0]?.address, "192.0.2.1");
  const sql = await database.connect();
  const entries = await sql.rows<{ action: string; n: string }>(
    "select action, count(*) as n from audit where action like 'enrolment.%' or action like 'agent.%' group by 1 order by 1",
    [],
    5_000,
  );
  assert.deepEqual(
    entries.map(({ action, n }) => [action, Number(n)]),
    [
      ["agent.enrol", 3],
      ["enrolment.create", 1],
    ],
  );
  const leaked = await sql.rows(
    "select from audit where before::text || after::text like '%' || $1 || '%'",
    [hash("s").toString("hex")],
    5_000,
  );
  assert.equal(leaked.length, 0);
});

test("a token that is partly used can be revoked; whoever came in by it asks again and is the same", async (t) => {
  const { store, token } = await stage(t);
  const id = await token("s", 2);
  const request = { secretHash: hash("s"), name: "node-1", publicKey: newKey() };
  const first = await store.agents.enrol(request, BY);
  assert.equal(await store.enrolment.revoke(id, BY), true);
  const again = await store.agents.enrol(request, BY);
  assert.deepEqual([again.agent, again.relationship], [first.agent, 0]);
  const other = store.agents.enrol({ ...request, name: "node-2", publicKey: newKey() }, BY);
  await assert.rejects(other, { code: "enrolment_token_invalid" });
});

test("an agent that says where it is must say what its token says", async (t) => {
  const { store, token } = await stage(t);
  await token("s");
  const request = { secretHash: hash("s"), name: "node-1", publicKey: newKey() };
  const elsewhere = store.agents.enrol({ ...request, computeResource: "other" }, BY);
  await assert.rejects(elsewhere, { code: "enrolment_elsewhere", message: /"other".*is for "cluster"/ });
  assert.equal((await store.agents.enrol({ ...request, computeResource: "cluster" }, BY)).computeResource, "cluster");
});

test("relationships come with tokens and agents, and those of a revoked agent go with it", async (t) => {
  const { store, database, token } = await stage(t);
  const sql = await database.connect();
  const of = async (type: string) =>
    (
      await sql.rows<{ text: string }>(
        `select resource_id || '#' || relation || '@' || subject_type || ':' || subject_id as text
         from relationship where resource_type = $1 order by 1`,
        [type],
        5_000,
      )
    ).map(({ text }) => text);
  const all = await token("all");
  const one = await store.enrolment.create(
    { secretHash: hash("one"), note: "", serves: 1 as never, computeResource: null, usesMax: 1, lastsMs: 60_000 },
    BY,
  );
  assert.ok(one.relationship > 0);
  assert.deepEqual(await of("enrolment_token"), [
    `${all}#platform@platform:main`,
    `${one.stored.id}#platform@platform:main`,
    `${one.stored.id}#project@project:1`,
  ]);
  const { agent } = await store.agents.enrol({ secretHash: hash("one"), name: "node", publicKey: newKey() }, BY);
  assert.deepEqual(await of("agent"), [`${agent}#platform@platform:main`, `${agent}#project@project:1`]);
  assert.ok(((await store.agents.revoke(agent, "stolen", BY))?.relationship ?? 0) > 0);
  assert.deepEqual(await of("agent"), []);
});

test("the version before counts a token of several uses as used up with its first use there, and no later", async (t) => {
  const { store, database, token } = await stage(t);
  const id = await token("s", 3);
  await store.agents.enrol({ secretHash: hash("s"), name: "new-1", publicKey: newKey() }, BY);
  const sql = await database.connect();
  // As that version enrols: it knows no uses.
  await sql.query(
    `with made as (insert into agent (name, public_key) values ('old-1', decode(repeat('00', 44), 'hex')) returning agent)
     update enrolment_token set used_at = now(), agent = (select agent from made) where token = ${id} and agent is null`,
    5_000,
  );
  const next = store.agents.enrol({ secretHash: hash("s"), name: "new-2", publicKey: newKey() }, BY);
  await assert.rejects(next, { code: "enrolment_token_used" });
});
