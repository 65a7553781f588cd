/** Identities of agents: made with a one-time token, looked up at every hello, given a new key, revoked. */

import type { Connection } from "../../db/connection.ts";
import type { ConnectionPool } from "../../db/pool.ts";
import { AiravataError } from "../../shared/error/error.ts";
import { type AgentId, type ProjectId, SYSTEM_ACTOR } from "../../shared/model/ids.ts";
import type { RelationshipChange } from "../../shared/model/relationship.ts";
import { AgentIdentities, type AgentIdentity } from "./identities.ts";
import { writeRelationships } from "./relationships.ts";
import { transaction } from "./transaction.ts";

export interface StoredAgent {
  agent: AgentId;
  name: string;
  publicKey: Buffer;
  /** The one project whose tasks it may see; null: all. */
  serves: ProjectId | null;
  computeResource: string | null;
  enrolledAtMs: number;
  revokedAtMs: number | null;
}

export interface EnrolRequest {
  /** SHA-256 of the token. */
  secretHash: Buffer;
  name: string;
  /** Ed25519, SPKI in DER. */
  publicKey: Buffer;
}

export interface AgentStore {
  /** One that was not revoked. */
  identity(agent: AgentId): Promise<AgentIdentity | undefined>;
  /** Also a revoked one: the history names it. */
  find(agent: AgentId): Promise<StoredAgent | undefined>;
  /** Those not revoked, by number, beginning after `after`. */
  list(after: number, limit: number, only?: number[] | null): Promise<StoredAgent[]>;
  /**
   * Uses up a token and makes the identity, both or neither. The same token with the same key and name again gives the
   * same agent, for an agent whose answer was lost. Throws `enrolment_token_invalid`, `enrolment_token_used` or
   * `agent_name_taken`.
   */
  enrol(request: EnrolRequest): Promise<Enrolled>;
  /** False when there is none, or it was revoked. */
  changeKey(agent: AgentId, publicKey: Buffer): Promise<boolean>;
  revoke(agent: AgentId): Promise<boolean>;
  /** Who is lost with tasks that wait for it, and since when: these and no others. */
  keepAbsences(absences: readonly { agent: AgentId; sinceMs: number }[]): Promise<void>;
  /** Where its outputs are, as it last said; written only when it changed. */
  noteRoot(agent: AgentId, root: string): Promise<void>;
}

/** `relationship`: the number of the change that makes it known to authorization; 0 when it was enrolled before. */
export interface Enrolled {
  agent: AgentId;
  name: string;
  relationship: number;
}

const UNIQUE_VIOLATION = "23505";

interface AgentRow {
  agent: AgentId;
  name: string;
  public_key: Buffer;
  project: ProjectId;
  any_project: boolean;
  compute_resource: string | null;
  enrolled_at: Date;
  revoked_at: Date | null;
}

const COLUMNS = "agent, name, public_key, project, any_project, compute_resource, enrolled_at, revoked_at";

export function createAgentStore(pool: ConnectionPool): AgentStore {
  const identities = new AgentIdentities(pool);
  const changed = async (text: string, values: unknown[]): Promise<boolean> =>
    (await pool.rows(text, values)).length === 1;
  return {
    identity: (agent) => identities.find(agent),
    find: async (agent) => {
      const [row] = await pool.rows<AgentRow>(`select ${COLUMNS} from agent where agent = $1`, [agent]);
      return row && agentOf(row);
    },
    list: async (after, limit, only = null) => {
      const text = `select ${COLUMNS} from agent where agent > $1 and revoked_at is null
                    and ($3::bigint[] is null or agent = any($3)) order by agent limit $2`;
      return (await pool.rows<AgentRow>(text, [after, limit, only])).map(agentOf);
    },
    enrol: (request) => enrol(pool, request),
    changeKey: (agent, publicKey) =>
      changed(
        `update agent set public_key = $2, key_changed_at = now() where agent = $1 and revoked_at is null returning agent`,
        [agent, publicKey],
      ),
    revoke: (agent) =>
      changed("update agent set revoked_at = now() where agent = $1 and revoked_at is null returning agent", [agent]),
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
    computeResource: row.compute_resource,
    enrolledAtMs: row.enrolled_at.getTime(),
    revokedAtMs: row.revoked_at?.getTime() ?? null,
  };
}

interface EnrolledRow {
  agent: AgentId | null;
  open: boolean;
  used_by: AgentId | null;
  used_name: string | null;
  used_key: Buffer | null;
}

/** One statement is one transaction: the token's row lock lets only one of two agents with the same token through. */
async function enrol(pool: ConnectionPool, { secretHash, name, publicKey }: EnrolRequest): Promise<Enrolled> {
  try {
    const made = await transaction(pool, (connection) =>
      enrolWithin(
        connection,
        async (text, values) => connection.rows(text, values, 5_000),
        secretHash,
        name,
        publicKey,
      ),
    );
    return { ...made, name };
  } catch (error) {
    if ((error as { code?: string }).code !== UNIQUE_VIOLATION) throw error;
    throw new AiravataError(
      "agent_name_taken",
      `an agent named "${name}" is enrolled already: choose another name, or revoke it first`,
    );
  }
}

type Rows = (text: string, values: unknown[]) => Promise<Record<string, unknown>[]>;

async function enrolWithin(
  connection: Connection,
  rows: Rows,
  secretHash: Buffer,
  name: string,
  publicKey: Buffer,
): Promise<Omit<Enrolled, "name">> {
  const [token] = (await rows(
    `select t.token, t.project, t.any_project, t.compute_resource, t.agent as used_by, a.name as used_name, a.public_key as used_key,
       t.revoked_at is null and t.expires_at > now() as open
     from enrolment_token t left join agent a on a.agent = t.agent and a.revoked_at is null
     where t.secret_hash = $1 for update of t`,
    [secretHash],
  )) as unknown as (EnrolledRow & {
    token: number;
    project: number;
    any_project: boolean;
    compute_resource: string | null;
  })[];
  if (!token)
    throw new AiravataError("enrolment_token_invalid", "the enrolment token is not known here: create a new one");
  if (token.used_by !== null) {
    if (token.used_name === name && token.used_key?.equals(publicKey)) return { agent: token.used_by, relationship: 0 };
    throw new AiravataError(
      "enrolment_token_used",
      "the enrolment token was used by another agent: create a new one for each",
    );
  }
  if (!token.open) {
    throw new AiravataError(
      "enrolment_token_invalid",
      "the enrolment token has expired or was revoked: create a new one",
    );
  }
  const [made] = await rows(
    `insert into agent (name, public_key, project, any_project, compute_resource)
     values ($1, $2, $3, $4, $5) returning agent`,
    [name, publicKey, token.project, token.any_project, token.compute_resource],
  );
  const agent = made?.agent as AgentId;
  await rows("update enrolment_token set used_at = now(), agent = $2 where token = $1 returning token", [
    token.token,
    agent,
  ]);
  const relationship = await writeRelationships(
    connection,
    agentRelationships(agent, token.any_project ? null : token.project),
    SYSTEM_ACTOR,
  );
  return { agent, relationship };
}

/** The project that it serves; null: all, so that it is the platform's alone. */
function agentRelationships(agent: AgentId, project: number | null): RelationshipChange[] {
  const resource = { type: "agent", id: String(agent) };
  const touch = (relation: string, type: string, id: string): RelationshipChange => ({
    op: "touch",
    relationship: { resource, relation, subject: { type, id } },
  });
  const own = touch("platform", "platform", "main");
  return project === null ? [own] : [own, touch("project", "project", String(project))];
}
