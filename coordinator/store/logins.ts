/**
 * Sessions of people and their refresh tokens. A session has one unused refresh token; using it makes the next one, and a
 * used one that comes again ends the session. Rows are locked account first, then session, so that a login and the end of
 * all logins never miss each other.
 */
import type { Connection } from "../../db/connection.ts";
import type { ConnectionPool } from "../../db/pool.ts";
import type { ActorId } from "../../shared/model/ids.ts";
import { type By, writeAudit } from "./audit.ts";
import { transaction } from "./transaction.ts";

export type LoginHow = "password" | "oidc";
export type RevokedBecause = "logout" | "revoked" | "reuse" | "password" | "disabled" | "too_many";

export interface StoredSession {
  session: number;
  actor: ActorId;
  how: LoginHow;
  address: string | null;
  client: string;
  createdAtMs: number;
  refreshedAtMs: number;
  expiresAtMs: number;
}

/** What a session's holder may, as long as it lives. */
export interface LiveSession {
  actor: ActorId;
  username: string;
  passwordMustChange: boolean;
}

export interface NewSession {
  actor: ActorId;
  how: LoginHow;
  client: string;
  refreshHash: Buffer;
  ttlMs: number;
  /** Of the password that was checked; null without one. */
  passwordSetAt: string | null;
}

export type Opened =
  | { kind: "opened"; session: number; ended: number[] }
  /** `stale`: the password is another one by now. */
  | { kind: "disabled" }
  | { kind: "stale" };

/** How a refresh went. `used`: it was used before, since so long; the domain says what that means. */
export type Refreshed =
  | { kind: "rotated" | "repeated"; session: number; live: LiveSession; nonce: Buffer; expiresAtMs: number }
  | { kind: "reused"; session: number; actor: ActorId }
  | { kind: "unknown" };

export interface LoginStore {
  /** Above `most` live ones the oldest is ended. */
  open(session: NewSession, most: number, by: By): Promise<Opened>;
  /** Undefined: revoked, run out, or its account is disabled. */
  live(session: number): Promise<LiveSession | undefined>;
  /** Those that still open something, of these sessions and personal tokens. */
  stillLive(sessions: number[], tokens: number[]): Promise<{ sessions: Set<number>; tokens: Set<number> }>;
  /**
   * Uses a refresh token. `successor` gives its successor's hash from a nonce. One that was used less than `graceMs` ago and
   * whose successor is unused gives the same nonce again. One that is reused otherwise ends the session.
   */
  refresh(
    hash: Buffer,
    nonce: Buffer,
    successor: (nonce: Buffer) => Buffer,
    times: { ttlMs: number; graceMs: number },
    by: By,
  ): Promise<Refreshed>;
  list(actor: ActorId): Promise<StoredSession[]>;
  /** Those it ended: all of the actor's, or the one. */
  revoke(actor: ActorId, session: number | null, because: RevokedBecause, by: By): Promise<number[]>;
  /** Those that ended long ago. */
  forget(keptMs: number): Promise<number>;
}

const TIMEOUT_MS = 10_000;
const LIVE = "s.revoked_at is null and s.expires_at > now() and a.disabled_at is null";
/** Used ones kept to notice that they come again. */
const REFRESH_TOKENS_KEPT_MAX = 500;

export function createLoginStore(pool: ConnectionPool): LoginStore {
  return {
    open: (session, most, by) => transaction(pool, (connection) => open(connection, session, most, by)),
    live: async (session) => {
      const [row] = await pool.rows<LiveRow>(
        `select a.actor, a.username, a.password_must_change from login_session s join account a using (actor)
         where s.session = $1 and ${LIVE}`,
        [session],
      );
      return row && liveOf(row);
    },
    stillLive: async (sessions, tokens) => {
      const rows = await pool.rows<{ session: number | null; token: number | null }>(
        `select s.session, null::bigint as token from login_session s join account a using (actor)
         where s.session = any($1::bigint[]) and ${LIVE} and not a.password_must_change
         union all
         select null::bigint, t.token from personal_token t join account a using (actor)
         where t.token = any($2::bigint[]) and t.revoked_at is null and t.expires_at > now() and a.disabled_at is null`,
        [sessions, tokens],
      );
      return {
        sessions: new Set(rows.flatMap(({ session }) => session ?? [])),
        tokens: new Set(rows.flatMap(({ token }) => token ?? [])),
      };
    },
    refresh: (hash, nonce, successor, times, by) =>
      transaction(pool, (connection) => refresh(connection, hash, nonce, successor, times, by)),
    list: async (actor) => {
      const rows = await pool.rows<SessionRow>(
        `select s.session, s.actor, s.how, s.address, s.client, s.created_at, s.refreshed_at, s.expires_at
         from login_session s join account a using (actor) where s.actor = $1 and ${LIVE} order by s.session desc`,
        [actor],
      );
      return rows.map((row) => ({
        session: row.session,
        actor: row.actor,
        how: row.how,
        address: row.address,
        client: row.client,
        createdAtMs: row.created_at.getTime(),
        refreshedAtMs: row.refreshed_at.getTime(),
        expiresAtMs: row.expires_at.getTime(),
      }));
    },
    revoke: (actor, session, because, by) =>
      transaction(pool, async (connection) => {
        await connection.rows("select 1 from account where actor = $1 for share", [actor], TIMEOUT_MS);
        const ended = await connection.rows<{ session: number }>(
          `update login_session set revoked_at = now(), revoked_because = $3
           where actor = $1 and ($2::bigint is null or session = $2) and revoked_at is null and expires_at > now()
           returning session`,
          [actor, session, because],
          TIMEOUT_MS,
        );
        const action = because === "logout" ? "auth.logout" : "auth.revoke_session";
        await writeAudit(
          connection,
          ended.map(({ session: id }) => ({ by, action, resource: sessionRef(id) })),
        );
        return ended.map(({ session: id }) => id);
      }),
    forget: async (keptMs) => {
      const text = `delete from login_session where session in (
                      select session from login_session where expires_at < now() - $1 * interval '1 ms' limit 1000)
                    returning session`;
      return (await pool.rows(text, [keptMs])).length;
    },
  };
}

async function open(
  connection: Connection,
  { actor, how, client, refreshHash, ttlMs, passwordSetAt }: NewSession,
  most: number,
  by: By,
): Promise<Opened> {
  // What changed while a login was under way is seen here: the lock waits for it, and then reads the row as it is.
  const [account] = await connection.rows<{ is_enabled: boolean; is_same: boolean }>(
    `select disabled_at is null as is_enabled,
       ($2::text is null or password_set_at is not distinct from $2::timestamptz) as is_same
     from account where actor = $1 for update`,
    [actor, passwordSetAt],
    TIMEOUT_MS,
  );
  if (!account?.is_same) return { kind: "stale" };
  if (!account.is_enabled) return { kind: "disabled" };
  const [made] = await connection.rows<{ session: number }>(
    `insert into login_session (actor, how, address, client, expires_at)
     values ($1, $2, $3, $4, now() + $5 * interval '1 ms') returning session`,
    [actor, how, by.address, client, ttlMs],
    TIMEOUT_MS,
  );
  const { session } = made as { session: number };
  await insertRefreshToken(connection, refreshHash, session, ttlMs);
  const ended = await connection.rows<{ session: number }>(
    `update login_session set revoked_at = now(), revoked_because = 'too_many'
     where session in (select session from login_session where actor = $1 and revoked_at is null and expires_at > now()
                       order by session desc offset $2)
     returning session`,
    [actor, most],
    TIMEOUT_MS,
  );
  await writeAudit(connection, [
    { by: { ...by, actor }, action: "auth.login", resource: sessionRef(session), after: { how, client } },
  ]);
  return { kind: "opened", session, ended: ended.map(({ session: id }) => id) };
}

interface RefreshRow extends LiveRow {
  session: number;
  used_at: Date | null;
  used_ms: number | null;
  is_live: boolean;
  is_fresh: boolean;
  expires_at: Date;
  successor_nonce: Buffer | null;
  successor_unused: boolean;
}

async function refresh(
  connection: Connection,
  hash: Buffer,
  nonce: Buffer,
  successor: (nonce: Buffer) => Buffer,
  { ttlMs, graceMs }: { ttlMs: number; graceMs: number },
  by: By,
): Promise<Refreshed> {
  // Locked by its session: of two that come at once one rotates, and the other one finds a used token.
  const [held] = await connection.rows<{ session: number }>(
    `select s.session from login_session s where s.session = (select session from refresh_token where hash = $1)
     for update`,
    [hash],
    TIMEOUT_MS,
  );
  if (!held) return { kind: "unknown" };
  const [row] = await connection.rows<RefreshRow>(
    `select s.session, a.actor, a.username, a.password_must_change, ${LIVE} as is_live, t.expires_at > now() as is_fresh,
       t.used_at, extract(epoch from clock_timestamp() - t.used_at)::float8 * 1000 as used_ms, t.successor_nonce,
       s.expires_at, n.used_at is null and n.hash is not null as successor_unused
     from refresh_token t join login_session s using (session) join account a using (actor)
       left join refresh_token n on n.hash = t.successor_hash
     where t.hash = $1`,
    [hash],
    TIMEOUT_MS,
  );
  if (!row?.is_live || !row.is_fresh) return { kind: "unknown" };
  const { session, actor } = row;
  if (row.used_at !== null) {
    const isRepeat = (row.used_ms ?? Number.POSITIVE_INFINITY) <= graceMs && row.successor_unused;
    if (isRepeat && row.successor_nonce !== null) {
      const expiresAtMs = row.expires_at.getTime();
      return { kind: "repeated", session, live: liveOf(row), nonce: row.successor_nonce, expiresAtMs };
    }
    const ends = `update login_session set revoked_at = now(), revoked_because = 'reuse' where session = $1`;
    await connection.rows(ends, [session], TIMEOUT_MS);
    const resource = sessionRef(session);
    const code = "refresh_token_invalid";
    await writeAudit(connection, [
      { by: { ...by, actor }, action: "auth.refresh_reuse", resource, outcome: "refused", code },
    ]);
    return { kind: "reused", session, actor };
  }
  const next = successor(nonce);
  await connection.rows(
    "update refresh_token set used_at = clock_timestamp(), successor_nonce = $2, successor_hash = $3 where hash = $1",
    [hash, nonce, next],
    TIMEOUT_MS,
  );
  await insertRefreshToken(connection, next, session, ttlMs);
  const [after] = await connection.rows<{ expires_at: Date }>(
    `update login_session set refreshed_at = now(), expires_at = now() + $2 * interval '1 ms' where session = $1
     returning expires_at`,
    [session, ttlMs],
    TIMEOUT_MS,
  );
  await connection.rows(
    `delete from refresh_token where session = $1 and (expires_at < now() or hash in (
       select hash from refresh_token where session = $1 order by created_at desc offset $2))`,
    [session, REFRESH_TOKENS_KEPT_MAX],
    TIMEOUT_MS,
  );
  return { kind: "rotated", session, live: liveOf(row), nonce, expiresAtMs: after?.expires_at.getTime() ?? 0 };
}

async function insertRefreshToken(connection: Connection, hash: Buffer, session: number, ttlMs: number): Promise<void> {
  const text = `insert into refresh_token (hash, session, created_at, expires_at)
                values ($1, $2, clock_timestamp(), now() + $3 * interval '1 ms')`;
  await connection.rows(text, [hash, session, ttlMs], TIMEOUT_MS);
}

interface LiveRow {
  actor: ActorId;
  username: string;
  password_must_change: boolean;
}

interface SessionRow {
  session: number;
  actor: ActorId;
  how: LoginHow;
  address: string | null;
  client: string;
  created_at: Date;
  refreshed_at: Date;
  expires_at: Date;
}

function liveOf(row: LiveRow): LiveSession {
  return { actor: row.actor, username: row.username, passwordMustChange: row.password_must_change };
}

function sessionRef(session: number): { type: string; id: number } {
  return { type: "session", id: session };
}
