/** Enrolment tokens: made by an operator, good for one agent; only their SHA-256 is kept. */
import type { ConnectionPool } from "../../db/pool.ts";
import type { AgentId, ProjectId } from "../../shared/model/ids.ts";
import type { RelationshipChange } from "../../shared/model/relationship.ts";
import { type By, writeAudit } from "./audit.ts";
import { writeRelationships } from "./relationships.ts";
import { transaction } from "./transaction.ts";

export interface StoredEnrolmentToken {
  id: number;
  note: string;
  createdAtMs: number;
  expiresAtMs: number;
  usedAtMs: number | null;
  revokedAtMs: number | null;
  /** Who used it. */
  agent: AgentId | null;
}

export interface EnrolmentStore {
  create(token: {
    secretHash: Buffer;
    note: string;
    /** The one project that its agent will serve; null: all. */
    serves: ProjectId | null;
    computeResource: string | null;
    by: By;
    lastsMs: number;
  }): Promise<{ stored: StoredEnrolmentToken; relationship: number }>;
  /** Newest first, beginning before `before`. */
  list(before: number | null, limit: number, only?: number[] | null): Promise<StoredEnrolmentToken[]>;
  find(id: number): Promise<StoredEnrolmentToken | undefined>;
  /** False when there is none that could still be used. */
  revoke(id: number): Promise<boolean>;
}

interface TokenRow {
  token: number;
  note: string;
  created_at: Date;
  expires_at: Date;
  used_at: Date | null;
  revoked_at: Date | null;
  agent: AgentId | null;
}

const COLUMNS = "token, note, created_at, expires_at, used_at, revoked_at, agent";

export function createEnrolmentStore(pool: ConnectionPool): EnrolmentStore {
  return {
    create: ({ secretHash, note, serves, computeResource, by, lastsMs }) =>
      transaction(pool, async (connection) => {
        const [row] = await connection.rows<TokenRow>(
          `insert into enrolment_token (secret_hash, note, compute_resource, created_by, expires_at, project, any_project)
         values ($1, $2, $3, $4, now() + $5 * interval '1 ms', coalesce($6, 1), $6::bigint is null) returning ${COLUMNS}`,
          [secretHash, note, computeResource, by.actor, lastsMs, serves],
          TIMEOUT_MS,
        );
        const stored = tokenOf(row as TokenRow);
        const relationship = await writeRelationships(connection, relationshipsOf(stored.id, serves), by.actor);
        const after = { note, project: serves, computeResource, expires: new Date(stored.expiresAtMs).toISOString() };
        const resource = { type: "enrolment_token", id: stored.id };
        await writeAudit(connection, [{ by, action: "enrolment.create", resource, project: serves, after }]);
        return { stored, relationship };
      }),
    list: async (before, limit, only = null) => {
      const text = `select ${COLUMNS} from enrolment_token where ($1::bigint is null or token < $1)
                    and ($3::bigint[] is null or token = any($3)) order by token desc limit $2`;
      return (await pool.rows<TokenRow>(text, [before, limit, only])).map(tokenOf);
    },
    find: async (id) => {
      const [row] = await pool.rows<TokenRow>(`select ${COLUMNS} from enrolment_token where token = $1`, [id]);
      return row && tokenOf(row);
    },
    revoke: async (id) => {
      const text = `update enrolment_token set revoked_at = now()
                    where token = $1 and revoked_at is null and used_at is null returning token`;
      return (await pool.rows(text, [id])).length === 1;
    },
  };
}

const TIMEOUT_MS = 5_000;

function relationshipsOf(token: number, serves: ProjectId | null): RelationshipChange[] {
  const resource = { type: "enrolment_token", id: String(token) };
  const touch = (relation: string, type: string, id: string): RelationshipChange => ({
    op: "touch",
    relationship: { resource, relation, subject: { type, id } },
  });
  const own = touch("platform", "platform", "main");
  return serves === null ? [own] : [own, touch("project", "project", String(serves))];
}

function tokenOf(row: TokenRow): StoredEnrolmentToken {
  return {
    id: row.token,
    note: row.note,
    createdAtMs: row.created_at.getTime(),
    expiresAtMs: row.expires_at.getTime(),
    usedAtMs: row.used_at?.getTime() ?? null,
    revokedAtMs: row.revoked_at?.getTime() ?? null,
    agent: row.agent,
  };
}
