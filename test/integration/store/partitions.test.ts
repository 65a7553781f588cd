/** Partitions of the journal's tables are there before an experiment needs them. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { partitionWidth } from "../../../coordinator/store/partitions.ts";
import { createStore } from "../../../coordinator/store/store.ts";
import type { Connection } from "../../../db/connection.ts";
import {
  EXPERIMENT_COST_TASKS,
  PARTITION_EXPERIMENTS_MAX,
  PARTITION_EXPERIMENTS_MIN,
  PARTITION_TASKS,
} from "../../../shared/model/constants.ts";
import { Cutter, definition, submit, template } from "../../support/journal.ts";
import { freshDatabase } from "../../support/postgres.ts";

const PARENTS = ["attempt_end", "checkpoint_chunk", "checkpoint_experiment", "experiment_source", "lease", "template"];

/** First experiment, and the one behind the last, of each partition; every table must have the same. */
async function ranges(sql: Connection): Promise<[number, number][]> {
  const rows = await sql.rows<{ low: string; high: string; parents: string[] }>(
    `select low, high, array_agg(parent::text order by parent) as parents from journal_partition
     group by low, high order by low`,
    [],
    5_000,
  );
  for (const { parents } of rows) assert.deepEqual(parents, PARENTS);
  return rows.map(({ low, high }) => [Number(low), Number(high)]);
}

async function stage(t: TestContext) {
  const database = await freshDatabase(t);
  const store = createStore(database.url);
  database.defer(() => store.close());
  const reign = await store.leadership(0, "here").campaign(t.signal);
  database.defer(() => reign.resign());
  await reign.load();
  return { reign, cutter: new Cutter(reign), sql: await database.connect() };
}

const big = (experiment: number, tasks: number) =>
  submit(experiment, { definition: definition([template(0, "a", tasks)]) });

test("the first is made by loading, the next when half of the last is used, and there is never a gap", async (t) => {
  const { reign, cutter, sql } = await stage(t);
  const first = partitionWidth({ experiments: 0, tasks: 0 }, { experiments: 0, tasks: 0 });
  assert.deepEqual(await ranges(sql), [[0, first]]);
  await reign.append(cutter.batch({ submits: [submit(Math.ceil(first / 2) - 1)] }));
  assert.deepEqual(await ranges(sql), [[0, first]]);
  await reign.append(cutter.batch({ submits: [submit(Math.ceil(first / 2))] }));
  while ((await ranges(sql)).length < 2);
  const second = first + PARTITION_TASKS / (10 + EXPERIMENT_COST_TASKS);
  assert.deepEqual(await ranges(sql), [
    [0, first],
    [first, Math.round(second)],
  ]);
  await reign.append(cutter.batch({ submits: [submit(40_000)] }));
  assert.deepEqual((await ranges(sql))[2], [Math.round(second), 40_001]);
});

test("after huge experiments they become narrow", async (t) => {
  const { reign, cutter, sql } = await stage(t);
  const [[, first] = [0, 0]] = await ranges(sql);
  // The next one is made beside the append that asks for it, by the sizes that were durable before.
  await reign.append(cutter.batch({ submits: [big(1, 9_000_000)] }));
  await reign.append(cutter.batch({ submits: [submit(first - 1)] }));
  while ((await ranges(sql)).length < 2);
  const second = (await ranges(sql))[1] as [number, number];
  assert.equal(second[1] - second[0], PARTITION_EXPERIMENTS_MIN);
});

test("the width follows the newest experiments, and grows with what is kept", () => {
  const width = (each: number, kept: number) =>
    partitionWidth({ experiments: 1_000, tasks: 1_000 * each }, { experiments: 0, tasks: kept });
  assert.equal(width(1, 0), 9_901);
  assert.equal(width(0, 0), PARTITION_EXPERIMENTS_MAX);
  assert.equal(width(1_000, 0), 909);
  assert.equal(width(100_000, 0), 10);
  assert.equal(width(10_000_000, 0), PARTITION_EXPERIMENTS_MIN);
  // A hundred million tasks in a hundred thousand experiments: 64 partitions of 1.6 million each.
  assert.equal(width(1_000, 100_000_000), 1_420);
});

test("what an older program asks for, in ranges of 10,000, is covered, and beside it goes on", async (t) => {
  const { reign, cutter, sql } = await stage(t);
  const [[, first] = [0, 0]] = await ranges(sql);
  await sql.query("select create_partition(0, 10000), create_partition(0, 10000)", 5_000);
  assert.deepEqual(await ranges(sql), [
    [0, first],
    [first, 10_000],
  ]);
  await sql.query("select extend_partitions(10000, 10000)", 5_000);
  await reign.append(cutter.batch({ submits: [submit(19_999), submit(20_000)] }));
  assert.deepEqual(
    (await ranges(sql)).slice(2, 4).map(([low]) => low),
    [10_000, 20_000],
  );
});

test("making one waits for no append, and no append waits for it", async (t) => {
  const database = await freshDatabase(t);
  const [appending, making] = [await database.connect(), await database.connect()];
  await making.query("select extend_partitions(0, 10000)", 5_000);
  await appending.query("begin", 5_000);
  await appending.query("insert into lease values (1, 1, 1, 1, 0, 0, 0, 0, 0, 'r', '{0}')", 5_000);
  // Would hang here if it needed the table for itself.
  await making.query("begin", 5_000);
  await making.query("select extend_partitions(10000, 10000)", 5_000);
  await appending.query("insert into lease values (2, 1, 1, 1, 0, 0, 0, 0, 0, 'r', '{0}')", 5_000);
  await appending.query("commit", 5_000);
  await making.query("commit", 5_000);
});
