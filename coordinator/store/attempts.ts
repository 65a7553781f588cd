/** How attempts ended, looked up by task or by failure, straight from the columns and without unfolding what is not asked for. */
import type { ConnectionPool } from "../../db/pool.ts";
import type { ExperimentId, TaskKey } from "../../shared/model/ids.ts";
import type { StoredAttempt, StoredRunTime } from "./records.ts";

const RUN_TIMES_READ_MAX = 1_000_000;

/** Position `n` of every column of `attempt_end e`, in the shape of a StoredAttempt. */
const FIELDS = `
  coalesce(e.attempts[n], e.attempts[1], 1) as attempt, coalesce(e.agents[n], e.agents[1]) as agent,
  coalesce(e.dispositions[n], e.dispositions[1], 0) as disposition, coalesce(e.outcomes[n], e.outcomes[1], 0) as outcome,
  coalesce(e.blames[n], e.blames[1], 0) as blame, coalesce(e.charges[n], e.charges[1], 0) as charge,
  coalesce(e.exit_codes[n], e.exit_codes[1], 0) as "exitCode", coalesce(e.signals[n], e.signals[1], 0) as signal,
  coalesce(e.started_at_ms[n], e.started_at_ms[1], 0) as "startedAtMs",
  coalesce(e.ended_at_ms[n], e.ended_at_ms[1], 0) as "endedAtMs",
  coalesce(e.not_before_ms[n], e.not_before_ms[1], 0) as "notBeforeMs",
  coalesce(e.cpu_ms[n], e.cpu_ms[1], 0) as "cpuMs",
  coalesce(e.memory_max_bytes[n], e.memory_max_bytes[1], 0) as "memoryMaxBytes",
  coalesce(e.read_bytes[n], e.read_bytes[1], 0) as "readBytes",
  coalesce(e.written_bytes[n], e.written_bytes[1], 0) as "writtenBytes",
  e.tails ->> (n - 1)::text as tail, e.details ->> (n - 1)::text as detail`;

/**
 * Ended attempts of tasks `from … to`, by index and attempt. An attempt that was given up and whose result came in after
 * all has two ends: the FINAL one counts.
 */
export function endedAttempts(
  pool: ConnectionPool,
  shard: number,
  { experiment, template }: Omit<TaskKey, "index">,
  from: number,
  to: number,
): Promise<StoredAttempt[]> {
  return pool
    .rows<StoredAttempt & { index: number }>(
      `select distinct on (index, attempt) * from (
       select i.index, e.seq, i.n, f.*
       from attempt_end e
         cross join lateral unnest(e.indexes) with ordinality as i(index, n)
         cross join lateral (select ${FIELDS}) f
       where e.shard = $1 and e.experiment = $2 and e.template = $3 and e.index_low <= $5 and e.index_high >= $4
         and i.index between $4 and $5) ended
     order by index, attempt, disposition, seq desc, n desc`,
      [shard, experiment, template, from, to],
    )
    .then((rows) => rows.map(withoutPlace));
}

/**
 * Final ends that did not complete, newest first, one per task. A task that was retried since counts by what came of it.
 */
export function finalFailures(
  pool: ConnectionPool,
  shard: number,
  experiment: ExperimentId,
  limit: number,
): Promise<(StoredAttempt & { template: number })[]> {
  // Only after a retry can a later end be another one; without a retry the second part reads no row.
  return pool
    .rows<StoredAttempt & { template: number }>(
      `with retried as (
         select min(seq) as seq from decision where shard = $1 and experiment = $2 and kind = 'retry'
       ), later as (
         select e.template, i.index, max(e.seq) as seq
         from attempt_end e cross join lateral unnest(e.indexes) with ordinality as i(index, n)
         where e.shard = $1 and e.experiment = $2 and e.seq > (select seq from retried)
           and coalesce(e.dispositions[i.n], e.dispositions[1], 0) = 0
         group by e.template, i.index
       )
       select e.template, i.index, e.seq, i.n, f.*
       from attempt_end e
         cross join lateral unnest(e.indexes) with ordinality as i(index, n)
         cross join lateral (select ${FIELDS}) f
         left join later l on l.template = e.template and l.index = i.index and l.seq > e.seq
       where e.shard = $1 and e.experiment = $2 and e.outcomes is not null
         and f.disposition = 0 and f.outcome <> 0 and l.seq is null
       order by e.seq desc, e.position, i.n limit $3`,
      [shard, experiment, limit],
    )
    .then((rows) => rows.map(withoutPlace));
}

/**
 * Median and longest run of the tasks that completed, by template. Of a very large experiment the first million ends are
 * looked at: about a second, and the median has long settled.
 */
export function completedRunTimes(
  pool: ConnectionPool,
  shard: number,
  experiment: ExperimentId,
): Promise<StoredRunTime[]> {
  return pool.rows<StoredRunTime>(
    `select template, percentile_cont(0.5) within group (order by ms) as "medianMs", max(ms)::float8 as "maxMs"
     from (
       select e.template, greatest(0, coalesce(e.ended_at_ms[i.n], e.ended_at_ms[1]) - coalesce(e.started_at_ms[i.n], e.started_at_ms[1])) as ms
       from attempt_end e cross join lateral unnest(e.indexes) with ordinality as i(index, n)
       where e.shard = $1 and e.experiment = $2
         and coalesce(e.outcomes[i.n], e.outcomes[1], 0) = 0 and coalesce(e.dispositions[i.n], e.dispositions[1], 0) = 0
         and coalesce(e.started_at_ms[i.n], e.started_at_ms[1], 0) > 0
       limit $3) runs
     group by template order by template`,
    [shard, experiment, RUN_TIMES_READ_MAX],
  );
}

/** Drops what only the ordering needed. */
function withoutPlace<T extends object>(row: T): T {
  const { seq: _, n: __, ...rest } = row as T & { seq: number; n: number };
  return rest as T;
}
