/** A SpiceDB server that is killed, frozen, cut off or has another key: nothing is allowed, and all comes back by itself. */
import assert from "node:assert/strict";
import { after, type TestContext, test } from "node:test";
import { inspect } from "node:util";
import type { AuthorizationEngine } from "../../../coordinator/domain/access/ports.ts";
import { AiravataError, errorLine } from "../../../shared/error/error.ts";
import { object, openEngine, question, SCHEMA, touch } from "../../support/authorization.ts";
import { Forwarder } from "../../support/fault-forwarder.ts";
import { until } from "../../support/fault-process.ts";
import { type Spicedb, startSpicedb } from "../../support/servers/spicedb.ts";
import { needs } from "../../support/services.ts";

const KEY = "a-preshared-key-that-nobody-may-print";
const VIEW = [question("project:1#view@user:1")];

let starting: Promise<Spicedb> | undefined;
after(async () => (await starting)?.stop());

/** The file's one server, where user 1 may view project 1, and an engine that has asked it. */
async function serving(t: TestContext): Promise<{ server: Spicedb; engine: AuthorizationEngine }> {
  starting ??= startSpicedb({ store: "postgres", key: KEY });
  const server = await starting;
  const engine = openEngine({ endpoint: server.endpoint, key: KEY });
  t.after(() => engine.close());
  await engine.prepare(SCHEMA);
  const revision = await engine.apply(touch("project:1#viewer@user:1"));
  assert.deepEqual(await engine.check(VIEW, revision), [true]);
  return { server, engine };
}

/** Rejects with `authorization_unavailable`; its sentence, and how long it took. */
async function unavailable(asked: Promise<unknown>): Promise<{ sentence: string; tookMs: number }> {
  const begunMono = performance.now();
  const error = await asked.then(
    (answer) => assert.fail(`was answered: ${inspect(answer)}`),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof AiravataError, inspect(error));
  assert.equal(error.code, "authorization_unavailable");
  assert.ok(!inspect(error, { depth: 10 }).includes(KEY), "the key is in the error");
  return { sentence: errorLine(error), tookMs: performance.now() - begunMono };
}

const answered = (engine: AuthorizationEngine) => async () => {
  const [allowed] = await engine.check(VIEW, "").catch(() => []);
  return allowed === true;
};

test("a killed server is told at once, and found again with all it knew", { skip: needs("spicedb") }, async (t) => {
  const { server, engine } = await serving(t);
  await server.kill();
  const questions = [
    engine.check(VIEW, ""),
    engine.lookup("project", "view", object("user:1"), ""),
    engine.apply(touch("project:2#viewer@user:1")),
    engine.prepare(`${SCHEMA}\ndefinition planet {}\n`),
    engine.read()[Symbol.asyncIterator]().next(),
  ];
  for (const asked of await Promise.all(questions.map(unavailable))) {
    assert.match(asked.sentence, /^SpiceDB at 127\.0\.0\.1:\d+ is not reachable/);
    assert.ok(asked.tookMs < 2_000, `took ${asked.tookMs} ms`);
  }
  await server.start();
  await until("SpiceDB answers again", answered(engine));
  assert.deepEqual(await engine.lookup("project", "view", object("user:1"), ""), ["1"]);
});

test("a frozen server is waited for only so long, and asked again when it goes on", {
  skip: needs("spicedb"),
}, async (t) => {
  const { server, engine } = await serving(t);
  server.freeze();
  t.after(() => server.thaw());
  const check = unavailable(engine.check(VIEW, ""));
  const lookup = unavailable(engine.lookup("project", "view", object("user:1"), ""));
  const apply = unavailable(engine.apply(touch("project:3#viewer@user:1")));
  assert.match((await check).sentence, /^SpiceDB at 127\.0\.0\.1:\d+ gave no answer within 2 s/);
  assert.match((await lookup).sentence, /gave no answer within 5 s/);
  assert.match((await apply).sentence, /gave no answer within 5 s/);
  assert.ok((await check).tookMs >= 1_900, "it may still have answered");
  server.thaw();
  await until("SpiceDB answers again", answered(engine));
});

test("a connection that died without a word costs one deadline", { skip: needs("spicedb") }, async (t) => {
  const { server } = await serving(t);
  const forwarder = await Forwarder.listen(`http://${server.endpoint}`);
  t.after(() => forwarder.close());
  const engine = openEngine({ endpoint: new URL(forwarder.url).host, key: KEY });
  t.after(() => engine.close());
  assert.deepEqual(await engine.check(VIEW, ""), [true]);
  forwarder.deafen();
  assert.match((await unavailable(engine.check(VIEW, ""))).sentence, /no answer within 2 s/);
  assert.deepEqual(await engine.check(VIEW, ""), [true]);
});

test("a wrong key is an operator's matter at the start and an outage later", { skip: needs("spicedb") }, async (t) => {
  const { server } = await serving(t);
  const engine = openEngine({ endpoint: server.endpoint, key: `${KEY} not` });
  t.after(() => engine.close());
  await assert.rejects(engine.prepare(SCHEMA), {
    code: "authorization_misconfigured",
    message: /^SpiceDB at 127\.0\.0\.1:\d+ refuses our key: set SPICEDB_TOKEN/,
  });
  assert.match((await unavailable(engine.check(VIEW, ""))).sentence, /refuses our key/);
  assert.match((await unavailable(engine.lookup("project", "view", object("user:1"), ""))).sentence, /refuses our key/);
  assert.match((await unavailable(engine.apply(touch("project:1#viewer@user:9")))).sentence, /refuses our key/);
});

test("a store without a schema answers nothing and holds nothing", { skip: needs("spicedb") }, async (t) => {
  const server = await startSpicedb({ store: "testing" });
  t.after(() => server.stop());
  const engine = openEngine({ endpoint: server.endpoint, key: "of this test" });
  t.after(() => engine.close());
  assert.match((await unavailable(engine.check(VIEW, ""))).sentence, /`project` not found/);
  assert.deepEqual(await engine.read()[Symbol.asyncIterator]().next(), { done: true, value: undefined });
});

test("a server that lost its store tells whoever it failed, and can be loaded again", {
  skip: needs("spicedb"),
}, async (t) => {
  const server = await startSpicedb({ store: "memory", key: KEY });
  t.after(() => server.stop());
  let forgotten = 0;
  const engine = openEngine({ endpoint: server.endpoint, key: KEY, onForgotten: () => void forgotten++ });
  t.after(() => engine.close());
  assert.equal(await engine.prepare(SCHEMA), false, "there was none");
  await engine.apply(touch("project:1#viewer@user:1"));
  assert.equal(await engine.prepare(SCHEMA), true);
  assert.deepEqual(await engine.check(VIEW, ""), [true]);
  await assert.rejects(engine.check([question("project:1#fly@user:1")], ""));
  assert.deepEqual(await engine.check(VIEW, ""), [true]);
  assert.equal(forgotten, 0, "one wrong question is no loss");

  await server.kill();
  await server.start();
  await until("the loss is told", async () => {
    await assert.rejects(engine.check(VIEW, ""), { code: "authorization_unavailable" });
    return forgotten > 0;
  });
  assert.equal(await engine.prepare(SCHEMA), false);
  const revision = await engine.apply(touch("project:1#viewer@user:1"));
  assert.deepEqual(await engine.check(VIEW, revision), [true]);
});
