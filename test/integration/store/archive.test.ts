/** Archiving in the database: what is due, what guards it, and that nothing about an archived experiment changes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Deposed } from "../../../coordinator/dispatch/ports.ts";
import type { ExperimentId } from "../../../shared/model/ids.ts";
import { archiveRecord, decided, endedStage } from "../../support/ended.ts";
import { end, lease, submit } from "../../support/journal.ts";
import { needs } from "../../support/services.ts";

/** Batches of the tests are dated late in 2023. */
const NOW = Date.now();
const one = 1 as ExperimentId;

for (const version of ["embedded", "15"] as const) {
  const skip = version === "15" && needs("postgres15");

  test(`due is what has ended, long enough ago, behind a checkpoint (${version})`, { skip }, async (t) => {
    const { retention, append, run, checkpoint } = await endedStage(t, version);
    const due = async (retentionMs: number) =>
      (await retention.due(NOW, retentionMs, 10)).map(({ experiment }) => experiment);
    await append({ submits: [submit(1)] });
    await run(2);
    assert.deepEqual(await due(1_000), []);
    assert.equal((await retention.archivable(2 as ExperimentId))?.folded, false);
    await checkpoint();
    assert.deepEqual(await due(1_000), [2]);
    assert.deepEqual(await due(50 * 365 * 86_400_000), []);
    await run(3);
    assert.deepEqual(await due(1_000), [2]);
    assert.equal(await retention.archivable(one), undefined);
  });

  test(`an archived row cannot change: a retry is refused with its append, and load leaves it out (${version})`, {
    skip,
  }, async (t) => {
    const { reign, append, run, checkpoint, archive, store } = await endedStage(t, version);
    const ended = await run(1, 2);
    await checkpoint();
    assert.deepEqual(await archive(ended, 1), [1]);
    assert.deepEqual(await archive(ended, 1), []);
    const stored = await store.history(0).experiment(one);
    assert.notEqual(stored?.archivedAtMs, null);
    assert.equal(stored?.end?.completed, 1);
    assert.equal(await store.history(0).load(one), null);
    await append({ decisions: [decided("retry", 2)] });
    assert.deepEqual(
      (await reign.load()).experiments.map(({ experiment }) => experiment),
      [2],
    );
    await assert.rejects(
      append({ decisions: [decided("retry", 1)] }),
      /experiment 1 was archived at .*: nothing about it/,
    );
    await assert.rejects(append({}), /was archived/);
  });
}

test("whoever was retried since it was summed up is not archived", async (t) => {
  const { append, run, checkpoint, archive } = await endedStage(t);
  const first = await run(1);
  await checkpoint();
  await append({ decisions: [decided("retry", 1)] });
  assert.deepEqual(await archive(first, 1), []);
  const second = await append({
    leases: [lease(1, 0, [0], { attempts: [2] })],
    ends: [end(1, 0, [0], { attempts: [2] })],
    decisions: [decided("ended", 1)],
  });
  await checkpoint();
  assert.deepEqual(await archive(first, 1), []);
  assert.deepEqual(await archive(second, 1), [1]);
});

test("a retry that is on its way when it is archived waits for the row, and then finds it archived", async (t) => {
  const { sql, database, append, run, checkpoint, archive } = await endedStage(t);
  const ended = await run(1);
  await checkpoint();
  // Somebody holds the row, so that both queue up for it, the archive first.
  await sql.query("begin; select from experiment where experiment = 1 for update", 5_000);
  const archiving = archive(ended, 1);
  const watch = await database.connect();
  const waiting = async () => {
    const text = "select count(*)::int as n from pg_locks where not granted";
    return (await watch.rows<{ n: number }>(text, [], 5_000))[0]?.n ?? 0;
  };
  while ((await waiting()) < 1);
  const retrying = append({ decisions: [decided("retry", 1)] });
  const refused = assert.rejects(retrying, /was archived/);
  while ((await waiting()) < 2);
  await sql.query("commit", 5_000);
  assert.deepEqual(await archiving, [1]);
  await refused;
});

test("a retry that comes first lets nothing be archived", async (t) => {
  const { sql, database, append, run, checkpoint, archive, store } = await endedStage(t);
  const ended = await run(1);
  await checkpoint();
  await sql.query("begin; select from experiment where experiment = 1 for update", 5_000);
  const retrying = append({ decisions: [decided("retry", 1)] });
  const watch = await database.connect();
  const waiting = async () => {
    const text = "select count(*)::int as n from pg_locks where not granted";
    return (await watch.rows<{ n: number }>(text, [], 5_000))[0]?.n ?? 0;
  };
  while ((await waiting()) < 1);
  const archiving = archive(ended, 1);
  while ((await waiting()) < 2);
  await sql.query("commit", 5_000);
  await retrying;
  assert.deepEqual(await archiving, []);
  assert.equal((await store.history(0).experiment(one))?.archivedAtMs, null);
  assert.equal(await store.history(0).summary(one), undefined);
});

test("another term archives nothing", async (t) => {
  const { sql, retention, reign, run, checkpoint } = await endedStage(t);
  const ended = await run(1);
  await checkpoint();
  assert.deepEqual(await retention.archive(reign.term + 1, [archiveRecord(1, ended)], null), []);
  await sql.query("update leadership set term = term + 1", 5_000);
  assert.deepEqual(await retention.archive(reign.term, [archiveRecord(1, ended)], null), []);
  await assert.rejects(reign.load(), Deposed);
});

test("what attempts used is summed per template, whichever form its columns have", async (t) => {
  const { retention, append } = await endedStage(t);
  await append({ submits: [submit(1)] });
  await append({ leases: [lease(1, 0, [0, 1, 2]), lease(1, 0, [3, 4])] });
  const at = (...ms: number[]) => ms.map((each) => 1_700_000_000_000 + each);
  await append({
    ends: [
      end(1, 0, [0, 1, 2], {
        startedAtMs: [...at(0, 0), 0],
        endedAtMs: [...at(100, 250), 0],
        cpuMs: [5, 6, 0],
        memoryMaxBytes: [10, 30, 0],
      }),
      // All alike: one element a column.
      end(1, 0, [3, 4], { startedAtMs: at(0, 0), endedAtMs: at(50, 50), cpuMs: [7, 7], memoryMaxBytes: [20, 20] }),
    ],
  });
  assert.deepEqual(await retention.usage([one]), [
    { experiment: 1, template: 0, attempts: 5, cpuMs: 25, wallMs: 450, memoryMaxBytes: 30 },
  ]);
});

test("the lines of an archive hold everything the journal has, in pages", async (t) => {
  const { retention, append } = await endedStage(t);
  await append({ submits: [submit(1), submit(2)] });
  for (let n = 0; n < 50; n++) await append({ decisions: [decided(n % 2 ? "resume" : "pause", 1)] });
  await append({ leases: [lease(1, 0, [0, 1]), lease(2, 0, [0])] });
  await append({ ends: [end(1, 0, [0, 1], { tails: { 1: "no such ligand" } })] });
  const lines = [];
  for await (const line of retention.lines(one)) lines.push(JSON.parse(line));
  assert.equal(lines[0].record, "experiment");
  assert.equal(lines[0].spec, "tasks: {}\n");
  assert.deepEqual(lines[1].definition, submit(1).definition.templates[0]);
  assert.equal(lines.filter(({ record }) => record === "decision").length, 50);
  const [leases, ends] = lines.slice(-2);
  assert.deepEqual([leases.record, leases.indexes, leases.agent], ["leases", [0, 1], 1]);
  assert.deepEqual([ends.record, ends.indexes, ends.tails], ["ends", [0, 1], { 1: "no such ligand" }]);
  assert.equal(lines.length, 2 + 50 + 2);
});
