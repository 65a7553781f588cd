/** Experiments as they stand in the journal: lists, definitions, decisions; and the state of one that is not in memory. */
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import type { ConnectionPool } from "../../db/pool.ts";
import type { ExperimentDefinition } from "../../shared/model/definition.ts";
import type { ActorId, ExperimentId, ProjectId } from "../../shared/model/ids.ts";
import { completedRunTimes, endedAttempts, finalFailures } from "./attempts.ts";
import { definitionsBySeq } from "./definitions.ts";
import { loadOne } from "./load.ts";
import type { ExperimentQuery, StoredDecision, StoredExperiment, StoredHistory } from "./records.ts";
import { readSummary } from "./retention.ts";

export function createHistory(pool: ConnectionPool, shard: number): StoredHistory {
  return {
    experiments: (query) => listExperiments(pool, shard, query),
    experiment: async (id) => (await selectExperiments(pool, "x.shard = $1 and x.experiment = $2", [shard, id], 1))[0],
    facts: async (id) => {
      const text = "select project, actor from experiment where shard = $1 and experiment = $2";
      return (await pool.rows<{ project: ProjectId; actor: ActorId }>(text, [shard, id]))[0];
    },
    definition: (id) => readDefinition(pool, shard, id),
    summary: (id) => readSummary(pool, shard, id),
    specText: (id) => readSpec(pool, shard, id),
    attempts: (key, from, to) => endedAttempts(pool, shard, key, from, to),
    failures: (id, limit) => finalFailures(pool, shard, id, limit),
    runTimes: (id) => completedRunTimes(pool, shard, id),
    decisions: (id, after, limit) => readDecisions(pool, shard, id, after, limit),
    project: async (name) => {
      const rows = await pool.rows<{ project: ProjectId }>("select project from project where name = $1", [name]);
      return rows[0]?.project;
    },
    load: (id) => pool.use((connection) => loadOne(connection, shard, id)),
  };
}

const unzip = promisify(gunzip);

async function readSpec(pool: ConnectionPool, shard: number, id: ExperimentId): Promise<string | undefined> {
  const [row] = await pool.rows<{ text: string | null; gzip: Buffer | null }>(
    `select (select spec from experiment_source where shard = $1 and experiment = $2) as text,
       (select spec from experiment_summary where shard = $1 and experiment = $2) as gzip`,
    [shard, id],
  );
  if (row?.gzip) return (await unzip(row.gzip)).toString("utf8");
  return row?.text ?? undefined;
}

interface ExperimentRow {
  experiment: ExperimentId;
  name: string;
  project: string;
  priority: number;
  submitted_at: Date;
  tasks: number;
  state: "COMPLETED" | "FAILED" | "CANCELED" | null;
  ended_at: Date | null;
  ended_seq: number | null;
  completed: number | null;
  failed: number | null;
  canceled: number | null;
  archived_at: Date | null;
}

async function selectExperiments(
  pool: ConnectionPool,
  where: string,
  values: unknown[],
  limit: number,
): Promise<StoredExperiment[]> {
  const rows = await pool.rows<ExperimentRow>(
    `select x.experiment, x.name, p.name as project, x.priority, x.submitted_at, x.tasks, x.state, x.ended_at, x.ended_seq,
       x.completed, x.failed, x.canceled, x.archived_at
     from experiment x join project p on p.project = x.project
     where ${where} order by x.experiment desc limit ${limit}`,
    values,
  );
  return rows.map(storedOf);
}

function storedOf(row: ExperimentRow): StoredExperiment {
  const { experiment, name, project, priority, tasks, state, ended_at, ended_seq, completed, failed, canceled } = row;
  const end =
    state === null || ended_at === null || ended_seq === null
      ? null
      : {
          state,
          atMs: ended_at.getTime(),
          seq: ended_seq,
          completed: completed ?? 0,
          failed: failed ?? 0,
          canceled: canceled ?? 0,
        };
  const [submittedAtMs, archivedAtMs] = [row.submitted_at.getTime(), row.archived_at?.getTime() ?? null];
  return { experiment, name, project, priority, submittedAtMs, tasks, end, archivedAtMs };
}

/** Newest first. `name` finds it anywhere in a name, whatever the case. */
function listExperiments(pool: ConnectionPool, shard: number, query: ExperimentQuery): Promise<StoredExperiment[]> {
  const values: unknown[] = [shard];
  const conditions = ["x.shard = $1"];
  const add = (condition: string, value: unknown): void => {
    values.push(value);
    conditions.push(condition.replace("?", `$${values.length}`));
  };
  if (query.before !== null) add("x.experiment < ?", query.before);
  if (query.state === "unfinished") conditions.push("x.state is null");
  else if (query.state !== null) add("x.state = ?", query.state);
  if (query.project !== null) add("x.project = (select q.project from project q where q.name = ?)", query.project);
  if (query.name !== null) add("position(lower(?) in lower(x.name)) > 0", query.name);
  if (query.visible !== null) {
    // A project's newest are found by its index; those of a few projects are put together from there.
    const { projects, experiments } = query.visible;
    const rest = conditions.slice(1).map((condition) => `and ${condition.replaceAll("x.", "y.")}`);
    const newest = `(select y.experiment from experiment y where y.project = v and y.shard = $1 ${rest.join(" ")}
      order by y.experiment desc limit ${query.limit})`;
    values.push(projects, experiments);
    conditions.push(`(x.experiment in (select n.experiment from unnest($${values.length - 1}::bigint[]) as v, lateral ${newest} n)
      or x.experiment = any($${values.length}::bigint[]))`);
  }
  return selectExperiments(pool, conditions.join(" and "), values, query.limit);
}

function readDefinition(
  pool: ConnectionPool,
  shard: number,
  id: ExperimentId,
): Promise<ExperimentDefinition | undefined> {
  return pool.use(async (connection) => {
    const rows = await definitionsBySeq(connection, "where shard = $1 and experiment = $2", [shard, id]);
    return rows[0]?.definition;
  });
}

async function readDecisions(
  pool: ConnectionPool,
  shard: number,
  id: ExperimentId,
  after: number,
  limit: number,
): Promise<StoredDecision[]> {
  const rows = await pool.rows<Omit<StoredDecision, "atMs"> & { at: Date; actor: ActorId }>(
    `select d.seq, j.at, d.kind, d.actor, d.reason, d.value
     from decision d join journal j on j.shard = d.shard and j.seq = d.seq
     where d.shard = $1 and d.experiment = $2 and d.seq > $3 order by d.seq, d.position limit $4`,
    [shard, id, after, limit],
  );
  return rows.map(({ at, ...row }) => ({ ...row, atMs: at.getTime() }));
}
