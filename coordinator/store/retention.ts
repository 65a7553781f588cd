/**
 * The end of what has ended, in the database: which experiments are due, what their summary is made of, and the one
 * transaction that archives them. It holds the append lock shared and checks the term, like an append; and it is guarded
 * by the end that was summed up, so that an experiment which was retried meanwhile stays as it is.
 */
import type { DatabaseAddress } from "../../db/address.ts";
import type { ConnectionPool } from "../../db/pool.ts";
import type { ExperimentDefinition } from "../../shared/model/definition.ts";
import type { ActorId, ExperimentId, ProjectId } from "../../shared/model/ids.ts";
import { archiveLines } from "./archive-lines.ts";
import { type AuditEntry, type By, writeAudit } from "./audit.ts";
import { allNumbers, BIGINT } from "./columns.ts";
import { definitionsBySeq } from "./definitions.ts";
import { type Dropped, dropPartitions } from "./drop.ts";
import type { ArchiveFile, StoredDecision, StoredSummary } from "./records.ts";
import { APPEND_LOCK } from "./sessions.ts";
import { type Trimmed, Trimmer } from "./trim.ts";

/** An ended experiment that is not archived. */
export interface Archivable {
  experiment: ExperimentId;
  /** Of its end; another one after a retry. */
  endedSeq: number;
  actor: ActorId;
  tasks: number;
  completed: number;
  failed: number;
  /** False while a load might still read batches that name it: then a checkpoint has to come first. */
  folded: boolean;
}

/** What was sent and decided. */
export interface StoredContents {
  experiment: ExperimentId;
  definition: ExperimentDefinition;
  spec: string;
  /** The newest, in order. */
  decisions: StoredDecision[];
}

/** What the attempts of one template used. */
export interface StoredUsage {
  experiment: ExperimentId;
  template: number;
  attempts: number;
  cpuMs: number;
  /** From start to end, all attempts together. */
  wallMs: number;
  memoryMaxBytes: number;
}

export interface ArchiveRecord {
  experiment: ExperimentId;
  endedSeq: number;
  /** JSON. */
  summary: string;
  /** gzip. */
  spec: Uint8Array;
  file: ArchiveFile | null;
}

export interface RetentionStore {
  /** Ended so long ago by the clocks of both sides, folded, oldest first. */
  due(wallMs: number, retentionMs: number, limit: number): Promise<Archivable[]>;
  /** One of them, however long ago it ended; undefined when it has not ended or is archived. */
  archivable(id: ExperimentId): Promise<Archivable | undefined>;
  contents(ids: readonly ExperimentId[], decisionsMax: number): Promise<StoredContents[]>;
  usage(ids: readonly ExperimentId[]): Promise<StoredUsage[]>;
  /** Everything the journal has of it, as lines of JSON without their ends. */
  lines(id: ExperimentId): AsyncIterable<string>;
  /**
   * Archives what still is as it was summed up; returns which. None when another term reigns. `by`: somebody, whom the
   * audit names; null: because its time had come.
   */
  archive(term: number, records: readonly ArchiveRecord[], by: By | null): Promise<ExperimentId[]>;
  /** Drops partitions in which everything is archived. */
  dropPartitions(signal: AbortSignal): Promise<Dropped>;
  /** Removes rows of the other tables that nothing needs any more. */
  trim(signal: AbortSignal): Promise<Trimmed>;
}

const STATEMENT_TIMEOUT_MS = 60_000;

/** A load begins at the newest checkpoint: what it reads names nothing that ended, and was last decided about, before. */
const FOLDED = `x.ended_seq <= c.seq and not exists (
  select from decision d where d.shard = x.shard and d.experiment = x.experiment and d.seq > c.seq)`;
const NEWEST = "(select coalesce(max(seq), 0) as seq from checkpoint where shard = $1) c";
const FIELDS = `x.experiment, x.ended_seq as "endedSeq", x.actor, x.tasks, x.completed, x.failed, (${FOLDED}) as folded`;

export function createRetentionStore(address: DatabaseAddress, pool: ConnectionPool, shard: number): RetentionStore {
  const trimmer = new Trimmer(pool, shard);
  return {
    due: (wallMs, retentionMs, limit) =>
      pool.rows<Archivable>(
        `select ${FIELDS} from experiment x cross join ${NEWEST}
         where x.shard = $1 and x.state is not null and x.archived_at is null
           and x.ended_at <= least(to_timestamp($2 / 1000.0), now()) - $3 * interval '1 ms' and ${FOLDED}
         order by x.ended_at limit $4`,
        [shard, wallMs, retentionMs, limit],
      ),
    archivable: async (id) => {
      const text = `select ${FIELDS} from experiment x cross join ${NEWEST}
        where x.shard = $1 and x.experiment = $2 and x.state is not null and x.archived_at is null`;
      return (await pool.rows<Archivable>(text, [shard, id]))[0];
    },
    contents: (ids, decisionsMax) => readContents(pool, shard, allNumbers([ids], BIGINT), decisionsMax),
    usage: (ids) => pool.rows<StoredUsage>(USAGE, [shard, allNumbers([ids], BIGINT)]),
    lines: (id) => archiveLines(pool, shard, id),
    archive: (term, records, by) => archive(pool, shard, term, records, by),
    dropPartitions: (signal) => dropPartitions(address, shard, signal),
    trim: (signal) => trimmer.run(signal),
  };
}

/** Of many at once: a round trip for each would be what archiving costs. */
async function readContents(
  pool: ConnectionPool,
  shard: number,
  ids: string,
  decisionsMax: number,
): Promise<StoredContents[]> {
  const rows = await pool.use((connection) =>
    definitionsBySeq(connection, "where shard = $1 and experiment = any($2)", [shard, ids]),
  );
  const decisions = await pool.rows<Omit<StoredDecision, "atMs"> & { at: Date; experiment: ExperimentId }>(
    `select d.experiment, d.seq, j.at, d.kind, d.actor, d.reason, d.value
     from unnest($2::bigint[]) x(experiment) cross join lateral (
         select * from decision where shard = $1 and experiment = x.experiment order by seq desc, position desc limit $3) d
       join journal j on j.shard = d.shard and j.seq = d.seq
     order by d.seq, d.position`,
    [shard, ids, decisionsMax],
  );
  const byExperiment = Map.groupBy(decisions, ({ experiment }) => experiment);
  return rows.map(({ experiment, definition, spec }) => ({
    experiment,
    definition,
    spec,
    decisions: (byExperiment.get(experiment) ?? []).map(({ at, experiment: _, ...row }) => ({
      ...row,
      atMs: at.getTime(),
    })),
  }));
}

/**
 * Columns of one element are not unfolded: those of tasks that ended together are common. The others are unfolded once:
 * an element picked by its place would fetch the whole column from its storage each time.
 */
const sumOf = (column: string): string => `case cardinality(e.${column})
  when 1 then e.${column}[1] * cardinality(e.indexes) else (select sum(v) from unnest(e.${column}) v) end`;

const USAGE = `
  select e.experiment, e.template, sum(cardinality(e.indexes)) as attempts,
    coalesce(sum(${sumOf("cpu_ms")}), 0)::float8 as "cpuMs",
    coalesce(sum(case when cardinality(e.started_at_ms) = 1 and cardinality(e.ended_at_ms) = 1 and e.started_at_ms[1] > 0
      then greatest(0, e.ended_at_ms[1] - e.started_at_ms[1]) * cardinality(e.indexes)
      else (select sum(greatest(0, coalesce(v.ended, e.ended_at_ms[1]) - coalesce(v.started, e.started_at_ms[1])))
        from unnest(e.started_at_ms, e.ended_at_ms) v(started, ended)
        where coalesce(v.started, e.started_at_ms[1], 0) > 0) end), 0)::float8 as "wallMs",
    coalesce(max((select max(v) from unnest(e.memory_max_bytes) v)), 0) as "memoryMaxBytes"
  from attempt_end e where e.shard = $1 and e.experiment = any($2)
  group by e.experiment, e.template order by e.experiment, e.template`;

function archive(
  pool: ConnectionPool,
  shard: number,
  term: number,
  records: readonly ArchiveRecord[],
  by: By | null,
): Promise<ExperimentId[]> {
  return pool.use(async (connection) => {
    await connection.query("begin", STATEMENT_TIMEOUT_MS);
    try {
      // A statement of its own before the check: what it sees is then newer than any takeover.
      await connection.query(`select pg_advisory_xact_lock_shared(${APPEND_LOCK}, ${shard})`, STATEMENT_TIMEOUT_MS);
      const rows = await connection.rows<{ experiment: ExperimentId; project: ProjectId }>(
        `with summed as (
           select * from unnest($3::bigint[], $4::bigint[], $5::text[], $6::bytea[], $7::text[], $8::text[], $9::bigint[])
             as s(experiment, ended_seq, summary, spec, file, file_sha256, file_bytes)
         ), archived as (
           update experiment x set archived_at = clock_timestamp()
           from summed s, ${NEWEST}, leadership l
           where l.shard = $1 and l.term = $2 and x.shard = $1 and x.experiment = s.experiment
             and x.ended_seq = s.ended_seq and x.archived_at is null and ${FOLDED}
           returning x.experiment, x.project
         )
         insert into experiment_summary (shard, experiment, summary, spec, file, file_sha256, file_bytes)
         select $1, s.experiment, s.summary, s.spec, s.file, s.file_sha256, s.file_bytes
         from summed s join archived a on a.experiment = s.experiment
         returning experiment, (select project from archived a where a.experiment = experiment_summary.experiment) as project`,
        [
          shard,
          term,
          allNumbers([records.map((record) => record.experiment)], BIGINT),
          allNumbers([records.map((record) => record.endedSeq)], BIGINT),
          records.map((record) => record.summary),
          records.map(({ spec }) => Buffer.from(spec.buffer, spec.byteOffset, spec.byteLength)),
          records.map((record) => record.file?.path ?? null),
          records.map((record) => record.file?.sha256 ?? null),
          records.map((record) => record.file?.sizeBytes ?? null),
        ],
        STATEMENT_TIMEOUT_MS,
      );
      if (by)
        await writeAudit(
          connection,
          rows.map((row) => archivedEntry(row, by)),
        );
      await connection.query("commit", STATEMENT_TIMEOUT_MS);
      return rows.map(({ experiment }) => experiment);
    } catch (error) {
      if (!connection.isLost) await connection.query("rollback", STATEMENT_TIMEOUT_MS).catch(() => {});
      throw error;
    }
  });
}

function archivedEntry({ experiment, project }: { experiment: ExperimentId; project: ProjectId }, by: By): AuditEntry {
  return { by, action: "experiment.archive", resource: { type: "experiment", id: experiment }, project };
}

/** What stays of an archived experiment; undefined when it is not archived. */
export async function readSummary(
  pool: ConnectionPool,
  shard: number,
  id: ExperimentId,
): Promise<StoredSummary | undefined> {
  const [row] = await pool.rows<{
    summary: string;
    file: string | null;
    sha256: string | null;
    sizeBytes: number | null;
  }>(
    `select summary, file, file_sha256 as sha256, file_bytes as "sizeBytes" from experiment_summary
     where shard = $1 and experiment = $2`,
    [shard, id],
  );
  if (!row) return undefined;
  const { summary, file, sha256, sizeBytes } = row;
  const written = file !== null && sha256 !== null && sizeBytes !== null;
  return { summary, file: written ? { path: file, sha256, sizeBytes } : null };
}
