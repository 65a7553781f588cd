/** What journal_append promises: all or nothing, in order, under the right term. On every version that is supported. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Deposed, type Reign } from "../../../coordinator/dispatch/ports.ts";
import { createStore } from "../../../coordinator/store/store.ts";
import type { Connection } from "../../../db/connection.ts";
import { Cutter, end, lease, submit } from "../../support/journal.ts";
import { startProxy } from "../../support/postgres/proxy.ts";
import { type FreshOptions, freshDatabase } from "../../support/postgres.ts";
import { needs } from "../../support/services.ts";

interface Stage {
  reign: Reign;
  cutter: Cutter;
  sql: Connection;
  url: string;
}

async function stage(t: TestContext, options: FreshOptions = {}): Promise<Stage> {
  const database = await freshDatabase(t, options);
  const store = createStore(database.url);
  database.defer(() => store.close());
  const reign = await store.leadership(0, "here").campaign(t.signal);
  database.defer(() => reign.resign());
  return { reign, cutter: new Cutter(reign), sql: await database.connect(), url: database.url };
}

async function count(sql: Connection, table: string): Promise<number> {
  const [row] = await sql.rows<{ n: number }>(`select count(*)::int as n from ${table}`, [], 5_000);
  return row?.n ?? -1;
}

/** Rows of everything that an append can write. */
async function written(sql: Connection): Promise<Record<string, number>> {
  const tables = [
    "journal",
    "experiment",
    "experiment_source",
    "template",
    "idempotency",
    "lease",
    "attempt_end",
    "decision",
  ];
  return Object.fromEntries(await Promise.all(tables.map(async (table) => [table, await count(sql, table)])));
}

const whole = (cutter: Cutter, experiment: number) =>
  cutter.batch({
    submits: [submit(experiment, { idempotency: { key: `k${experiment}`, bodyHash: "h" } })],
    leases: [lease(experiment, 0, [0, 1])],
    ends: [end(experiment, 0, [0])],
  });

for (const version of ["embedded", "15"] as const) {
  const skip = version === "15" && needs("postgres15");

  test(`a batch is written whole (${version})`, { skip }, async (t) => {
    const { reign, cutter, sql } = await stage(t, { version });
    await reign.append(whole(cutter, 1));
    const expected = {
      journal: 1,
      experiment: 1,
      experiment_source: 1,
      template: 1,
      idempotency: 1,
      lease: 1,
      attempt_end: 1,
      decision: 0,
    };
    assert.deepEqual(await written(sql), expected);
  });
}

test("a batch whose last part is refused leaves nothing", async (t) => {
  const { reign, cutter, sql } = await stage(t);
  const bad = {
    ...whole(cutter, 1),
    decisions: [
      { kind: "surprise" as "cancel", experiment: 1 as never, actor: 1 as never, scope: null, reason: "", value: null },
    ],
  };
  await assert.rejects(reign.append(bad), { code: "23514" });
  assert.deepEqual(new Set(Object.values(await written(sql))), new Set([0]));
});

test("seq must follow seq: neither a gap nor a duplicate is written, and the reign is over", async (t) => {
  for (const seq of [1, 3]) {
    const { reign, cutter, sql } = await stage(t);
    await reign.append(cutter.batch());
    await assert.rejects(reign.append({ ...whole(cutter, 1), seq }), {
      code: "AV002",
      message: `seq ${seq} cannot follow seq 1 of shard 0`,
    });
    assert.deepEqual(await written(sql), { ...zeros(), journal: 1 });
    await assert.rejects(reign.append(cutter.batch()), { code: "AV002" });
    assert.equal(reign.leadUntilMono, Number.NEGATIVE_INFINITY);
  }
});

function zeros(): Record<string, number> {
  return {
    journal: 0,
    experiment: 0,
    experiment_source: 0,
    template: 0,
    idempotency: 0,
    lease: 0,
    attempt_end: 0,
    decision: 0,
  };
}

test("an append of an older term is refused by name and leaves nothing", async (t) => {
  const { reign, cutter, sql } = await stage(t);
  await sql.query("update leadership set term = 9", 5_000);
  await assert.rejects(reign.append(whole(cutter, 1)), (error: Error) => {
    assert.ok(error instanceof Deposed);
    assert.equal(error.message, "term 1 of shard 0 is over: term 9 reigns");
    return true;
  });
  assert.deepEqual(await written(sql), zeros());
});

test("an append that waited while another one took over sees the new term", async (t) => {
  const { reign, cutter, sql } = await stage(t);
  await sql.query("begin", 5_000);
  await sql.query("select pg_advisory_xact_lock(7304001, 0)", 5_000);
  await sql.query("update leadership set term = term + 1", 5_000);
  const late = assert.rejects(reign.append(whole(cutter, 1)), Deposed);
  await waitsForLock(sql, "airavata journal 0");
  await sql.query("commit", 5_000);
  await late;
  assert.deepEqual(await written(sql), zeros());
});

async function waitsForLock(sql: Connection, application: string): Promise<void> {
  for (;;) {
    const text = "select from pg_stat_activity where application_name = $1 and wait_event_type = 'Lock'";
    if ((await sql.rows(text, [application], 5_000)).length > 0) return;
  }
}

test("a COMMIT whose answer is lost ends the reign, and loading shows what is true", async (t) => {
  const database = await freshDatabase(t);
  const proxy = await startProxy(database.url);
  const store = createStore(proxy.url);
  database.defer(() => store.close());
  database.defer(() => proxy.close());
  const reign = await store.leadership(0, "here").campaign(t.signal);
  database.defer(() => reign.resign());
  await reign.load();
  const cutter = new Cutter(reign);
  await reign.append(cutter.batch());
  const swallowed = proxy.swallow();
  const unheard = reign.append(whole(cutter, 1));
  const failed = assert.rejects(unheard);
  await swallowed;
  // It is durable, and nobody here knows.
  await proxy.close();
  await failed;
  await assert.rejects(reign.append(cutter.batch()));
  const direct = createStore(database.url);
  database.defer(() => direct.close());
  const next = await direct.leadership(0, "there").campaign(t.signal);
  database.defer(() => next.resign());
  const loaded = await next.load();
  assert.deepEqual(
    loaded.batches.map((batch) => batch.seq),
    [1, 2],
  );
  assert.equal(loaded.batches[1]?.submits[0]?.experiment, 1);
});

test("an idempotency key is taken for a day, and free afterwards", async (t) => {
  const { reign, cutter, sql } = await stage(t);
  const keyed = (experiment: number) => submit(experiment, { idempotency: { key: "k", bodyHash: `h${experiment}` } });
  await reign.append(cutter.batch({ submits: [keyed(1)] }));
  const day = 24 * 3_600_000;
  await reign.append({ ...cutter.batch({ submits: [keyed(2)] }), atMs: 1_700_000_001_000 + day });
  assert.deepEqual(await sql.rows("select experiment::int, body_hash from idempotency", [], 5_000), [
    { experiment: 2, body_hash: "h2" },
  ]);
  await assert.rejects(reign.append({ ...cutter.batch({ submits: [keyed(3)] }), atMs: 1_700_000_002_000 + day }), {
    code: "AV003",
  });
  assert.equal(await count(sql, "experiment"), 2);
});

test("columns of different lengths are refused", async (t) => {
  for (const parts of [
    { leases: [lease(1, 0, [1, 2], { attempts: [1, 2, 3] })] },
    { ends: [end(1, 0, [1, 2], { exitCodes: [1, 2, 3] })] },
    { ends: [end(1, 0, [1, 2, 3], { memoryMaxBytes: [1, 2] })] },
  ]) {
    const { reign, cutter, sql } = await stage(t);
    await reign.load();
    await assert.rejects(reign.append(cutter.batch(parts)), { code: "AV004" });
    assert.deepEqual(await written(sql), zeros());
  }
});

test("a record of no task is left out", async (t) => {
  const { reign, cutter, sql } = await stage(t);
  await reign.load();
  await reign.append(cutter.batch({ leases: [lease(1, 0, []), lease(1, 0, [3])], ends: [end(1, 0, [])] }));
  assert.deepEqual(await written(sql), { ...zeros(), journal: 1, lease: 1 });
});

test("what an agent makes up fails no append", async (t) => {
  const { reign, cutter } = await stage(t);
  await reign.append(cutter.batch({ submits: [submit(1)] }));
  await reign.append(
    cutter.batch({
      leases: [lease(1, 0, [0], { root: "r\0oot \ud800" })],
      ends: [
        end(1, 0, [0, 1], {
          exitCodes: [1e20, Number.NaN],
          cpuMs: [0.5, 1e300],
          memoryMaxBytes: [-1, Number.POSITIVE_INFINITY],
          tails: { 1: "nul \0 and half \udc00" },
        }),
      ],
    }),
  );
  const { batches } = await reign.load();
  assert.equal(batches[1]?.leases[0]?.root, "r\uFFFDoot \uFFFD");
  assert.deepEqual(batches[1]?.ends[0]?.exitCodes, [2_147_483_647, 0]);
  assert.deepEqual(batches[1]?.ends[0]?.tails, { 1: "nul \uFFFD and half \uFFFD" });
});
