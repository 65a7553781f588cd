/** What a long run looks like at one moment: how fast it is, and how large everything has become. */
import { readFileSync } from "node:fs";
import type pg from "pg";

export interface Sample {
  tasks: number;
  /** Since the sample before. */
  tasksPerSecond: number;
  /** The database without what stays of every experiment: its row and its summary. */
  sizeBytes: number;
  keptBytes: number;
  deadRows: number;
  partitions: number;
  /** Experiments that are not archived yet. */
  unarchived: number;
  residentBytes: number;
  /** The three largest, partitions counted with their table. */
  largest: { table: string; bytes: number }[];
}

const MIB = 2 ** 20;

export async function takeSample(
  client: pg.Client,
  pid: number,
  since: { tasks: number; atMs: number },
  now: { tasks: number; atMs: number },
): Promise<Sample> {
  const { rows } = await client.query<{ table: string; bytes: string; dead: string; parts: number }>(
    `select coalesce(p.relname, c.relname) as table, sum(pg_total_relation_size(c.oid)) as bytes,
       coalesce(sum(pg_stat_get_dead_tuples(c.oid)), 0) as dead, count(p.oid)::int as parts
     from pg_class c left join pg_inherits i on i.inhrelid = c.oid left join pg_class p on p.oid = i.inhparent
     where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' group by 1 order by 2 desc`,
  );
  const one = async (text: string): Promise<number> =>
    Number((await client.query<{ n: string }>(text)).rows[0]?.n ?? 0);
  const tables = rows.map(({ table, bytes, dead, parts }) => ({
    table,
    bytes: Number(bytes),
    dead: Number(dead),
    parts,
  }));
  const kept = tables.filter(({ table }) => table === "experiment" || table === "experiment_summary");
  const keptBytes = kept.reduce((sum, { bytes }) => sum + bytes, 0);
  return {
    tasks: now.tasks,
    tasksPerSecond: (now.tasks - since.tasks) / ((now.atMs - since.atMs) / 1_000),
    sizeBytes: (await one("select pg_database_size(current_database()) as n")) - keptBytes,
    keptBytes,
    deadRows: tables.reduce((sum, { dead }) => sum + dead, 0),
    partitions: Math.max(...tables.map(({ parts }) => parts)),
    unarchived: await one("select count(*) as n from experiment where archived_at is null"),
    residentBytes: Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1024,
    largest: tables.filter(({ table }) => !kept.some((each) => each.table === table)).slice(0, 3),
  };
}

export const HEAD =
  "    tasks    tasks/s  size MiB  kept MiB  dead rows  partitions  not archived  coordinator MiB  largest";

export function lineOf(sample: Sample): string {
  const mib = (bytes: number): string => (bytes / MIB).toFixed(1);
  const largest = sample.largest.map(({ table, bytes }) => `${table} ${mib(bytes)}`).join(", ");
  return [
    String(sample.tasks).padStart(9),
    sample.tasksPerSecond.toFixed(0).padStart(10),
    mib(sample.sizeBytes).padStart(9),
    mib(sample.keptBytes).padStart(9),
    String(sample.deadRows).padStart(10),
    String(sample.partitions).padStart(11),
    String(sample.unarchived).padStart(13),
    mib(sample.residentBytes).padStart(16),
    ` ${largest}`,
  ].join(" ");
}

export interface Verdict {
  passed: boolean;
  lines: string[];
}

/** The largest size of a saw's later teeth may be so much above the earlier ones'. */
const SIZE_TOLERANCE = 1.15;

/**
 * Whether it is a steady state, from the samples after the warm-up: size and memory of the second half stay within the
 * envelope of the first, and the second half's median rate within the spread of the first.
 */
export function judge(samples: readonly Sample[], warmUpTasks: number): Verdict {
  const steady = samples.filter(({ tasks }) => tasks > warmUpTasks);
  const [first, second] = [steady.slice(0, steady.length >> 1), steady.slice(steady.length >> 1)];
  const peak = (part: readonly Sample[], of: (sample: Sample) => number): number => Math.max(...part.map(of));
  const rates = (part: readonly Sample[]): number[] => part.map((each) => each.tasksPerSecond).sort((a, b) => a - b);
  const median = (numbers: readonly number[]): number => numbers[numbers.length >> 1] ?? 0;
  const [slowest = 0] = rates(first);
  const checks: [string, number, number, boolean][] = [];
  for (const [what, of] of [
    ["size of the database, MiB", (each: Sample) => each.sizeBytes / MIB],
    ["memory of the coordinator, MiB", (each: Sample) => each.residentBytes / MIB],
  ] as const) {
    const [before, after] = [peak(first, of), peak(second, of)];
    checks.push([`${what}: peak of the first half, of the second`, before, after, after <= before * SIZE_TOLERANCE]);
  }
  const [before, after] = [median(rates(first)), median(rates(second))];
  checks.push([
    "tasks/s: median of the first half, of the second",
    before,
    after,
    after >= Math.min(slowest, before * 0.9),
  ]);
  return {
    passed: checks.every(([, , , good]) => good),
    lines: checks.map(
      ([what, a, b, good]) => `${good ? "flat" : "NOT FLAT"}  ${what}: ${a.toFixed(1)}, ${b.toFixed(1)}`,
    ),
  };
}
