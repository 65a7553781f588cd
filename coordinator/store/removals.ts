/**
 * People whose experiments in a project were stopped because they may not submit there any more: noted once, so that whoever
 * resumes one of those experiments has the last word, and forgotten when they may submit again.
 */
import type { ConnectionPool } from "../../db/pool.ts";
import type { ActorId, ExperimentId, ProjectId } from "../../shared/model/ids.ts";
import { type By, writeAudit } from "./audit.ts";
import { transaction } from "./transaction.ts";

export interface Submitter {
  project: ProjectId;
  actor: ActorId;
}

export interface RemovalStore {
  /** Noted before, with when. */
  noted(): Promise<(Submitter & { sinceMs: number })[]>;
  /** Of these people those whose accounts are disabled. */
  disabled(actors: readonly ActorId[]): Promise<Set<ActorId>>;
  /** Names, for a sentence: his, and that of whoever took it away; null when that is not known any more. */
  names(submitter: Submitter): Promise<{ actor: string; by: string | null }>;
  /** Since when he may not, with an audit entry for each experiment that was stopped. */
  note(
    submitter: Submitter & { sinceMs: number },
    stopped: readonly ExperimentId[],
    action: string,
    reason: string,
    by: By,
  ): Promise<void>;
  forget(submitter: Submitter): Promise<void>;
}

const TIMEOUT_MS = 5_000;

export function createRemovalStore(pool: ConnectionPool): RemovalStore {
  return {
    noted: async () => {
      const rows = await pool.rows<Submitter & { since: Date }>("select project, actor, since from removed_submitter");
      return rows.map(({ project, actor, since }) => ({ project, actor, sinceMs: since.getTime() }));
    },
    disabled: async (actors) => {
      const text = "select actor from account where actor = any($1) and disabled_at is not null";
      return new Set((await pool.rows<{ actor: ActorId }>(text, [actors])).map(({ actor }) => actor));
    },
    names: async ({ project, actor }) => {
      // What can have taken it from him: his account, his own role or membership, or one of a group.
      const [row] = await pool.rows<{ actor: string; by: string | null }>(
        `with change as (
           select actor, at from relationship_change where op = 'delete'
             and (subject_type = 'group' or (subject_type = 'user' and subject_id = $2::bigint::text))
             and (resource_type in ('group', 'platform') or (resource_type = 'project' and resource_id = $1::bigint::text))
             and $2::bigint not in (select actor from account where disabled_at is not null)
           order by change desc limit 1),
         entry as (
           select actor, at from audit where resource_type = 'user' and resource_id = $2::bigint::text and outcome = 'done'
             and $2::bigint in (select actor from account where disabled_at is not null) order by entry desc limit 1)
         select (select coalesce(u.username, a.name) from actor a left join account u using (actor) where a.actor = $2::bigint) as actor,
           (select coalesce(u.username, a.name) from (select * from change union all select * from entry) c
              join actor a using (actor) left join account u using (actor) limit 1) as by`,
        [project, actor],
      );
      return { actor: row?.actor ?? String(actor), by: row?.by ?? null };
    },
    note: ({ project, actor, sinceMs }, stopped, action, reason, by) =>
      transaction(pool, async (connection) => {
        await connection.rows(
          `insert into removed_submitter (project, actor, since) values ($1, $2, to_timestamp($3::float8 / 1000))
           on conflict (project, actor) do update set since = excluded.since`,
          [project, actor, sinceMs],
          TIMEOUT_MS,
        );
        const after = { reason };
        const entries = stopped.map((id) => {
          return { by, action, resource: { type: "experiment", id }, project, after };
        });
        await writeAudit(connection, entries);
      }),
    forget: async ({ project, actor }) => {
      await pool.rows("delete from removed_submitter where project = $1 and actor = $2", [project, actor]);
    },
  };
}
