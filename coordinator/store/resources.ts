/** Compute and storage resources: what there is, how it is reached, and whose it is. Secrets are elsewhere. */
import type { Connection } from "../../db/connection.ts";
import type { ConnectionPool } from "../../db/pool.ts";
import { AiravataError } from "../../shared/error/error.ts";
import { OPERATOR_ACTOR, type ProjectId } from "../../shared/model/ids.ts";
import type { Relationship } from "../../shared/model/relationship.ts";
import { type By, writeAudit } from "./audit.ts";
import { grantOf } from "./grants.ts";
import { changesTo, lockRelationships, PLATFORM_MAIN, relationshipsOf, writeRelationships } from "./relationships.ts";
import { transaction } from "./transaction.ts";

export type Registry = "compute_resource" | "storage_resource";
export type Configuration = Record<string, string | number | boolean | string[]>;

export interface StoredResource {
  id: number;
  name: string;
  kind: string;
  /** Whose it is; null: the installation's. */
  project: { id: ProjectId; name: string } | null;
  description: string;
  configuration: Configuration;
  createdAtMs: number;
  version: number;
}

export interface NewResource {
  name: string;
  kind: string;
  project: ProjectId | null;
  description: string;
  configuration: Configuration;
}

export interface ResourceStore {
  /** By name, beginning after `after`. `only`: of these numbers. */
  list(after: string, limit: number, only: number[] | null): Promise<StoredResource[]>;
  find(id: number): Promise<StoredResource | undefined>;
  /** By name, or by number. */
  numberOf(name: string): Promise<number | undefined>;
  /** Whoever makes it is its owner. Throws `resource_name_taken`. */
  create(resource: NewResource, by: By): Promise<{ id: number; change: number }>;
  /** What is left out stays. Undefined when there is none, or, with `version`, when it has another one. */
  change(
    id: number,
    change: { description: string | undefined; configuration: Configuration | undefined; version: number | null },
    by: By,
  ): Promise<StoredResource | undefined>;
  /** With its shares. Undefined when there is none. Throws `resource_in_use`. */
  remove(id: number, by: By): Promise<{ stored: StoredResource; change: number } | undefined>;
}

interface ResourceRow {
  id: number;
  name: string;
  kind: string;
  project: ProjectId | null;
  project_name: string | null;
  description: string;
  configuration: Configuration;
  created_at: Date;
  version: number;
}

const TIMEOUT_MS = 5_000;
const UNIQUE_VIOLATION = "23505";
const FOREIGN_KEY_VIOLATION = "23503";

export function createResourceStore(pool: ConnectionPool, registry: Registry): ResourceStore {
  const columns = `r.${registry} as id, r.name, r.kind, r.project, p.name as project_name, r.description,
                   r.configuration, r.created_at, r.version`;
  const source = `${registry} r left join project p using (project)`;
  const read = async (connection: Connection, id: number): Promise<StoredResource | undefined> => {
    const text = `select ${columns} from ${source} where r.${registry} = $1`;
    const [row] = await connection.rows<ResourceRow>(text, [id], TIMEOUT_MS);
    return row && resourceOf(row);
  };
  return {
    list: async (after, limit, only) => {
      const text = `select ${columns} from ${source} where r.name > $1
                    and ($3::bigint[] is null or r.${registry} = any($3)) order by r.name limit $2`;
      return (await pool.rows<ResourceRow>(text, [after, limit, only])).map(resourceOf);
    },
    find: (id) => pool.use((connection) => read(connection, id)),
    numberOf: async (name) => {
      const text = `select ${registry} as id from ${registry} where name = $1 or ${registry} = $2`;
      const number = /^\d{1,15}$/.test(name) ? Number(name) : null;
      return (await pool.rows<{ id: number }>(text, [name, number]))[0]?.id;
    },
    create: async (resource, by) => {
      try {
        return await transaction(pool, (connection) => create(connection, registry, resource, by));
      } catch (error) {
        if ((error as { code?: string }).code !== UNIQUE_VIOLATION) throw error;
        const what = `a ${registry.replace("_", " ")} "${resource.name}"`;
        throw new AiravataError("resource_name_taken", `there is ${what} already: choose another name`);
      }
    },
    change: (id, { description, configuration, version }, by) =>
      transaction(pool, async (connection) => {
        const text = `select 1 from ${registry} where ${registry} = $1 for update`;
        await connection.rows(text, [id], TIMEOUT_MS);
        const before = await read(connection, id);
        if (!before || (version !== null && before.version !== version)) return undefined;
        await connection.rows(
          `update ${registry} set description = coalesce($2, description), version = version + 1,
             configuration = coalesce($3::jsonb, configuration) where ${registry} = $1`,
          [id, description ?? null, configuration === undefined ? null : JSON.stringify(configuration)],
          TIMEOUT_MS,
        );
        const after = await read(connection, id);
        const entry = { by, action: `${registry}.change`, resource: { type: registry, id }, before, after };
        await writeAudit(connection, [{ ...entry, project: before.project?.id ?? null }]);
        return after;
      }),
    remove: async (id, by) => {
      try {
        return await transaction(pool, async (connection) => {
          const head = await lockRelationships(connection);
          const stored = await read(connection, id);
          if (!stored) return undefined;
          const all = await relationshipsOf(connection, { type: registry, id: String(id) }, { asSubject: false });
          const change = await writeRelationships(connection, changesTo("delete", all), by.actor);
          await connection.rows(`delete from ${registry} where ${registry} = $1`, [id], TIMEOUT_MS);
          const entry = { by, action: `${registry}.delete`, resource: { type: registry, id }, before: stored };
          await writeAudit(connection, [{ ...entry, project: stored.project?.id ?? null }]);
          return { stored, change: change || head };
        });
      } catch (error) {
        if ((error as { code?: string }).code !== FOREIGN_KEY_VIOLATION) throw error;
        const what = `something still refers to ${registry.replace("_", " ")} ${id}`;
        throw new AiravataError("resource_in_use", `${what}: take its bindings away first`, { cause: error });
      }
    },
  };
}

async function create(
  connection: Connection,
  registry: Registry,
  { name, kind, project, description, configuration }: NewResource,
  by: By,
): Promise<{ id: number; change: number }> {
  const [row] = await connection.rows<{ id: number }>(
    `insert into ${registry} (name, kind, project, description, configuration, created_by)
     values ($1, $2, $3, $4, $5, $6) returning ${registry} as id`,
    [name, kind, project, description, JSON.stringify(configuration), by.actor],
    TIMEOUT_MS,
  );
  const { id } = row!;
  const resource = { type: registry, id: String(id) };
  const relationships: Relationship[] = [{ resource, relation: "platform", subject: PLATFORM_MAIN }];
  if (project !== null) {
    relationships.push({ resource, relation: "project", subject: { type: "project", id: String(project) } });
  }
  // The holder of the operator's token may do everything anyway, and owns nothing.
  if (by.actor !== OPERATOR_ACTOR) relationships.push(grantOf(resource, "owner", { type: "user", id: by.actor }));
  const change = await writeRelationships(connection, changesTo("touch", relationships), by.actor);
  const after = { name, kind, project, description, configuration };
  await writeAudit(connection, [{ by, action: `${registry}.create`, resource, project, after }]);
  return { id, change };
}

function resourceOf(row: ResourceRow): StoredResource {
  const { id, name, kind, description, configuration, version } = row;
  const project = row.project === null ? null : { id: row.project, name: row.project_name! };
  return { id, name, kind, project, description, configuration, createdAtMs: row.created_at.getTime(), version };
}
