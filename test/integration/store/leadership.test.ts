/** Who leads, and how that changes hands: at once when the holder is gone, after its lease when it only seems to be. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Deposed, type Reign } from "../../../coordinator/dispatch/ports.ts";
import { createStore, type Store } from "../../../coordinator/store/store.ts";
import { LEADERSHIP_DEADLINE_MS, LEADERSHIP_LEASE_MS } from "../../../shared/model/constants.ts";
import { Cutter, submit } from "../../support/journal.ts";
import { freshDatabase, type TestDatabase } from "../../support/postgres.ts";
import { needs } from "../../support/services.ts";

/** Far below the leadership lease: nothing was waited out. */
const AT_ONCE_MS = LEADERSHIP_LEASE_MS / 3;

function openStore(database: TestDatabase): Store {
  const store = createStore(database.url);
  database.defer(() => store.close());
  return store;
}

async function lead(t: TestContext, database: TestDatabase): Promise<Reign> {
  const reign = await openStore(database).leadership(0, "here").campaign(t.signal);
  database.defer(() => reign.resign());
  return reign;
}

async function elapsed(work: () => Promise<unknown>): Promise<number> {
  const from = performance.now();
  await work();
  return performance.now() - from;
}

/** A holder in a process of its own (support/holder.ts), which leads and does what it is told by signals. */
async function spawnHolder(
  database: TestDatabase,
): Promise<{ child: ChildProcess; lines: AsyncIterableIterator<string> }> {
  const script = fileURLToPath(new URL("./holder.ts", import.meta.url));
  const child = spawn(process.execPath, [script, database.url], { stdio: ["pipe", "pipe", "inherit"] });
  database.defer(async () => {
    const gone = child.exitCode !== null || child.signalCode !== null ? null : once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  assert.equal((await lines.next()).value, "leading 1");
  return { child, lines };
}

for (const version of ["embedded", "15"] as const) {
  test(`of two candidates one leads; the other follows when it resigns (${version})`, {
    skip: version === "15" && needs("postgres15"),
  }, async (t) => {
    const database = await freshDatabase(t, { version });
    const first = await lead(t, database);
    assert.equal(first.term, 1);
    const won: Reign[] = [];
    const second = openStore(database)
      .leadership(0, "there")
      .campaign(t.signal)
      .then((reign) => {
        won.push(reign);
        database.defer(() => reign.resign());
      });
    await waitingForLifeLock(database);
    assert.equal(won.length, 0);
    const took = await elapsed(async () => {
      await first.resign();
      await second;
    });
    assert.ok(took < AT_ONCE_MS, `it took ${took} ms`);
    assert.equal(won[0]?.term, 2);
    const leader = await openStore(database).leader(0);
    assert.deepEqual(
      { term: leader?.term, address: leader?.address, live: leader?.live },
      { term: 2, address: "there", live: true },
    );
  });
}

async function waitingForLifeLock(database: TestDatabase): Promise<void> {
  const sql = await database.connect();
  const text = "select from pg_locks where locktype = 'advisory' and classid = 7304002 and not granted";
  while ((await sql.rows(text, [], 5_000)).length === 0);
}

test("kill -9 of the holder: the next one leads at once", async (t) => {
  const database = await freshDatabase(t);
  const { child } = await spawnHolder(database);
  const campaign = lead(t, database);
  await waitingForLifeLock(database);
  const took = await elapsed(async () => {
    child.kill("SIGKILL");
    await campaign;
  });
  assert.ok(took < AT_ONCE_MS, `it took ${took} ms`);
  assert.equal((await campaign).term, 2);
});

test("a paused holder is waited out; what it then appends is refused and leaves nothing", async (t) => {
  const database = await freshDatabase(t);
  const { child, lines } = await spawnHolder(database);
  const pausedAt = performance.now();
  child.kill("SIGSTOP");
  const reign = await lead(t, database);
  const waited = performance.now() - pausedAt;
  // It renewed at most one period before it was stopped.
  assert.ok(waited > LEADERSHIP_LEASE_MS - 2_500, `only ${waited} ms were waited`);
  assert.equal(reign.term, 2);
  child.kill("SIGCONT");
  child.stdin?.write("append\n");
  assert.match((await lines.next()).value, /^rejected Deposed /);
  assert.deepEqual((await reign.load()).batches, []);
  await reign.append(new Cutter(reign).batch({ submits: [submit(1)] }));
});

test("a holder that cannot be heard any more is deposed though its connection lives", async (t) => {
  const database = await freshDatabase(t);
  const first = await lead(t, database);
  const sql = await database.connect();
  await sql.query("update leadership_renewal set expires_at = clock_timestamp() + interval '400 ms'", 5_000);
  const took = await elapsed(() => lead(t, database));
  assert.ok(took >= 350, `it took only ${took} ms`);
  await assert.rejects(first.renew(), Deposed);
  await assert.rejects(first.append(new Cutter(first).batch()), Deposed);
  assert.equal(first.leadUntilMono, Number.NEGATIVE_INFINITY);
});

test("a renewal that came just before the end is honoured", async (t) => {
  const database = await freshDatabase(t);
  const first = await lead(t, database);
  const sql = await database.connect();
  await sql.query("update leadership_renewal set expires_at = clock_timestamp() + interval '300 ms'", 5_000);
  const stopped = new AbortController();
  const second = openStore(database).leadership(0, "there").campaign(stopped.signal);
  await waitingForLifeLock(database);
  await first.renew();
  // Past the moment at which it would have run out: the candidate has looked again and waits anew.
  const text = "select from leadership_renewal where expires_at - interval '5 s' < clock_timestamp()";
  while ((await sql.rows(text, [], 5_000)).length === 0);
  await first.append(new Cutter(first).batch());
  stopped.abort(new Error("enough"));
  await assert.rejects(second, /enough/);
});

test("an append that is stuck in the database is ended by a takeover, and leaves nothing", async (t) => {
  const database = await freshDatabase(t);
  await (await lead(t, database)).resign();
  // An append of term 1 that has done all but commit, on a connection that says nothing more.
  const stuck = await database.connect("airavata journal 0");
  await stuck.query("begin", 5_000);
  const nothing = Array.from({ length: 57 }, () => "null").join(", ");
  await stuck.query(`select journal_append(0, 1, 1, now(), null, ${nothing})`, 5_000);
  const took = await elapsed(() => lead(t, database));
  assert.ok(took >= 900, `the append got only ${took} ms to finish`);
  await assert.rejects(stuck.query("commit", 5_000));
  const sql = await database.connect();
  assert.deepEqual(await sql.rows("select from journal", [], 5_000), []);
});

test("the own deadline counts from before the renewal was sent", async (t) => {
  const database = await freshDatabase(t);
  let monoMs = 1_000;
  const store = createStore(database.url, { clock: { mono: () => monoMs, wall: () => 0 } });
  database.defer(() => store.close());
  const reign = await store.leadership(0, "here").campaign(t.signal);
  database.defer(() => reign.resign());
  assert.equal(reign.leadUntilMono, 1_000 + LEADERSHIP_DEADLINE_MS);
  monoMs = 3_000;
  const renewing = reign.renew();
  monoMs = 3_500;
  // The answer comes later; what counts is when it was sent, or later connecting made it.
  const until = await renewing;
  assert.ok(until <= 3_500 + LEADERSHIP_DEADLINE_MS && until >= 3_000 + LEADERSHIP_DEADLINE_MS);
  assert.equal(reign.leadUntilMono, until);
  monoMs = 4_000;
  const next = reign.renew();
  monoMs = 9_000;
  assert.equal(await next, 4_000 + LEADERSHIP_DEADLINE_MS);
});

test("a lost journal connection ends the reign at once", async (t) => {
  const database = await freshDatabase(t);
  const reign = await lead(t, database);
  const sql = await database.connect();
  await sql.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'airavata journal 0'",
    5_000,
  );
  while (reign.leadUntilMono !== Number.NEGATIVE_INFINITY) await new Promise((resolve) => setImmediate(resolve));
  await assert.rejects(reign.renew(), Deposed);
});

test("giving up a campaign leaves no connection behind", async (t) => {
  const database = await freshDatabase(t);
  await lead(t, database);
  const stopped = new AbortController();
  const second = openStore(database).leadership(0, "there").campaign(stopped.signal);
  await waitingForLifeLock(database);
  stopped.abort(new Error("enough"));
  await assert.rejects(second, /enough/);
  const sql = await database.connect();
  const text = "select from pg_stat_activity where application_name = 'airavata journal 0'";
  while ((await sql.rows(text, [], 5_000)).length > 1);
});

test("shards are led apart", async (t) => {
  const database = await freshDatabase(t);
  const store = openStore(database);
  for (const shard of [0, 1]) {
    const reign = await store.leadership(shard, "here").campaign(t.signal);
    database.defer(() => reign.resign());
    assert.deepEqual([reign.shard, reign.term], [shard, 1]);
    await reign.append(new Cutter(reign).batch({ submits: [submit(1)] }));
  }
});
