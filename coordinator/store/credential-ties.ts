/** What a credential is tied to: the resources it is bound to, and who used it what for. */
import type { ConnectionPool } from "../../db/pool.ts";
import { AiravataError } from "../../shared/error/error.ts";
import type { BindableType } from "../../shared/model/credential.ts";
import type { ActorId, ProjectId } from "../../shared/model/ids.ts";
import { type By, writeAudit } from "./audit.ts";
import { entry } from "./credentials.ts";
import { transaction } from "./transaction.ts";

export interface ResourceRef {
  type: BindableType;
  id: number;
}

export interface Binding {
  resource: ResourceRef & { name: string };
  createdAtMs: number;
}

/** Several uses of some seconds for the same purpose. */
export interface Use {
  credential: number;
  number: number;
  actor: ActorId;
  purpose: string;
  resource: ResourceRef | null;
  times: number;
  /** Of the last one. */
  atMs: number;
}

export interface StoredUse extends Use {
  use: number;
  actorName: string;
}

export interface CredentialTieStore {
  bindings(credential: number): Promise<Binding[]>;
  /** Credentials that a resource is used with, by number. */
  boundTo(resource: ResourceRef): Promise<number[]>;
  /** Binding again is no error. False when the credential is deleted. Throws `resource_not_found`. */
  bind(credential: number, resource: ResourceRef, by: By): Promise<boolean>;
  /** False when it was not bound. */
  unbind(credential: number, resource: ResourceRef, by: By): Promise<boolean>;
  /** Newest first. */
  uses(credential: number, before: number | null, limit: number): Promise<StoredUse[]>;
  addUses(uses: readonly Use[]): Promise<void>;
  /** Keeps the newest so many of each credential. */
  trimUses(kept: number): Promise<void>;
}

const TIMEOUT_MS = 10_000;
const FOREIGN_KEY_VIOLATION = "23503";

export function createCredentialTieStore(pool: ConnectionPool): CredentialTieStore {
  return {
    bindings: async (credential) => {
      const rows = await pool.rows<{ type: BindableType; id: number; name: string; created_at: Date }>(
        `select case when b.compute_resource is null then 'storage_resource' else 'compute_resource' end as type,
           coalesce(b.compute_resource, b.storage_resource) as id, coalesce(c.name, s.name) as name, b.created_at
         from credential_binding b left join compute_resource c using (compute_resource)
           left join storage_resource s using (storage_resource)
         where b.credential = $1 order by 1, 3`,
        [credential],
      );
      return rows.map(({ created_at, ...resource }) => ({ resource, createdAtMs: created_at.getTime() }));
    },
    boundTo: async ({ type, id }) => {
      const text = `select credential from credential_binding where ${type} = $1 order by 1`;
      return (await pool.rows<{ credential: number }>(text, [id])).map(({ credential }) => credential);
    },
    bind: async (credential, { type, id }, by) => {
      try {
        return await transaction(pool, async (connection) => {
          const lock = "select project from credential where credential = $1 and deleted_at is null for update";
          const [held] = await connection.rows<{ project: ProjectId | null }>(lock, [credential], TIMEOUT_MS);
          if (!held) return false;
          const made = await connection.rows(
            `insert into credential_binding (${type}, credential, created_by) values ($1, $2, $3)
             on conflict do nothing returning credential`,
            [id, credential, by.actor],
            TIMEOUT_MS,
          );
          if (made.length > 0)
            await writeAudit(connection, [entry("bind", by, credential, held.project, { after: { type, id } })]);
          return true;
        });
      } catch (error) {
        if ((error as { code?: string }).code !== FOREIGN_KEY_VIOLATION) throw error;
        throw new AiravataError("resource_not_found", `there is no ${type.replace("_", " ")} ${id}`);
      }
    },
    unbind: (credential, { type, id }, by) =>
      transaction(pool, async (connection) => {
        const [gone] = await connection.rows<{ project: ProjectId | null }>(
          `delete from credential_binding b using credential c
           where b.${type} = $1 and b.credential = $2 and c.credential = b.credential returning c.project`,
          [id, credential],
          TIMEOUT_MS,
        );
        if (!gone) return false;
        await writeAudit(connection, [entry("unbind", by, credential, gone.project, { before: { type, id } })]);
        return true;
      }),
    uses: async (credential, before, limit) => {
      const rows = await pool.rows<
        Omit<StoredUse, "atMs" | "resource"> & {
          at: Date;
          resource_type: BindableType | null;
          resource_id: number | null;
        }
      >(
        `select use, credential, number, u.actor, a.name as "actorName", purpose, resource_type, resource_id, times, at
         from credential_use u join actor a on a.actor = u.actor
         where credential = $1 and ($2::bigint is null or use < $2) order by use desc limit $3`,
        [credential, before, limit],
      );
      return rows.map(({ at, resource_type: type, resource_id: id, ...row }) => ({
        ...row,
        resource: type === null || id === null ? null : { type, id },
        atMs: at.getTime(),
      }));
    },
    addUses: async (uses) => {
      const column = <T>(pick: (use: Use) => T): T[] => uses.map(pick);
      await pool.rows(
        `insert into credential_use (credential, number, actor, purpose, resource_type, resource_id, times, at)
         select u.credential, u.number, u.actor, u.purpose, u.type, u.id, u.times, to_timestamp(u.at / 1000)
         from unnest($1::bigint[], $2::integer[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::integer[],
           $8::float8[]) as u (credential, number, actor, purpose, type, id, times, at)
         where exists (select 1 from credential c where c.credential = u.credential)`,
        [
          column(({ credential }) => credential),
          column(({ number }) => number),
          column(({ actor }) => actor),
          column(({ purpose }) => purpose),
          column(({ resource }) => resource?.type ?? null),
          column(({ resource }) => resource?.id ?? null),
          column(({ times }) => times),
          column(({ atMs }) => atMs),
        ],
      );
    },
    trimUses: async (kept) => {
      await pool.rows(
        `delete from credential_use u using (
           select credential, (select use from credential_use n where n.credential = c.credential
             order by use desc offset $1 limit 1) as last from credential c) as old
         where u.credential = old.credential and u.use <= old.last`,
        [kept],
      );
    },
  };
}
