/** Partitions of the journal's tables are there before an experiment needs them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createStore } from "../../../coordinator/store/store.ts";
import type { Connection } from "../../../db/connection.ts";
import { PARTITION_EXPERIMENTS } from "../../../shared/model/constants.ts";
import { Cutter, submit } from "../../support/journal.ts";
import { freshDatabase } from "../../support/postgres.ts";

const PARENTS = ["attempt_end", "checkpoint_chunk", "checkpoint_experiment", "experiment_source", "lease", "template"];

async function partitions(sql: Connection): Promise<string[]> {
  const rows = await sql.rows<{ name: string }>(
    "select relname as name from pg_class where relispartition and relkind = 'r' order by 1",
    [],
    5_000,
  );
  return rows.map((row) => row.name);
}

const of = (...numbers: number[]): string[] =>
  numbers.flatMap((n) => PARENTS.map((parent) => `${parent}_p${n}`)).sort();

test("the first is made by loading, the next when half of the last is used, skipped ones only when needed", async (t) => {
  const database = await freshDatabase(t);
  const store = createStore(database.url);
  database.defer(() => store.close());
  const reign = await store.leadership(0, "here").campaign(t.signal);
  database.defer(() => reign.resign());
  const sql = await database.connect();
  await reign.load();
  assert.deepEqual(await partitions(sql), of(0));
  const cutter = new Cutter(reign);
  await reign.append(cutter.batch({ submits: [submit(PARTITION_EXPERIMENTS / 2 - 1)] }));
  assert.deepEqual(await partitions(sql), of(0));
  await reign.append(cutter.batch({ submits: [submit(PARTITION_EXPERIMENTS / 2)] }));
  while ((await partitions(sql)).length < 2 * PARENTS.length);
  assert.deepEqual(await partitions(sql), of(0, 1));
  await reign.append(cutter.batch({ submits: [submit(3 * PARTITION_EXPERIMENTS)] }));
  assert.deepEqual((await partitions(sql)).sort(), of(0, 1, 3));
});

test("making one waits for no append, and no append waits for it", async (t) => {
  const database = await freshDatabase(t);
  const [appending, making] = [await database.connect(), await database.connect()];
  await making.query("select create_partition(0, 10000)", 5_000);
  await appending.query("begin", 5_000);
  await appending.query("insert into lease values (1, 1, 1, 1, 0, 0, 0, 0, 0, 'r', '{0}')", 5_000);
  // Would hang here if it needed the table for itself.
  await making.query("begin", 5_000);
  await making.query("select create_partition(1, 10000)", 5_000);
  await appending.query("insert into lease values (2, 1, 1, 1, 0, 0, 0, 0, 0, 'r', '{0}')", 5_000);
  await appending.query("commit", 5_000);
  await making.query("commit", 5_000);
});
