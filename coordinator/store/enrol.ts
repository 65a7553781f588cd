/**
 * The trade of an enrolment token for an agent's identity: one transaction, in which the token's row lock lets agents with
 * the same token through one by one, so that it is never used more often than it is good for.
 */
import type { Connection } from "../../db/connection.ts";
import type { ConnectionPool } from "../../db/pool.ts";
import { AiravataError } from "../../shared/error/error.ts";
import type { AgentId, ProjectId } from "../../shared/model/ids.ts";
import type { RelationshipChange } from "../../shared/model/relationship.ts";
import { type By, writeAudit } from "./audit.ts";
import { writeRelationships } from "./relationships.ts";
import { transaction } from "./transaction.ts";

export interface EnrolRequest {
  /** SHA-256 of the token. */
  secretHash: Buffer;
  name: string;
  /** Ed25519, SPKI in DER. */
  publicKey: Buffer;
  /** Where the agent says that it is; undefined: it says nothing, and the token decides. */
  computeResource?: string | undefined;
}

export interface EnrolledAgent {
  agent: AgentId;
  name: string;
  computeResource: string | null;
  /** Number of the last change of relationships; 0 when there was none. */
  relationship: number;
}

interface TokenRow {
  token: number;
  project: ProjectId;
  any_project: boolean;
  compute_resource: string | null;
  uses_max: number;
  used_up: boolean;
  open: boolean;
}

const UNIQUE_VIOLATION = "23505";
const TIMEOUT_MS = 5_000;

/**
 * The same token with the same name and key again gives the same agent, for one whose answer was lost. Throws
 * `enrolment_token_invalid`, `enrolment_token_used`, `enrolment_elsewhere` or `agent_name_taken`.
 */
export async function enrol(pool: ConnectionPool, request: EnrolRequest, by: By): Promise<EnrolledAgent> {
  try {
    return await transaction(pool, (connection) => enrolWithin(connection, request, by));
  } catch (error) {
    if ((error as { code?: string }).code !== UNIQUE_VIOLATION) throw error;
    throw new AiravataError(
      "agent_name_taken",
      `an agent named "${request.name}" is enrolled already: choose another name, or revoke it first`,
    );
  }
}

async function enrolWithin(connection: Connection, request: EnrolRequest, by: By): Promise<EnrolledAgent> {
  const { secretHash, name, publicKey } = request;
  const [token] = await connection.rows<TokenRow>(
    `select token, project, any_project, compute_resource, uses_max, used_at is not null as used_up,
       revoked_at is null and expires_at > now() as open
     from enrolment_token where secret_hash = $1 for update`,
    [secretHash],
    TIMEOUT_MS,
  );
  if (!token) {
    throw new AiravataError("enrolment_token_invalid", "the enrolment token is not known here: create a new one");
  }
  // A statement of its own: one that waited for the row lock would count what there was before it waited.
  const [{ uses } = { uses: 0 }] = await connection.rows<{ uses: number }>(
    "select count(*)::int as uses from enrolment_use where token = $1",
    [token.token],
    TIMEOUT_MS,
  );
  const { compute_resource: computeResource } = token;
  const [before] = await connection.rows<{ agent: AgentId }>(
    `select a.agent from agent a where a.name = $2 and a.public_key = $3 and a.revoked_at is null
       and (a.agent in (select agent from enrolment_use where token = $1)
         or a.agent = (select agent from enrolment_token where token = $1))`,
    [token.token, name, publicKey],
    TIMEOUT_MS,
  );
  if (before) return { agent: before.agent, name, computeResource, relationship: 0 };
  refuseUnlessGood(token, uses, request);
  const [made] = await connection.rows<{ agent: AgentId }>(
    `insert into agent (name, public_key, project, any_project, compute_resource)
     values ($1, $2, $3, $4, $5) returning agent`,
    [name, publicKey, token.project, token.any_project, computeResource],
    TIMEOUT_MS,
  );
  const { agent } = made as { agent: AgentId };
  await connection.rows(
    "insert into enrolment_use (token, agent, address) values ($1, $2, $3) returning token",
    [token.token, agent, by.address],
    TIMEOUT_MS,
  );
  // Closes it for every program, also for those that count no uses.
  if (uses + 1 >= token.uses_max) {
    await connection.rows(
      "update enrolment_token set used_at = now(), agent = $2 where token = $1 returning token",
      [token.token, agent],
      TIMEOUT_MS,
    );
  }
  const serves = token.any_project ? null : token.project;
  const relationship = await writeRelationships(connection, agentRelationships("touch", agent, serves), by.actor);
  const after = { name, serves, computeResource, token: token.token, use: uses + 1, usesMax: token.uses_max };
  await writeAudit(connection, [
    { by, action: "agent.enrol", resource: { type: "agent", id: agent }, project: serves, after },
  ]);
  return { agent, name, computeResource, relationship };
}

function refuseUnlessGood(token: TokenRow, uses: number, { computeResource }: EnrolRequest): void {
  if (token.used_up || uses >= token.uses_max) {
    const whom = token.uses_max === 1 ? "another agent" : `${token.uses_max} other agents`;
    throw new AiravataError("enrolment_token_used", `the enrolment token was used by ${whom}: create a new one`);
  }
  if (!token.open) {
    throw new AiravataError(
      "enrolment_token_invalid",
      "the enrolment token has expired or was revoked: create a new one",
    );
  }
  if (computeResource === undefined || computeResource === token.compute_resource) return;
  const bound = token.compute_resource;
  throw new AiravataError(
    "enrolment_elsewhere",
    `the agent says that it is at compute resource "${computeResource}" (COMPUTE_ID), but the enrolment token ${
      bound === null ? "names none: create one with --compute" : `is for "${bound}"`
    }`,
  );
}

/** The project that it serves; null: all, so that it is the platform's alone. */
export function agentRelationships(
  op: RelationshipChange["op"],
  agent: AgentId,
  serves: ProjectId | null,
): RelationshipChange[] {
  const resource = { type: "agent", id: String(agent) };
  const change = (relation: string, id: string): RelationshipChange => ({
    op,
    relationship: { resource, relation, subject: { type: relation, id } },
  });
  return [change("platform", "main"), ...(serves === null ? [] : [change("project", String(serves))])];
}
