/**
 * Everything that is durable about unfinished work, for a new dispatcher; and the same of one experiment, for who wants to
 * look into an ended one. One snapshot of the database, so that the pieces fit each other.
 */
import type { Connection } from "../../db/connection.ts";
import type { ActorId, AgentId, ExperimentId, ProjectId } from "../../shared/model/ids.ts";
import type { LoadedExperiment, LoadedState } from "../dispatch/load.ts";
import type { EncodedChunk, EncodedExperiment } from "../dispatch/ports.ts";
import { LOAD_QUERY_TIMEOUT_MS, readBatches } from "./batches.ts";
import { definitionsBySeq } from "./definitions.ts";
import { readProjects, readUsage } from "./projects.ts";

interface Head {
  term: number;
  timeline: number;
  checkpointSeq: number;
  experimentMax: number;
}

/** The whole of a shard. `connection` is used alone until this resolves. */
export function loadShard(connection: Connection, shard: number): Promise<LoadedState> {
  return inSnapshot(connection, async () => {
    const head = await readHead(connection, shard);
    // Submitted by then, and not ended by then (or ended, and reopened since).
    const where = "where shard = $1 and seq <= $2 and (ended_seq is null or ended_seq > $2)";
    const values = [shard, head.checkpointSeq];
    return {
      shard,
      ...head,
      experiments: await readExperiments(connection, where, values),
      experimentStates: await readStates(connection, where, values),
      chunks: await readChunks(connection, where, values),
      batches: await readBatches(connection, { shard, experiment: null }, head.checkpointSeq),
      projects: await readProjects((text) => connection.rows(text, [], LOAD_QUERY_TIMEOUT_MS)),
      usage: await readUsage(connection, shard),
      absences: await readAbsences(connection),
      idempotency: await readIdempotency(connection, shard),
    };
  });
}

/**
 * One experiment, ended or not; null when there is none, or it is archived. `batches` are those after the checkpoint that name it, with its
 * own records alone, so their seqs have gaps.
 */
export function loadOne(connection: Connection, shard: number, experiment: ExperimentId): Promise<LoadedState | null> {
  return inSnapshot(connection, async () => {
    const head = await readHead(connection, shard);
    if (await isArchived(connection, shard, experiment)) return null;
    const where = "where shard = $1 and seq <= $2 and experiment = $3";
    const values = [shard, head.checkpointSeq, experiment];
    const experiments = await readExperiments(connection, where, values);
    const batches = await readBatches(connection, { shard, experiment }, head.checkpointSeq);
    if (experiments.length === 0 && batches.length === 0) return null;
    return {
      shard,
      ...head,
      experiments,
      experimentStates: await readStates(connection, where, values),
      chunks: await readChunks(connection, where, values),
      batches,
      idempotency: [],
    };
  });
}

async function isArchived(connection: Connection, shard: number, experiment: ExperimentId): Promise<boolean> {
  const text = "select from experiment where shard = $1 and experiment = $2 and archived_at is not null";
  return (await connection.rows(text, [shard, experiment], LOAD_QUERY_TIMEOUT_MS)).length > 0;
}

async function inSnapshot<T>(connection: Connection, read: () => Promise<T>): Promise<T> {
  await connection.query("begin isolation level repeatable read read only", LOAD_QUERY_TIMEOUT_MS);
  try {
    return await read();
  } finally {
    if (!connection.isLost) await connection.query("commit", LOAD_QUERY_TIMEOUT_MS);
  }
}

async function readHead(connection: Connection, shard: number): Promise<Head> {
  const [row] = await connection.rows<Head>(
    `select term, timeline,
       coalesce((select max(seq) from checkpoint where shard = $1), 0) as "checkpointSeq",
       coalesce((select max(experiment) from experiment where shard = $1), 0) as "experimentMax"
     from leadership where shard = $1`,
    [shard],
    LOAD_QUERY_TIMEOUT_MS,
  );
  if (!row) throw new Error(`shard ${shard} has no leadership row`);
  return row;
}

async function readExperiments(connection: Connection, where: string, values: number[]): Promise<LoadedExperiment[]> {
  const rows = await definitionsBySeq(connection, where, values);
  return rows.map(({ experiment, project, actor, definition, submittedAt }) => ({
    experiment,
    project: project as ProjectId,
    actor: actor as ActorId,
    definition,
    submittedAtMs: submittedAt.getTime(),
  }));
}

/** The newest row of each at or before the checkpoint ($2). */
function readStates(connection: Connection, where: string, values: number[]): Promise<EncodedExperiment[]> {
  return connection.rows<EncodedExperiment>(
    `select distinct on (c.experiment) c.experiment, c.data
     from (select shard, experiment from experiment ${where}) x
       join checkpoint_experiment c on c.shard = x.shard and c.experiment = x.experiment and c.seq <= $2
     order by c.experiment, c.seq desc`,
    values,
    LOAD_QUERY_TIMEOUT_MS,
  );
}

function readChunks(connection: Connection, where: string, values: number[]): Promise<EncodedChunk[]> {
  return connection.rows<EncodedChunk>(
    `select distinct on (c.experiment, c.template, c.chunk) c.experiment, c.template, c.chunk, c.data
     from (select shard, experiment from experiment ${where}) x
       join checkpoint_chunk c on c.shard = x.shard and c.experiment = x.experiment and c.seq <= $2
     order by c.experiment, c.template, c.chunk, c.seq desc`,
    values,
    LOAD_QUERY_TIMEOUT_MS,
  );
}

async function readAbsences(connection: Connection): Promise<LoadedState["absences"]> {
  const text = "select agent, since from agent_absence";
  const rows = await connection.rows<{ agent: AgentId; since: Date }>(text, [], LOAD_QUERY_TIMEOUT_MS);
  return rows.map(({ agent, since }) => ({ agent, sinceMs: since.getTime() }));
}

async function readIdempotency(connection: Connection, shard: number): Promise<LoadedState["idempotency"]> {
  const rows = await connection.rows<{
    actor: ActorId;
    key: string;
    bodyHash: string;
    experiment: ExperimentId;
    at: Date;
  }>(
    `select actor, key, body_hash as "bodyHash", experiment, created_at as at from idempotency
     where shard = $1 and created_at > now() - interval '24 hours' order by experiment`,
    [shard],
    LOAD_QUERY_TIMEOUT_MS,
  );
  return rows.map(({ at, ...row }) => ({ ...row, atMs: at.getTime() }));
}
