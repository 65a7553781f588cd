/**
 * A steady state in small: 200,000 tasks with a retention of 200 ms leave the database as large as 75,000 did. The long
 * form is `npm run steady`. It asserts sizes, never speed.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ConnectionPool } from "../../../db/pool.ts";
import { completeEverything, connectAgent, enrolTestAgent, until } from "../../support/agent-peer.ts";
import { startTestCoordinator } from "../../support/coordinator.ts";

const TASKS_PER_EXPERIMENT = 2_500;
const ROUND_EXPERIMENTS = 10;
const ROUNDS = 8;
const WARM_UP_ROUNDS = 3;
/** Partitions of so many experiments, so that some tens of them pass. */
const PARTITION_EXPERIMENTS = 5;
const LIMIT_MS = 120_000;

const SPEC = `
resources: { compute: { cpu: 0.01, ram_gb: 0.001, disk_gb: 0 } }
tasks:
  a: { argv: ["/bin/true"], task_inputs: { n: 1..${TASKS_PER_EXPERIMENT} } }
`;

/** Our tables but partitions that wait to be used; autovacuum is off here, which in production also reuses what dropped partitions leave in the catalogue. */
const SIZE = `select sum(pg_total_relation_size(oid)) as n from pg_class
  where relnamespace = 'public'::regnamespace and relkind = 'r' and relname not in (
    select partition from journal_partition where low > (select max(experiment) from experiment))`;

test("size stays flat while tasks come and go", async (t) => {
  const at = await startTestCoordinator(t, { retentionMs: 200 });
  const pool = new ConnectionPool(at.databaseUrl, { name: "test sizes", max: 1, queryTimeoutMs: 10_000 });
  at.defer(() => pool.close());
  const number = async (text: string) => Number((await pool.rows<{ n: string }>(text))[0]?.n ?? 0);
  const peer = await connectAgent(at, await enrolTestAgent(at));
  completeEverything(peer, 1_000);

  // The coordinator has made the first one, as wide as it thinks that a million tasks are.
  await pool.rows(`do $$ declare p record; begin
    for p in select partition from journal_partition loop execute format('drop table %I', p.partition); end loop; end $$`);

  // All that the test needs and more: it would make the next one when half of the last that it knows is used.
  for (let end = 0; end < 2 * ROUNDS * ROUND_EXPERIMENTS; ) {
    end = await number(
      `select extend_partitions((select coalesce(max(high), 0) from journal_partition), ${PARTITION_EXPERIMENTS}) as n`,
    );
  }

  const sizes: number[] = [];
  for (let round = 1; round <= ROUNDS; round++) {
    const ids: number[] = [];
    for (let i = 0; i < ROUND_EXPERIMENTS; i++) {
      ids.push((await at.client.call("submitExperiment", { body: { spec: SPEC } })).id);
    }
    const newest = ids.at(-1) as number;
    const unfinished = `select count(*) as n from experiment where state is null and experiment <= ${newest}`;
    await until(async () => (await number(unfinished)) === 0, "the round to end", LIMIT_MS);
    // By hand, for that makes the checkpoint that is otherwise due each 100,000 ends.
    await at.client.call("retireExperiment", { params: { experiment: newest } });
    const unarchived = "select count(*) as n from experiment where archived_at is null";
    await until(async () => (await number(unarchived)) === 0, "the round to be archived", LIMIT_MS);
    const old = `select count(*) as n from journal_partition
      where high <= (select max(experiment) from experiment) and high < (select max(high) from journal_partition)`;
    await until(async () => (await number(old)) === 0, "its partitions to be dropped", LIMIT_MS);
    await pool.rows("vacuum journal, decision, experiment, checkpoint, leadership_renewal");
    sizes.push(await number(SIZE));
  }

  const warm = Math.max(...sizes.slice(0, WARM_UP_ROUNDS));
  const peak = Math.max(...sizes.slice(WARM_UP_ROUNDS));
  t.diagnostic(sizes.map((size) => `${(size / 2 ** 20).toFixed(1)}`).join(" "));
  assert.ok(peak <= warm * 1.15, `${peak} bytes after the warm-up, ${warm} before`);
  const stored = await number("select coalesce(sum(cardinality(indexes)), 0) as n from attempt_end");
  assert.ok(
    stored <= PARTITION_EXPERIMENTS * TASKS_PER_EXPERIMENT,
    `${stored} ends are stored beside the newest partition`,
  );
  assert.ok((await number("select count(*) as n from journal")) < 100);
  assert.equal(
    (await at.client.call("getExperiment", { params: { experiment: 1 } })).tasks.completed,
    TASKS_PER_EXPERIMENT,
  );
});
