/**
 * Batches read back from the journal's tables, exactly as they were appended. Rows come a range of seq at a time, so that
 * what the driver holds beside the result is bounded.
 */
import type { Connection } from "../../db/connection.ts";
import type { ActorId, AgentId, ExperimentId, ProjectId } from "../../shared/model/ids.ts";
import type { Batch, CounterDelta, DecisionKind, EndRecord } from "../dispatch/batch.ts";
import { expand } from "./columns.ts";
import { definitionsBySeq } from "./definitions.ts";

/** Whose batches: all of a shard, or what one experiment has in them. */
export interface BatchScope {
  shard: number;
  experiment: ExperimentId | null;
}

/** At 2,000 tasks a batch these are 10 million ends, some hundred MB on their way; usually it is one page in all. */
const PAGE_BATCHES = 5_000;
export const LOAD_QUERY_TIMEOUT_MS = 60_000;

/** Those after `after`, ascending. With an experiment, only its own records of those that have any. */
export async function readBatches(connection: Connection, scope: BatchScope, after: number): Promise<Batch[]> {
  const batches: Batch[] = [];
  for (let from = after; ; ) {
    const page = await readHeads(connection, scope, from);
    const first = page[0];
    const last = page.at(-1);
    if (!first || !last) return batches;
    await fillIn(connection, scope, new Map(page.map((batch) => [batch.seq, batch])), first.seq, last.seq);
    for (const batch of page) batches.push(batch);
    from = last.seq;
  }
}

interface HeadRow {
  seq: number;
  term: number;
  at: Date;
  deltas: number[] | null;
}

async function readHeads(connection: Connection, scope: BatchScope, after: number): Promise<Batch[]> {
  const { shard, experiment } = scope;
  const own = `and seq in (
      select seq from experiment where shard = $1 and experiment = $3
      union all select seq from lease where shard = $1 and experiment = $3 and seq > $2
      union all select seq from attempt_end where shard = $1 and experiment = $3 and seq > $2
      union all select seq from decision where shard = $1 and experiment = $3 and seq > $2)`;
  const rows = await connection.rows<HeadRow>(
    `select seq, term, at, deltas from journal where shard = $1 and seq > $2 ${experiment === null ? "" : own}
     order by seq limit ${PAGE_BATCHES}`,
    experiment === null ? [shard, after] : [shard, after, experiment],
    LOAD_QUERY_TIMEOUT_MS,
  );
  return rows.map(({ seq, term, at, deltas }) => ({
    shard,
    term,
    seq,
    atMs: at.getTime(),
    submits: [],
    leases: [],
    ends: [],
    decisions: [],
    deltas: deltasOf(deltas ?? [], experiment),
  }));
}

function deltasOf(numbers: number[], only: ExperimentId | null): CounterDelta[] {
  const deltas: CounterDelta[] = [];
  for (let i = 0; i < numbers.length; i += 6) {
    const [experiment, leased, completed, failed, canceled, requeued] = numbers.slice(i, i + 6) as [
      ExperimentId,
      ...[number, number, number, number, number],
    ];
    if (only === null || only === experiment)
      deltas.push({ experiment, leased, completed, failed, canceled, requeued });
  }
  return deltas;
}

type BySeq = Map<number, Batch>;

async function fillIn(
  connection: Connection,
  scope: BatchScope,
  batches: BySeq,
  first: number,
  last: number,
): Promise<void> {
  const own = scope.experiment === null ? "" : "and experiment = $4";
  const where = `where shard = $1 and seq between $2 and $3 ${own}`;
  const values = [scope.shard, first, last, ...(scope.experiment === null ? [] : [scope.experiment])];
  await readSubmits(connection, batches, where, values);
  await readLeases(connection, batches, where, values);
  await readEnds(connection, batches, where, values);
  await readDecisions(connection, batches, where, values);
}

async function readSubmits(connection: Connection, batches: BySeq, where: string, values: number[]): Promise<void> {
  for (const row of await definitionsBySeq(connection, where, values)) {
    batches.get(row.seq)?.submits.push({
      experiment: row.experiment,
      project: row.project as ProjectId,
      actor: row.actor as ActorId,
      definition: row.definition,
      specText: row.spec,
      idempotency: row.key === null ? null : { key: row.key, bodyHash: row.bodyHash as string },
    });
  }
}

interface LeaseRow {
  seq: number;
  agent: AgentId;
  epoch: number;
  root: string;
  experiment: ExperimentId;
  template: number;
  indexes: number[];
  attempts: number[] | null;
}

async function readLeases(connection: Connection, batches: BySeq, where: string, values: number[]): Promise<void> {
  const rows = await connection.rows<LeaseRow>(
    `select seq, agent, epoch, root, experiment, template, indexes, attempts from lease ${where} order by seq, position`,
    values,
    LOAD_QUERY_TIMEOUT_MS,
  );
  for (const { seq, attempts, ...lease } of rows) {
    batches.get(seq)?.leases.push({ ...lease, attempts: expand(attempts, lease.indexes.length, 1) });
  }
}

type Column = number[] | null;

interface EndRow {
  seq: number;
  experiment: ExperimentId;
  template: number;
  indexes: number[];
  attempts: Column;
  agents: number[];
  dispositions: Column;
  outcomes: Column;
  blames: Column;
  charges: Column;
  exit_codes: Column;
  signals: Column;
  not_before_ms: Column;
  started_at_ms: Column;
  ended_at_ms: Column;
  cpu_ms: Column;
  memory_max_bytes: Column;
  read_bytes: Column;
  written_bytes: Column;
  tails: Record<string, string> | null;
  details: Record<string, string> | null;
}

async function readEnds(connection: Connection, batches: BySeq, where: string, values: number[]): Promise<void> {
  const rows = await connection.rows<EndRow>(
    `select seq, experiment, template, indexes, attempts, agents, dispositions, outcomes, blames, charges, exit_codes, signals,
       not_before_ms, started_at_ms, ended_at_ms, cpu_ms, memory_max_bytes, read_bytes, written_bytes,
       tails, details
     from attempt_end ${where} order by seq, position`,
    values,
    LOAD_QUERY_TIMEOUT_MS,
  );
  for (const row of rows) batches.get(row.seq)?.ends.push(endOf(row));
}

function endOf(row: EndRow): EndRecord {
  const { length } = row.indexes;
  return {
    experiment: row.experiment,
    template: row.template,
    indexes: row.indexes,
    attempts: expand(row.attempts, length, 1),
    agents: expand(row.agents, length, 0),
    dispositions: expand(row.dispositions, length, 0),
    outcomes: expand(row.outcomes, length, 0),
    blames: expand(row.blames, length, 0),
    charges: expand(row.charges, length, 0),
    exitCodes: expand(row.exit_codes, length, 0),
    signals: expand(row.signals, length, 0),
    notBeforeMs: expand(row.not_before_ms, length, 0),
    startedAtMs: expand(row.started_at_ms, length, 0),
    endedAtMs: expand(row.ended_at_ms, length, 0),
    cpuMs: expand(row.cpu_ms, length, 0),
    memoryMaxBytes: expand(row.memory_max_bytes, length, 0),
    ...storageOf(row),
    tails: row.tails ?? {},
    details: row.details ?? {},
  };
}

/** Of a batch's records only some may have touched storage; none has columns of zeros. */
function storageOf({ indexes, read_bytes, written_bytes }: EndRow): Pick<EndRecord, "storage"> {
  if (read_bytes === null && written_bytes === null) return {};
  const storage = {
    readBytes: expand(read_bytes, indexes.length, 0),
    writtenBytes: expand(written_bytes, indexes.length, 0),
  };
  const some = storage.readBytes.some(Boolean) || storage.writtenBytes.some(Boolean);
  return some ? { storage } : {};
}

interface DecisionRow {
  seq: number;
  kind: DecisionKind;
  experiment: ExperimentId;
  actor: ActorId;
  reason: string;
  scope: { template: number; ranges: [number, number][] }[] | null;
  value: number | string | null;
  completed: number | null;
  failed: number | null;
  canceled: number | null;
}

async function readDecisions(connection: Connection, batches: BySeq, where: string, values: number[]): Promise<void> {
  const rows = await connection.rows<DecisionRow>(
    `select seq, kind, experiment, actor, reason, scope, value, completed, failed, canceled
     from decision ${where} order by seq, position`,
    values,
    LOAD_QUERY_TIMEOUT_MS,
  );
  for (const { seq, completed, failed, canceled, ...decision } of rows) {
    const counted = completed !== null && failed !== null && canceled !== null;
    batches.get(seq)?.decisions.push({ ...decision, ...(counted ? { counts: { completed, failed, canceled } } : {}) });
  }
}
