/**
 * Grants: which relation somebody has to a thing, read with names and set in one transaction with its audit entry. Of
 * relations that exclude each other (the roles of a project, reading and writing of a share) each grantee holds one or none.
 */
import type { Connection } from "../../db/connection.ts";
import type { ConnectionPool } from "../../db/pool.ts";
import { AiravataError } from "../../shared/error/error.ts";
import { GRANTS_PER_OBJECT_MAX } from "../../shared/model/constants.ts";
import type { ProjectId } from "../../shared/model/ids.ts";
import type { ObjectRef, Relationship, RelationshipChange } from "../../shared/model/relationship.ts";
import { type By, writeAudit } from "./audit.ts";
import { refuseNesting } from "./nesting.ts";
import { lockRelationships, writeRelationships } from "./relationships.ts";
import { transaction } from "./transaction.ts";

/** A person, or the members of a group. */
export interface Grantee {
  type: "user" | "group";
  id: number;
  name: string;
}

/** By name, or by number. */
export type GranteeName = { user: string } | { group: string };

export interface StoredGrant {
  relation: string;
  grantee: Grantee;
  sinceMs: number;
}

export interface GrantRequest {
  resource: ObjectRef;
  /** The relations that exclude each other. */
  among: readonly string[];
  /** The one that the grantee has from now on; null: none of them. */
  relation: string | null;
  grantee: Grantee;
  by: By;
  action: string;
  project?: ProjectId | null;
  /** Looks at all that is held before the change, while nobody else changes any of it; throws to refuse. */
  check?(held: readonly StoredGrant[]): void;
  /** Written with the first grant on the resource, and gone with the last one. */
  beside?: Relationship;
}

export interface GrantStore {
  /** Undefined when there is no such account or group. */
  grantee(name: GranteeName): Promise<Grantee | undefined>;
  /** Oldest first. */
  list(resource: ObjectRef, among: readonly string[]): Promise<StoredGrant[]>;
  /**
   * Resolves with the number of the change after which it is in force, also when all was so already. Throws
   * `grants_too_many`, `group_nesting_refused`, the code by which the thing is not there, and what `check` throws.
   */
  set(request: GrantRequest): Promise<number>;
}

const TIMEOUT_MS = 5_000;

export function createGrantStore(pool: ConnectionPool): GrantStore {
  return {
    grantee: async (name) => {
      const [row] = await ("user" in name
        ? pool.rows<{ id: number; name: string }>(
            `select actor as id, username as name from account where username = lower($1) or actor = $2
             order by actor = $2 desc nulls last limit 1`,
            [name.user, numberOf(name.user)],
          )
        : pool.rows<{ id: number; name: string }>(
            "select user_group as id, name from user_group where name = lower($1) or user_group = $2 limit 1",
            [name.group, numberOf(name.group)],
          ));
      return row && { type: "user" in name ? "user" : "group", ...row };
    },
    list: (resource, among) => pool.use((connection) => readGrants(connection, resource, among)),
    set: (request) => transaction(pool, (connection) => setGrant(connection, request)),
  };
}

async function setGrant(connection: Connection, request: GrantRequest): Promise<number> {
  const { resource, among, relation, grantee, by, action, project = null, beside } = request;
  const head = await lockRelationships(connection);
  await requireThere(connection, resource);
  if (grantee.type === "group" && relation !== null) await requireThere(connection, grantee);
  const held = await readGrants(connection, resource, among);
  request.check?.(held);
  const before = held.filter((grant) => isSame(grant.grantee, grantee)).map((grant) => grant.relation);
  if (relation !== null && before.length === 0 && held.length >= GRANTS_PER_OBJECT_MAX) throw tooMany(resource);
  if (resource.type === "group" && grantee.type === "group" && relation === "member") {
    await refuseNesting(connection, Number(resource.id), grantee);
  }
  const changes = among.map((each): RelationshipChange => {
    return { op: each === relation ? "touch" : "delete", relationship: grantOf(resource, each, grantee) };
  });
  const left = held.length - before.length + (relation === null ? 0 : 1);
  if (beside) changes.push({ op: left > 0 ? "touch" : "delete", relationship: beside });
  const change = await writeRelationships(connection, changes, by.actor);
  if (change === 0) return head;
  const { type, name } = grantee;
  const entry = { by, action, resource, project, before: { [type]: name, relations: before } };
  await writeAudit(connection, [{ ...entry, after: { [type]: name, relations: relation === null ? [] : [relation] } }]);
  return change;
}

/** As the engine knows it. */
export function grantOf(resource: ObjectRef, relation: string, { type, id }: Omit<Grantee, "name">): Relationship {
  const subject = { type, id: String(id), ...(type === "group" ? { relation: "member" } : {}) };
  return { resource, relation, subject };
}

async function readGrants(
  connection: Connection,
  resource: ObjectRef,
  among: readonly string[],
): Promise<StoredGrant[]> {
  const rows = await connection.rows<{
    relation: string;
    type: Grantee["type"];
    id: number;
    name: string;
    since: Date;
  }>(
    `select r.relation, r.subject_type as type, r.id, coalesce(u.username, c.name, g.name, r.id::text) as name,
       r.created_at as since
     from (select *, case when subject_type in ('user', 'group') then subject_id::bigint end as id from relationship
           where resource_type = $1 and resource_id = $2 and relation = any($3)) r
       left join account u on r.subject_type = 'user' and u.actor = r.id
       left join actor c on r.subject_type = 'user' and c.actor = r.id
       left join user_group g on r.subject_type = 'group' and g.user_group = r.id
     where r.id is not null order by r.created_at, r.subject_type, r.id`,
    [resource.type, resource.id, among],
    TIMEOUT_MS,
  );
  return rows.map(({ relation, type, id, name, since }) => {
    return { relation, grantee: { type, id, name }, sinceMs: since.getTime() };
  });
}

/** What may be deleted while somebody shares it. */
const DELETED: Record<string, { table: string; code: "group_not_found" | "resource_not_found" }> = {
  group: { table: "user_group", code: "group_not_found" },
  compute_resource: { table: "compute_resource", code: "resource_not_found" },
  storage_resource: { table: "storage_resource", code: "resource_not_found" },
};

async function requireThere(
  connection: Connection,
  { type, id }: { type: string; id: string | number },
): Promise<void> {
  const known = DELETED[type];
  if (!known) return;
  const text = `select 1 from ${known.table} where ${known.table} = $1`;
  if ((await connection.rows(text, [id], TIMEOUT_MS)).length > 0) return;
  throw new AiravataError(known.code, `there is no ${type.replaceAll("_", " ")} ${id} any more`);
}

function isSame(a: Grantee, b: Grantee): boolean {
  return a.type === b.type && a.id === b.id;
}

function tooMany({ type, id }: ObjectRef): AiravataError {
  return new AiravataError(
    "grants_too_many",
    `${type.replaceAll("_", " ")} ${id} has ${GRANTS_PER_OBJECT_MAX} already, which is the bound: put people into a group and give it to that`,
  );
}

function numberOf(name: string): number | null {
  return /^\d{1,15}$/.test(name) ? Number(name) : null;
}
