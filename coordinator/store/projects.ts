/**
 * Projects: weights and limits, changed by people in transactions of their own, and what projects used, written with each
 * checkpoint. A change raises the version, so that two that meet are told apart.
 */
import type pg from "pg";
import type { Connection } from "../../db/connection.ts";
import type { ConnectionPool } from "../../db/pool.ts";
import { AiravataError } from "../../shared/error/error.ts";
import type { ProjectId } from "../../shared/model/ids.ts";
import type { RelationshipChange } from "../../shared/model/relationship.ts";
import type { ProjectConfig, ProjectUsage } from "../dispatch/load.ts";
import type { EncodedCheckpoint } from "../dispatch/ports.ts";
import { type AuditEntry, type By, writeAudit } from "./audit.ts";
import { LOAD_QUERY_TIMEOUT_MS } from "./batches.ts";
import { writeRelationships } from "./relationships.ts";
import { transaction } from "./transaction.ts";

/** What may be changed; what is left out stays, null takes a limit away. */
export interface ProjectChange {
  weight?: number | undefined;
  runningTasks?: number | null | undefined;
  cpus?: number | null | undefined;
  cpuHours?: number | null | undefined;
  /** Another length begins a new period now. */
  periodMs?: number | undefined;
  onRemoval?: OnRemoval | undefined;
}

/** What becomes of the unfinished experiments of somebody who may not submit any more. */
export type OnRemoval = "keep" | "pause" | "cancel";

export interface StoredProject extends ProjectConfig {
  createdAtMs: number;
  onRemoval: OnRemoval;
}

export interface ProjectStore {
  /** All of them, by number. */
  list(): Promise<StoredProject[]>;
  find(name: string): Promise<StoredProject | undefined>;
  /** Throws `project_name_taken`. */
  create(name: string, change: ProjectChange, by: By): Promise<{ stored: StoredProject; relationship: number }>;
  /** Undefined when there is none of that name, or, with `version`, when it has another one. */
  change(name: string, change: ProjectChange, version: number | null, by: By): Promise<StoredProject | undefined>;
}

interface ProjectRow {
  project: ProjectId;
  name: string;
  created_at: Date;
  weight: number;
  max_running_tasks: number | null;
  max_cpus: number | null;
  max_cpu_hours: number | null;
  period_seconds: number;
  period_from: Date;
  on_removal: OnRemoval;
  version: number;
}

const UNIQUE_VIOLATION = "23505";
const COLUMNS =
  "project, name, created_at, weight, max_running_tasks, max_cpus, max_cpu_hours, period_seconds, period_from, on_removal, version";

export function createProjectStore(pool: ConnectionPool): ProjectStore {
  return {
    list: () => readProjects((text) => pool.rows(text, [])),
    find: async (name) => {
      const [row] = await pool.rows<ProjectRow>(`select ${COLUMNS} from project where name = $1`, [name]);
      return row && projectOf(row);
    },
    create: async (name, change, by) => {
      try {
        return await transaction(pool, async (connection) => {
          const [row] = await connection.rows<ProjectRow>(
            `insert into project (name, weight, max_running_tasks, max_cpus, max_cpu_hours, period_seconds, on_removal)
             values ($1, coalesce($2::float8, 1), $3, $4, $5, coalesce($6::bigint, 2592000), coalesce($7, 'keep'))
             returning ${COLUMNS}`,
            [name, ...columnsOf(change), change.onRemoval ?? null],
            TIMEOUT_MS,
          );
          const stored = projectOf(row as ProjectRow);
          const relationship = await writeRelationships(connection, [ofPlatform(stored.project)], by.actor);
          await writeAudit(connection, [entryOf("project.create", by, undefined, stored)]);
          return { stored, relationship };
        });
      } catch (error) {
        if ((error as { code?: string }).code !== UNIQUE_VIOLATION) throw error;
        throw new AiravataError("project_name_taken", `there is a project "${name}" already: choose another name`);
      }
    },
    change: (name, change, version, by) =>
      transaction(pool, async (connection) => {
        const given = [change.runningTasks, change.cpus, change.cpuHours].map((limit) => limit !== undefined);
        const text = `select ${COLUMNS} from project where name = $1 for update`;
        const [before] = await connection.rows<ProjectRow>(text, [name], TIMEOUT_MS);
        const [row] = await connection.rows<ProjectRow>(
          `update project set version = version + 1,
           weight = coalesce($2::float8, weight),
           max_running_tasks = case when $7::bool then $3::integer else max_running_tasks end,
           max_cpus = case when $8::bool then $4::float8 else max_cpus end,
           max_cpu_hours = case when $9::bool then $5::float8 else max_cpu_hours end,
           period_from = case when coalesce($6::bigint, period_seconds) = period_seconds then period_from else now() end,
           period_seconds = coalesce($6::bigint, period_seconds),
           on_removal = coalesce($11, on_removal)
         where name = $1 and ($10::bigint is null or version = $10) returning ${COLUMNS}`,
          [name, ...columnsOf(change), ...given, version, change.onRemoval ?? null],
          TIMEOUT_MS,
        );
        if (!row || !before) return undefined;
        const stored = projectOf(row);
        await writeAudit(connection, [entryOf("project.change", by, projectOf(before), stored)]);
        return stored;
      }),
  };
}

const TIMEOUT_MS = 5_000;

/** Whoever administers the platform administers each of its projects. */
function ofPlatform(project: ProjectId): RelationshipChange {
  const resource = { type: "project", id: String(project) };
  return { op: "touch", relationship: { resource, relation: "platform", subject: { type: "platform", id: "main" } } };
}

function entryOf(action: string, by: By, before: StoredProject | undefined, after: StoredProject): AuditEntry {
  const { project } = after;
  return { by, action, resource: { type: "project", id: project }, project, before, after };
}

function columnsOf({ weight, runningTasks, cpus, cpuHours, periodMs }: ProjectChange): (number | null)[] {
  const seconds = periodMs === undefined ? null : periodMs / 1000;
  return [weight ?? null, runningTasks ?? null, cpus ?? null, cpuHours ?? null, seconds];
}

/** Also within the snapshot of a load. */
export async function readProjects(rows: (text: string) => Promise<unknown[]>): Promise<StoredProject[]> {
  return ((await rows(`select ${COLUMNS} from project order by project`)) as ProjectRow[]).map(projectOf);
}

function projectOf(row: ProjectRow): StoredProject {
  return {
    project: row.project,
    name: row.name,
    createdAtMs: row.created_at.getTime(),
    weight: row.weight,
    limits: {
      runningTasks: row.max_running_tasks,
      cpus: row.max_cpus,
      cpuHours: row.max_cpu_hours,
      periodMs: row.period_seconds * 1000,
      periodFromMs: row.period_from.getTime(),
    },
    onRemoval: row.on_removal,
    version: row.version,
  };
}

export async function readUsage(connection: Connection, shard: number): Promise<ProjectUsage[]> {
  const rows = await connection.rows<Omit<ProjectUsage, "atMs" | "periodMs"> & { at: Date; began: Date }>(
    `select project, at, usage, recent, period_began as began, period_used as "periodUsed"
     from project_usage where shard = $1`,
    [shard],
    LOAD_QUERY_TIMEOUT_MS,
  );
  return rows.map(({ at, began, ...row }) => ({ ...row, atMs: at.getTime(), periodMs: began.getTime() }));
}

/** In the transaction of the checkpoint: it counts with it or not at all. */
export function saveUsage({ shard, seq, usage = [] }: EncodedCheckpoint): pg.QueryConfig {
  const column = (value: (row: ProjectUsage) => number): number[] => usage.map(value);
  return {
    text: `insert into project_usage (shard, project, seq, at, usage, recent, period_began, period_used)
           select $1, u.project, $2, to_timestamp(u.at / 1000), u.usage, u.recent, to_timestamp(u.began / 1000), u.used
           from unnest($3::bigint[], $4::float8[], $5::float8[], $6::float8[], $7::float8[], $8::float8[])
             as u (project, at, usage, recent, began, used) join project p on p.project = u.project
           on conflict (shard, project) do update set seq = excluded.seq, at = excluded.at, usage = excluded.usage,
             recent = excluded.recent, period_began = excluded.period_began, period_used = excluded.period_used`,
    values: [
      shard,
      seq,
      column((row) => row.project),
      column((row) => row.atMs),
      column((row) => row.usage),
      column((row) => row.recent),
      column((row) => row.periodMs),
      column((row) => row.periodUsed),
    ],
  };
}
