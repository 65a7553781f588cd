/** Personal tokens: made by a person for a program, limited in what they may and for how long; only their hash is kept. */
import type { ConnectionPool } from "../../db/pool.ts";
import { SCOPES, type Scope } from "../../shared/api/access.ts";
import type { ActorId } from "../../shared/model/ids.ts";
import { type By, writeAudit } from "./audit.ts";
import { transaction } from "./transaction.ts";

export interface StoredToken {
  token: number;
  name: string;
  scopes: Scope[];
  createdAtMs: number;
  expiresAtMs: number;
  lastUsedAtMs: number | null;
  revokedAtMs: number | null;
}

/** What its bearer may. */
export interface LiveToken {
  token: number;
  actor: ActorId;
  username: string;
  scopes: Scope[];
  expiresAtMs: number;
}

export interface TokenStore {
  /** Undefined when its owner may not have one more: `most` live ones, or the account is disabled by now. */
  create(
    token: { actor: ActorId; hash: Buffer; name: string; scopes: readonly Scope[]; lastsMs: number },
    most: number,
    by: By,
  ): Promise<StoredToken | undefined>;
  /** Newest first; those that ended among them. */
  list(actor: ActorId): Promise<StoredToken[]>;
  live(hash: Buffer): Promise<LiveToken | undefined>;
  /** Undefined when the actor has no such token. */
  revoke(actor: ActorId, token: number, by: By): Promise<StoredToken | undefined>;
  /** In one statement for all that were used. */
  used(tokens: ReadonlyMap<number, number>): Promise<void>;
}

interface TokenRow {
  token: number;
  name: string;
  scopes: string[];
  created_at: Date;
  expires_at: Date;
  last_used_at: Date | null;
  revoked_at: Date | null;
}

const TIMEOUT_MS = 10_000;
/** Of a list: the newest. */
const LISTED_MAX = 500;
const COLUMNS = "token, name, scopes, created_at, expires_at, last_used_at, revoked_at";

export function createTokenStore(pool: ConnectionPool): TokenStore {
  return {
    create: ({ actor, hash, name, scopes, lastsMs }, most, by) =>
      transaction(pool, async (connection) => {
        const enabled = "select 1 from account where actor = $1 and disabled_at is null for update";
        if ((await connection.rows(enabled, [actor], TIMEOUT_MS)).length === 0) return undefined;
        const [row] = await connection.rows<TokenRow>(
          `insert into personal_token (actor, hash, name, scopes, expires_at)
           select $1, $2, $3, $4, now() + $5 * interval '1 ms'
           where (select count(*) from personal_token where actor = $1 and revoked_at is null and expires_at > now()) < $6
           returning ${COLUMNS}`,
          [actor, hash, name, scopes, lastsMs, most],
          TIMEOUT_MS,
        );
        if (!row) return undefined;
        const stored = tokenOf(row);
        const resource = { type: "token", id: stored.token };
        await writeAudit(connection, [{ by, action: "auth.create_token", resource, after: stored }]);
        return stored;
      }),
    list: async (actor) => {
      const text = `select ${COLUMNS} from personal_token where actor = $1 order by token desc limit ${LISTED_MAX}`;
      return (await pool.rows<TokenRow>(text, [actor])).map(tokenOf);
    },
    live: async (hash) => {
      const [row] = await pool.rows<TokenRow & { actor: ActorId; username: string }>(
        `select t.token, t.actor, a.username, t.scopes, t.expires_at from personal_token t join account a using (actor)
         where t.hash = $1 and t.revoked_at is null and t.expires_at > now() and a.disabled_at is null`,
        [hash],
      );
      if (!row) return undefined;
      const { token, actor, username } = row;
      return { token, actor, username, scopes: scopesOf(row.scopes), expiresAtMs: row.expires_at.getTime() };
    },
    revoke: (actor, token, by) =>
      transaction(pool, async (connection) => {
        const [row] = await connection.rows<TokenRow>(
          `update personal_token set revoked_at = coalesce(revoked_at, now()) where actor = $1 and token = $2
           returning ${COLUMNS}`,
          [actor, token],
          TIMEOUT_MS,
        );
        if (!row) return undefined;
        await writeAudit(connection, [{ by, action: "auth.revoke_token", resource: { type: "token", id: token } }]);
        return tokenOf(row);
      }),
    used: async (tokens) => {
      await pool.rows(
        `update personal_token t set last_used_at = greatest(t.last_used_at, to_timestamp(u.at / 1000))
         from unnest($1::bigint[], $2::float8[]) as u (token, at) where t.token = u.token`,
        [[...tokens.keys()], [...tokens.values()]],
      );
    },
  };
}

function tokenOf(row: TokenRow): StoredToken {
  return {
    token: row.token,
    name: row.name,
    scopes: scopesOf(row.scopes),
    createdAtMs: row.created_at.getTime(),
    expiresAtMs: row.expires_at.getTime(),
    lastUsedAtMs: row.last_used_at?.getTime() ?? null,
    revokedAtMs: row.revoked_at?.getTime() ?? null,
  };
}

/** A scope of a newer program opens nothing here. */
function scopesOf(texts: readonly string[]): Scope[] {
  return SCOPES.filter((scope) => texts.includes(scope));
}
