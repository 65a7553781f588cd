import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { createAccessControl } from "../../../coordinator/domain/access/control.ts";
import { Feed, type FeedOptions } from "../../../coordinator/domain/access/feed.ts";
import { silentLogger } from "../../../shared/log/log.ts";
import type { ActorId } from "../../../shared/model/ids.ts";
import { FakeEngine, FakeRelationships, viewer } from "./engine.ts";

const ALICE = 101 as ActorId;
const UNAVAILABLE = { code: "authorization_unavailable" };
const project = (id: number) => ({ type: "project", id: String(id) });

function stage(t: TestContext, options: Partial<FeedOptions> & { memory?: boolean } = {}) {
  const engine = new FakeEngine(options.memory ?? true);
  const relationships = new FakeRelationships();
  let term: number | undefined = 1;
  const leads = (): number | undefined => term;
  const lead = (value: number | undefined): void => {
    term = value;
  };
  const feed = new Feed({ engine, name: "e", relationships, schema: "", leads, log: silentLogger, ...options });
  t.after(() => feed.close());
  const access = createAccessControl(engine, feed);
  return { engine, relationships, feed, access, lead };
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setImmediate(resolve));
}

test("what was there at the start, and each change once it is settled", async (t) => {
  const { access, relationships, engine } = stage(t);
  relationships.write("touch", viewer(1, ALICE));
  assert.equal(await access.allows(ALICE, project(1), "view"), true);
  assert.equal(await access.allows(ALICE, project(2), "view"), false);
  await access.settle(relationships.write("touch", viewer(2, ALICE)));
  assert.equal(await access.allows(ALICE, project(2), "view"), true);
  await access.settle(relationships.write("delete", viewer(1, ALICE)));
  assert.equal(await access.allows(ALICE, project(1), "view"), false);
  assert.deepEqual(engine.applied, [
    "touch project:1#view@user:101",
    "touch project:2#view@user:101",
    "delete project:1#view@user:101",
  ]);
});

test("questions of one moment are one call, and an answer is remembered until something changes", async (t) => {
  const { access, relationships, engine } = stage(t);
  relationships.write("touch", viewer(1, ALICE));
  const ask = () => Promise.all([1, 2, 3].map((id) => access.allows(ALICE, project(id), "view")));
  assert.deepEqual(await ask(), [true, false, false]);
  assert.deepEqual(await ask(), [true, false, false]);
  assert.deepEqual(
    engine.asked.map((page) => page.length),
    [3],
  );
  await access.settle(relationships.write("touch", viewer(3, ALICE)));
  assert.deepEqual(await ask(), [true, false, true]);
});

test("an answer that was under way while a right was taken is not remembered for later", async (t) => {
  const { access, relationships, engine } = stage(t);
  relationships.write("touch", viewer(1, ALICE));
  await access.allows(ALICE, project(9), "view");
  const gate = Promise.withResolvers<void>();
  engine.gate = gate.promise;
  const slow = access.allows(ALICE, project(1), "view");
  await until(async () => engine.asked.length === 2);
  engine.gate = Promise.resolve();
  await access.settle(relationships.write("delete", viewer(1, ALICE)));
  gate.resolve();
  // It began before the right was taken.
  assert.equal(await slow, true);
  assert.equal(await access.allows(ALICE, project(1), "view"), false);
});

test("who begins to lead loads a server that nobody has loaded, before anybody is refused again", async (t) => {
  const { access, relationships, feed, lead } = stage(t, { memory: false });
  relationships.write("touch", viewer(1, ALICE));
  lead(undefined);
  await assert.rejects(access.allows(ALICE, project(1), "view"), UNAVAILABLE);
  lead(1);
  feed.led();
  assert.equal(await access.allows(ALICE, project(1), "view"), true);
});

test("an engine that fails is refused with at once, and is asked again when it answers", async (t) => {
  const { access, relationships, engine } = stage(t);
  relationships.write("touch", viewer(1, ALICE));
  await access.allows(ALICE, project(1), "view");
  engine.away = true;
  await assert.rejects(access.allows(ALICE, project(2), "view"), UNAVAILABLE);
  const asked = engine.asked.length;
  // Also what is remembered, and without asking.
  await assert.rejects(access.allows(ALICE, project(1), "view"), UNAVAILABLE);
  await assert.rejects(access.visible(ALICE, "project", "view"), UNAVAILABLE);
  const change = relationships.write("delete", viewer(1, ALICE));
  await assert.rejects(access.settle(change), { ...UNAVAILABLE, message: /recorded and not in force/ });
  assert.equal(engine.asked.length, asked);
  engine.away = false;
  await until(() =>
    access.allows(ALICE, project(1), "view").then(
      (allowed) => !allowed,
      () => false,
    ),
  );
  assert.ok(engine.applied.includes("delete project:1#view@user:101"));
  // Who watches asks again then, whether or not anything changed.
  engine.away = true;
  await assert.rejects(access.allows(ALICE, project(3), "view"), UNAVAILABLE);
  let told = 0;
  access.onChange(() => void told++);
  engine.away = false;
  await until(async () => told > 0);
  assert.equal(await access.allows(ALICE, project(3), "view"), false);
});

test("an engine that forgot everything is loaded before anybody is answered", async (t) => {
  const { access, relationships, engine, feed } = stage(t);
  relationships.write("touch", viewer(1, ALICE));
  assert.equal(await access.allows(ALICE, project(1), "view"), true);
  engine.held.clear();
  feed.forgotten();
  const answers = await Promise.allSettled([1, 2].map(() => access.allows(ALICE, project(1), "view")));
  for (const answer of answers) assert.notEqual(answer.status === "fulfilled" && answer.value, false);
  assert.equal(await access.allows(ALICE, project(1), "view"), true);
});

test("who does not lead looks at the table for each question; whose engine is a server applies nothing", async (t) => {
  const memory = stage(t);
  memory.lead(undefined);
  assert.equal(await memory.access.allows(ALICE, project(1), "view"), false);
  memory.relationships.write("touch", viewer(1, ALICE));
  assert.equal(await memory.access.allows(ALICE, project(1), "view"), true);

  const server = stage(t, { memory: false });
  server.lead(undefined);
  await assert.rejects(server.access.allows(ALICE, project(1), "view"), /has not loaded/);
  assert.deepEqual(server.engine.applied, []);
});

test("who begins to lead first learns what was committed before", async (t) => {
  const { access, relationships, lead } = stage(t);
  lead(undefined);
  await access.allows(ALICE, project(1), "view");
  lead(2);
  relationships.write("touch", viewer(1, ALICE));
  assert.equal(await access.allows(ALICE, project(1), "view"), true);
});

test("a server that holds something else is made equal, and where it is is remembered", async (t) => {
  const { access, relationships, engine, feed } = stage(t, { memory: false });
  await engine.apply([{ op: "touch", relationship: viewer(7, ALICE) }]);
  relationships.write("touch", viewer(1, ALICE));
  assert.equal(await access.allows(ALICE, project(7), "view"), false);
  assert.deepEqual(relationships.saved, { applied: 1, revision: "r3", engine: "e" });
  await engine.apply([{ op: "touch", relationship: viewer(8, ALICE) }]);
  engine.held.delete("project:1#view@user:101");
  const { missing, surplus } = await feed.verify();
  assert.deepEqual([missing, surplus], [[viewer(1, ALICE)], [viewer(8, ALICE)]]);
  assert.deepEqual([...engine.held.values()], [viewer(1, ALICE)]);
  assert.deepEqual(await feed.verify(), { missing: [], surplus: [] });
});
