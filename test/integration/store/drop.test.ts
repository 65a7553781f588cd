/** Partitions go when everything in them is archived, and only then; appends never wait for it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Connection } from "../../../db/connection.ts";
import { decided, endedStage } from "../../support/ended.ts";
import { lease, submit } from "../../support/journal.ts";
import { needs } from "../../support/services.ts";

const never = new AbortController().signal;

/** Where the partitions of `lease` begin. */
async function lows(sql: Connection): Promise<number[]> {
  const text = "select low::int from journal_partition where parent = 'lease' order by low";
  return (await sql.rows<{ low: number }>(text, [], 5_000)).map(({ low }) => low);
}

/** Tables that look like partitions, attached or not. */
async function tables(sql: Connection): Promise<number> {
  const text = "select count(*)::int as n from pg_class where relkind = 'r' and relname ~ '_p[0-9]+$'";
  return (await sql.rows<{ n: number }>(text, [], 5_000))[0]?.n ?? 0;
}

/** Three partitions: 0–9, 10–19, 20 and on. */
async function threePartitions(sql: Connection): Promise<void> {
  await sql.query(
    "do $$ declare p record; begin for p in select parent, partition from journal_partition loop execute format('drop table %I', p.partition); end loop; end $$",
    5_000,
  );
  for (const last of [9, 19, 99_999]) await sql.query(`select extend_partitions(${last}, 1)`, 5_000);
  assert.deepEqual(await lows(sql), [0, 10, 20]);
}

for (const version of ["embedded", "15"] as const) {
  const skip = version === "15" && needs("postgres15");

  test(`one goes when its range is closed and everything in it is archived (${version})`, { skip }, async (t) => {
    const { sql, retention, run, checkpoint, archive, store, append } = await endedStage(t, version);
    await threePartitions(sql);
    const drop = () => retention.dropPartitions(never);
    const ended = await run(1, 2, 8);
    const late = await run(9);
    await checkpoint();
    assert.deepEqual(await drop(), { tables: 0, held: false });
    assert.deepEqual(await archive(ended, 1, 2, 8), [1, 2, 8]);
    assert.deepEqual(await drop(), { tables: 0, held: false });
    assert.deepEqual(await archive(late, 9), [9]);
    // 9 is the last number of the range and durable: none in it can be given any more.
    assert.deepEqual(await drop(), { tables: 6, held: false });
    assert.deepEqual(await lows(sql), [10, 20]);
    assert.equal(await tables(sql), 12);
    assert.deepEqual(await drop(), { tables: 0, held: false });
    assert.equal(
      (
        await store
          .history(0)
          .experiments({ before: null, limit: 9, state: null, project: null, name: null, visible: null })
      ).length,
      4,
    );
    await append({ submits: [submit(10)], leases: [lease(10, 0, [0])] });
  });
}

test("an open range stays, and so does the newest however empty it is", async (t) => {
  const { sql, retention, run, checkpoint, archive } = await endedStage(t);
  await threePartitions(sql);
  const ended = await run(1, 2, 8);
  await checkpoint();
  await archive(ended, 1, 2, 8);
  assert.deepEqual(await retention.dropPartitions(never), { tables: 0, held: false });
  const more = await run(9, 30);
  await checkpoint();
  await archive(more, 9, 30);
  assert.deepEqual(await retention.dropPartitions(never), { tables: 12, held: false });
  assert.deepEqual(await lows(sql), [20]);
});

test("one experiment that is not archived keeps its partition and no other", async (t) => {
  const { sql, retention, run, append, checkpoint, archive } = await endedStage(t);
  await threePartitions(sql);
  await append({ submits: [submit(5)] });
  const ended = await run(6, 9, 10, 15, 25);
  await checkpoint();
  await archive(ended, 6, 9, 10, 15, 25);
  assert.deepEqual(await retention.dropPartitions(never), { tables: 6, held: false });
  assert.deepEqual(await lows(sql), [0, 20]);
  await append({ decisions: [decided("cancel", 5)], leases: [lease(5, 0, [1])] });
});

test("who reads for long keeps a partition, holds up no append, and it goes later", async (t) => {
  const { sql, database, retention, run, checkpoint, archive, append } = await endedStage(t);
  await threePartitions(sql);
  const ended = await run(1, 9);
  await checkpoint();
  await archive(ended, 1, 9);
  const reader = await database.connect();
  await reader.query("begin; select count(*) from lease", 5_000);
  let over = false;
  const dropping = retention.dropPartitions(never).finally(() => {
    over = true;
  });
  const watch = await database.connect();
  const waits = async () => (await watch.rows("select from pg_locks where not granted", [], 5_000)).length > 0;
  let [appended, meanwhile] = [0, 0];
  for (let waited = false; !over; appended++) {
    await append({ submits: [submit(10 + appended)], leases: [lease(10 + appended, 0, [0])] });
    const waiting = await waits();
    // Between two looks at it that both found it waiting for the reader.
    if (waited && waiting) meanwhile++;
    waited = waiting;
  }
  assert.deepEqual(await dropping, { tables: 5, held: true });
  assert.ok(meanwhile >= 3, `${meanwhile} of ${appended} appends during the wait of a second`);
  assert.deepEqual(await lows(sql), [0, 10, 20]);
  await reader.query("commit", 5_000);
  assert.deepEqual(await retention.dropPartitions(never), { tables: 1, held: false });
  assert.deepEqual(await lows(sql), [10, 20]);
});

test("what a run that was cut off left behind is finished by the next one", async (t) => {
  const { sql, database, retention, run, checkpoint, archive } = await endedStage(t);
  await threePartitions(sql);
  const ended = await run(1, 9);
  await checkpoint();
  await archive(ended, 1, 9);
  // Killed between detaching and dropping.
  await sql.query("alter table lease detach partition lease_p0 concurrently", 5_000);
  // Killed while detaching waited for a reader.
  const reader = await database.connect();
  await reader.query("begin; select count(*) from template", 5_000);
  await sql.query("set lock_timeout = 50", 5_000);
  await assert.rejects(sql.query("alter table template detach partition template_p0 concurrently", 5_000));
  await reader.query("commit", 5_000);
  const pending = "select from journal_partition where detaching";
  assert.equal((await sql.rows(pending, [], 5_000)).length, 1);
  assert.deepEqual(await retention.dropPartitions(never), { tables: 6, held: false });
  assert.equal(await tables(sql), 12);
});

test("a takeover in the midst of it: the next one goes on, and the new term appends and loads", async (t) => {
  const { sql, retention, store, reign, run, checkpoint, archive } = await endedStage(t);
  await threePartitions(sql);
  const ended = await run(1, 9, 10, 19);
  await checkpoint();
  await archive(ended, 1, 9, 10, 19);
  const stop = new AbortController();
  const dropping = retention.dropPartitions(stop.signal);
  const next = store.leadership(0, "there").campaign(t.signal);
  await reign.resign();
  const successor = await next;
  stop.abort();
  const loaded = await successor.load();
  assert.equal(loaded.experimentMax, 19);
  assert.deepEqual(loaded.experiments, []);
  const { tables: first } = await dropping;
  assert.equal(first + (await retention.dropPartitions(never)).tables, 12);
  await successor.resign();
});
