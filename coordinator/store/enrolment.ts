/**
 * Enrolment tokens: made by an operator, good for one agent or several of one trust domain; only their SHA-256 is kept.
 * Who may see and revoke one stands in relationships of the same transaction; they go with the token.
 */
import type { ConnectionPool } from "../../db/pool.ts";
import type { ActorId, AgentId, ProjectId } from "../../shared/model/ids.ts";
import type { RelationshipChange } from "../../shared/model/relationship.ts";
import { type AuditEntry, type By, writeAudit } from "./audit.ts";
import { writeRelationships } from "./relationships.ts";
import { transaction } from "./transaction.ts";

export interface TokenUse {
  agent: AgentId;
  name: string;
  atMs: number;
  address: string | null;
}

export interface StoredEnrolmentToken {
  id: number;
  note: string;
  /** The one project that its agents serve; null: all. */
  serves: ProjectId | null;
  project: string | null;
  computeResource: string | null;
  createdBy: ActorId;
  createdAtMs: number;
  expiresAtMs: number;
  usesMax: number;
  uses: number;
  /** When the last of its uses was made. */
  usedAtMs: number | null;
  revokedAtMs: number | null;
  /** Who made the last use. */
  agent: AgentId | null;
}

export interface NewEnrolmentToken {
  secretHash: Buffer;
  note: string;
  serves: ProjectId | null;
  computeResource: string | null;
  usesMax: number;
  lastsMs: number;
}

export interface EnrolmentStore {
  create(token: NewEnrolmentToken, by: By): Promise<{ stored: StoredEnrolmentToken; relationship: number }>;
  /** Newest first, beginning before `before`. */
  list(before: number | null, limit: number, only?: number[] | null): Promise<StoredEnrolmentToken[]>;
  find(id: number): Promise<StoredEnrolmentToken | undefined>;
  /** First one first. */
  uses(id: number, limit: number): Promise<TokenUse[]>;
  /** False when there is none that could still be used. */
  revoke(id: number, by: By): Promise<boolean>;
}

interface TokenRow {
  token: number;
  note: string;
  project: ProjectId;
  any_project: boolean;
  project_name: string;
  compute_resource: string | null;
  created_by: ActorId;
  created_at: Date;
  expires_at: Date;
  uses_max: number;
  uses: number;
  used_at: Date | null;
  revoked_at: Date | null;
  agent: AgentId | null;
}

const TIMEOUT_MS = 5_000;
const SELECT = `select t.token, t.note, t.project, t.any_project, p.name as project_name, t.compute_resource, t.created_by,
    t.created_at, t.expires_at, t.uses_max, t.used_at, t.revoked_at, t.agent,
    (select count(*)::int from enrolment_use u where u.token = t.token) as uses
  from enrolment_token t join project p using (project)`;

export function createEnrolmentStore(pool: ConnectionPool): EnrolmentStore {
  return {
    create: (token, by) =>
      transaction(pool, async (connection) => {
        const { secretHash, note, serves, computeResource, usesMax, lastsMs } = token;
        const [made] = await connection.rows<{ token: number }>(
          `insert into enrolment_token
             (secret_hash, note, compute_resource, created_by, expires_at, project, any_project, uses_max)
           values ($1, $2, $3, $4, now() + $5 * interval '1 ms', coalesce($6, 1), $6::bigint is null, $7) returning token`,
          [secretHash, note, computeResource, by.actor, lastsMs, serves, usesMax],
          TIMEOUT_MS,
        );
        const id = (made as { token: number }).token;
        const [row] = await connection.rows<TokenRow>(`${SELECT} where t.token = $1`, [id], TIMEOUT_MS);
        const stored = tokenOf(row as TokenRow);
        const relationship = await writeRelationships(connection, tokenRelationships("touch", id, serves), by.actor);
        await writeAudit(connection, [entryOf("enrolment.create", by, stored, undefined, stored)]);
        return { stored, relationship };
      }),
    list: async (before, limit, only = null) => {
      const text = `${SELECT} where ($1::bigint is null or t.token < $1)
                    and ($3::bigint[] is null or t.token = any($3)) order by t.token desc limit $2`;
      return (await pool.rows<TokenRow>(text, [before, limit, only])).map(tokenOf);
    },
    find: async (id) => {
      const [row] = await pool.rows<TokenRow>(`${SELECT} where t.token = $1`, [id]);
      return row && tokenOf(row);
    },
    uses: async (id, limit) => {
      const rows = await pool.rows<{ agent: AgentId; name: string; at: Date; address: string | null }>(
        `select u.agent, a.name, u.at, u.address from enrolment_use u join agent a using (agent)
         where u.token = $1 order by u.at, u.agent limit $2`,
        [id, limit],
      );
      return rows.map(({ at, ...use }) => ({ ...use, atMs: at.getTime() }));
    },
    revoke: (id, by) =>
      transaction(pool, async (connection) => {
        const revoked = await connection.rows(
          `update enrolment_token set revoked_at = now()
           where token = $1 and revoked_at is null and used_at is null returning token`,
          [id],
          TIMEOUT_MS,
        );
        if (revoked.length === 0) return false;
        const [row] = await connection.rows<TokenRow>(`${SELECT} where t.token = $1`, [id], TIMEOUT_MS);
        const stored = tokenOf(row as TokenRow);
        const before = { ...stored, revokedAtMs: null };
        await writeAudit(connection, [entryOf("enrolment.revoke", by, stored, before, stored)]);
        return true;
      }),
  };
}

/** Seen and revoked by whoever operates its project; one for all projects is the platform's alone. */
export function tokenRelationships(
  op: RelationshipChange["op"],
  token: number,
  serves: ProjectId | null,
): RelationshipChange[] {
  const resource = { type: "enrolment_token", id: String(token) };
  const change = (relation: string, id: string): RelationshipChange => ({
    op,
    relationship: { resource, relation, subject: { type: relation, id } },
  });
  return [change("platform", "main"), ...(serves === null ? [] : [change("project", String(serves))])];
}

function entryOf(
  action: string,
  by: By,
  { id, serves }: StoredEnrolmentToken,
  before: StoredEnrolmentToken | undefined,
  after: StoredEnrolmentToken,
): AuditEntry {
  return { by, action, resource: { type: "enrolment_token", id }, project: serves, before, after };
}

function tokenOf(row: TokenRow): StoredEnrolmentToken {
  return {
    id: row.token,
    note: row.note,
    serves: row.any_project ? null : row.project,
    project: row.any_project ? null : row.project_name,
    computeResource: row.compute_resource,
    createdBy: row.created_by,
    createdAtMs: row.created_at.getTime(),
    expiresAtMs: row.expires_at.getTime(),
    usesMax: row.uses_max,
    // A coordinator of the version before makes a token's only use without a row of its own.
    uses: Math.max(row.uses, row.used_at === null ? 0 : 1),
    usedAtMs: row.used_at?.getTime() ?? null,
    revokedAtMs: row.revoked_at?.getTime() ?? null,
    agent: row.agent,
  };
}
