/** Identities of agents: made with an enrolment token, looked up at every hello, given a new key, revoked. */
import { createHash } from "node:crypto";
import type { Connection } from "../../db/connection.ts";
import type { ConnectionPool } from "../../db/pool.ts";
import type { AgentId, ProjectId } from "../../shared/model/ids.ts";
import { type AuditEntry, type By, writeAudit } from "./audit.ts";
import { agentRelationships, type EnrolledAgent, type EnrolRequest, enrol } from "./enrol.ts";
import { AgentIdentities, type AgentIdentity } from "./identities.ts";
import { writeRelationships } from "./relationships.ts";
import { transaction } from "./transaction.ts";

export interface StoredAgent {
  agent: AgentId;
  name: string;
  publicKey: Buffer;
  /** The one project whose tasks it may see; null: all. */
  serves: ProjectId | null;
  project: string | null;
  computeResource: string | null;
  enrolledAtMs: number;
  keyChangedAtMs: number;
  revokedAtMs: number | null;
}

export interface AgentStore {
  /** Also of one that was revoked, which says so. */
  identity(agent: AgentId): Promise<AgentIdentity | undefined>;
  /** Those of whom it was changed or revoked in the last minutes. */
  identitiesChanged(): Promise<(AgentIdentity & { agent: AgentId })[]>;
  /** Also a revoked one: the history names it. */
  find(agent: AgentId): Promise<StoredAgent | undefined>;
  /** Those not revoked, by number, beginning after `after`. */
  list(after: number, limit: number, only?: number[] | null): Promise<StoredAgent[]>;
  /** See store/enrol.ts. */
  enrol(request: EnrolRequest, by: By): Promise<EnrolledAgent>;
  /** While `before` is its key; false otherwise, or when there is none, or it was revoked. */
  changeKey(change: { agent: AgentId; before: Buffer; after: Buffer }, by: By): Promise<boolean>;
  /** Its name is free again. Undefined when there is none, or it was revoked; else the last change of relationships. */
  revoke(agent: AgentId, reason: string, by: By): Promise<{ relationship: number } | undefined>;
  /** What an agent did that is not a change of anything, for the audit. */
  note(agent: AgentId, action: string, by: By, after: Record<string, unknown>): Promise<void>;
  /** Who is lost with tasks that wait for it, and since when: these and no others. */
  keepAbsences(absences: readonly { agent: AgentId; sinceMs: number }[]): Promise<void>;
  /** Where its outputs are, as it last said; written only when it changed. */
  noteRoot(agent: AgentId, root: string): Promise<void>;
}

const TIMEOUT_MS = 5_000;

interface AgentRow {
  agent: AgentId;
  name: string;
  public_key: Buffer;
  project: ProjectId;
  any_project: boolean;
  project_name: string;
  compute_resource: string | null;
  enrolled_at: Date;
  key_changed_at: Date;
  revoked_at: Date | null;
}

const SELECT = `select a.agent, a.name, a.public_key, a.project, a.any_project, p.name as project_name, a.compute_resource,
    a.enrolled_at, a.key_changed_at, a.revoked_at
  from agent a join project p using (project)`;

export function createAgentStore(pool: ConnectionPool): AgentStore {
  const identities = new AgentIdentities(pool);
  return {
    identity: (agent) => identities.find(agent),
    identitiesChanged: () => identities.changed(),
    find: async (agent) => {
      const [row] = await pool.rows<AgentRow>(`${SELECT} where a.agent = $1`, [agent]);
      return row && agentOf(row);
    },
    list: async (after, limit, only = null) => {
      const text = `${SELECT} where a.agent > $1 and a.revoked_at is null
                    and ($3::bigint[] is null or a.agent = any($3)) order by a.agent limit $2`;
      return (await pool.rows<AgentRow>(text, [after, limit, only])).map(agentOf);
    },
    enrol: (request, by) => enrol(pool, request, by),
    changeKey: ({ agent, before, after }, by) =>
      transaction(pool, async (connection) => {
        const text = `update agent set public_key = $3, key_changed_at = now()
          where agent = $1 and public_key = $2 and revoked_at is null returning agent`;
        if ((await connection.rows(text, [agent, before, after], TIMEOUT_MS)).length === 0) return false;
        const keys = { before: { key: fingerprint(before) }, after: { key: fingerprint(after) } };
        await writeAudit(connection, [{ ...(await entryOf(connection, "agent.rotate", agent, by)), ...keys }]);
        return true;
      }),
    revoke: (agent, reason, by) =>
      transaction(pool, async (connection) => {
        const text = "update agent set revoked_at = now() where agent = $1 and revoked_at is null returning agent";
        if ((await connection.rows(text, [agent], TIMEOUT_MS)).length === 0) return undefined;
        const entry = await entryOf(connection, "agent.revoke", agent, by);
        const relationship = await writeRelationships(
          connection,
          agentRelationships("delete", agent, entry.project ?? null),
          by.actor,
        );
        await writeAudit(connection, [{ ...entry, after: { reason } }]);
        return { relationship };
      }),
    note: async (agent, action, by, after) => {
      await transaction(pool, async (connection) => {
        await writeAudit(connection, [{ ...(await entryOf(connection, action, agent, by)), after }]);
      });
    },
    keepAbsences: async (absences) => {
      const agents = absences.map(({ agent }) => agent);
      const since = absences.map(({ sinceMs }) => new Date(sinceMs).toISOString());
      await pool.rows(
        `with gone as (delete from agent_absence where agent <> all($1::bigint[]) returning agent)
         insert into agent_absence (agent, since)
         select x.agent, x.since from unnest($1::bigint[], $2::timestamptz[]) as x(agent, since)
         on conflict (agent) do update set since = excluded.since where agent_absence.since <> excluded.since`,
        [agents, since],
      );
    },
    noteRoot: async (agent, root) => {
      await pool.rows("update agent set root = $2 where agent = $1 and root is distinct from $2", [agent, root]);
    },
  };
}

function agentOf(row: AgentRow): StoredAgent {
  return {
    agent: row.agent,
    name: row.name,
    publicKey: row.public_key,
    serves: row.any_project ? null : row.project,
    project: row.any_project ? null : row.project_name,
    computeResource: row.compute_resource,
    enrolledAtMs: row.enrolled_at.getTime(),
    keyChangedAtMs: row.key_changed_at.getTime(),
    revokedAtMs: row.revoked_at?.getTime() ?? null,
  };
}

async function entryOf(connection: Connection, action: string, agent: AgentId, by: By): Promise<AuditEntry> {
  const [row] = await connection.rows<AgentRow>(`${SELECT} where a.agent = $1`, [agent], TIMEOUT_MS);
  const { serves = null, name, computeResource } = row ? agentOf(row) : {};
  return { by, action, resource: { type: "agent", id: agent }, project: serves, before: { name, computeResource } };
}

/** What a key is known by where it is only told apart from others. */
function fingerprint(publicKey: Buffer): string {
  return `SHA256:${createHash("sha256").update(publicKey).digest("base64").replace(/=+$/, "")}`;
}
