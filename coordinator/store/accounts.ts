/**
 * Accounts of people, and their roles on the whole installation. Changes that take access away (disabling, another
 * password) end sessions, and tokens where they are to, in the same transaction.
 */
import type { Connection } from "../../db/connection.ts";
import type { ConnectionPool } from "../../db/pool.ts";
import { AiravataError } from "../../shared/error/error.ts";
import { type ActorId, SYSTEM_ACTOR } from "../../shared/model/ids.ts";
import type { RelationshipChange } from "../../shared/model/relationship.ts";
import { type AuditEntry, type By, writeAudit } from "./audit.ts";
import { writeRelationships } from "./relationships.ts";
import { transaction } from "./transaction.ts";

export type PlatformRole = "administrator" | "operator";

export interface StoredAccount {
  actor: ActorId;
  username: string;
  displayName: string;
  email: string | null;
  role: PlatformRole | null;
  passwordMustChange: boolean;
  hasPassword: boolean;
  /** Of who logs in by an identity provider. */
  oidcIssuer: string | null;
  disabledAtMs: number | null;
  createdAtMs: number;
  version: number;
}

export interface NewAccount {
  username: string;
  displayName: string;
  email: string | null;
  /** PHC string; null: no password. */
  password: string | null;
  passwordMustChange: boolean;
  role: PlatformRole | null;
  oidc?: { issuer: string; subject: string } | undefined;
}

/** What is left out stays. */
export interface AccountChange {
  displayName?: string | undefined;
  email?: string | null | undefined;
  role?: PlatformRole | null | undefined;
}

/** What a change needs to be in force, and whom it cut off. */
export interface Changed {
  account: StoredAccount;
  relationship: number;
}

export interface StoredPassword {
  /** PHC string. */
  phc: string;
  /** When it was chosen, to the microsecond. Another cost of the same password leaves it. */
  setAt: string;
  /** How long somebody else has known it; null when its owner chose it. */
  oneTimeAgeMs: number | null;
}

export interface NewPassword {
  phc: string;
  mustChange: boolean;
  /** Whether the account's personal tokens end too. */
  endTokens: boolean;
  /** Only while the password is the one of `setAt` and the session is not revoked. That session does not end. */
  only: { setAt: string; keep: number } | null;
}

export interface AccountStore {
  list(after: number, limit: number): Promise<StoredAccount[]>;
  find(which: number | string): Promise<StoredAccount | undefined>;
  byOidc(issuer: string, subject: string): Promise<StoredAccount | undefined>;
  /** Undefined without one. */
  password(actor: ActorId): Promise<StoredPassword | undefined>;
  /** Throws `username_taken`. */
  create(account: NewAccount, by: By): Promise<Changed>;
  /** The first account, when there is none at all: of two coordinators one makes it. */
  createFirst(account: NewAccount): Promise<StoredAccount | undefined>;
  /** Undefined when there is none, or, with `version`, when it has another one. */
  change(actor: ActorId, change: AccountChange, version: number | null, by: By): Promise<Changed | undefined>;
  /** Ends all sessions but `keep`, and, of a disabled account, all tokens. Undefined when nothing was to change. */
  setDisabled(actor: ActorId, disabled: boolean, by: By): Promise<StoredAccount | undefined>;
  /** Another password ends all sessions but `keep`. Undefined: there is no account, or what `only` asks does not hold. */
  setPassword(
    actor: ActorId,
    password: NewPassword,
    action: "user.reset_password" | "auth.password",
    by: By,
  ): Promise<StoredAccount | undefined>;
  /** The same password under today's cost; nothing when it changed meanwhile. */
  rehash(actor: ActorId, before: string, phc: string): Promise<void>;
}

interface AccountRow {
  actor: ActorId;
  username: string;
  display_name: string;
  email: string | null;
  role: PlatformRole | null;
  password_must_change: boolean;
  has_password: boolean;
  oidc_issuer: string | null;
  disabled_at: Date | null;
  created_at: Date;
  version: number;
}

const TIMEOUT_MS = 10_000;
const UNIQUE_VIOLATION = "23505";
const COLUMNS = `a.actor, a.username, a.display_name, a.email, a.password_must_change, a.password is not null as has_password,
  a.oidc_issuer, a.disabled_at, a.created_at, a.version,
  (select min(r.relation) from relationship r where r.resource_type = 'platform' and r.resource_id = 'main'
     and r.subject_type = 'user' and r.subject_id = a.actor::text) as role`;

export function createAccountStore(pool: ConnectionPool): AccountStore {
  const change = async (
    actor: ActorId,
    by: By,
    action: string,
    work: (connection: Connection, before: StoredAccount) => Promise<number | undefined>,
  ): Promise<Changed | undefined> => {
    return transaction(pool, async (connection) => {
      const before = await lock(connection, actor);
      if (!before) return undefined;
      const relationship = await work(connection, before);
      if (relationship === undefined) return undefined;
      const account = (await read(connection, actor)) as StoredAccount;
      await writeAudit(connection, [entryOf(action, by, before, account)]);
      return { account, relationship };
    });
  };
  const only = async (condition: string, values: unknown[]): Promise<StoredAccount | undefined> => {
    const [row] = await pool.rows<AccountRow>(`select ${COLUMNS} from account a where ${condition}`, values);
    return row && accountOf(row);
  };
  return {
    list: async (after, limit) => {
      const text = `select ${COLUMNS} from account a where a.actor > $1 order by a.actor limit $2`;
      return (await pool.rows<AccountRow>(text, [after, limit])).map(accountOf);
    },
    find: (which) => only(typeof which === "number" ? "a.actor = $1" : "a.username = $1", [which]),
    byOidc: (issuer, subject) => only("a.oidc_issuer = $1 and a.oidc_subject = $2", [issuer, subject]),
    password: async (actor) => {
      const [row] = await pool.rows<{ password: string; set_at: string; one_time_age_ms: number | null }>(
        `select password, password_set_at::text as set_at, case when password_must_change
           then extract(epoch from now() - password_set_at)::float8 * 1000 end as one_time_age_ms
         from account where actor = $1 and password is not null`,
        [actor],
      );
      return row && { phc: row.password, setAt: row.set_at, oneTimeAgeMs: row.one_time_age_ms };
    },
    create: async (account, by) => {
      try {
        return await transaction(pool, (connection) => insert(connection, account, by));
      } catch (error) {
        if ((error as { code?: string }).code !== UNIQUE_VIOLATION) throw error;
        const other = account.oidc ? ", or one of this identity" : "";
        throw new AiravataError("username_taken", `there is a user "${account.username}"${other} already`, {
          cause: error,
        });
      }
    },
    createFirst: async (account) => {
      const by: By = { actor: SYSTEM_ACTOR, via: "system", address: null, request: null };
      return transaction(pool, async (connection) => {
        await connection.query("lock table account in share row exclusive mode", TIMEOUT_MS);
        const [some] = await connection.rows("select 1 from account limit 1", [], TIMEOUT_MS);
        return some ? undefined : (await insert(connection, account, by)).account;
      });
    },
    change: async (actor, { displayName, email, role }, version, by) => {
      return change(actor, by, "user.change", async (connection, before) => {
        if (version !== null && before.version !== version) return undefined;
        const text = `update account set display_name = coalesce($2, display_name), version = version + 1,
                        email = case when $3 then $4 else email end where actor = $1`;
        await connection.rows(text, [actor, displayName ?? null, email !== undefined, email ?? null], TIMEOUT_MS);
        if (role === undefined || role === before.role) return 0;
        const changes = [
          ...(before.role ? [platformRole("delete", actor, before.role)] : []),
          ...(role ? [platformRole("touch", actor, role)] : []),
        ];
        return writeRelationships(connection, changes, by.actor);
      });
    },
    setDisabled: async (actor, disabled, by) => {
      const changed = await change(actor, by, disabled ? "user.disable" : "user.enable", async (connection, before) => {
        if ((before.disabledAtMs !== null) === disabled) return undefined;
        const text = `update account set disabled_at = case when $2 then now() end, version = version + 1 where actor = $1`;
        await connection.rows(text, [actor, disabled], TIMEOUT_MS);
        if (disabled) {
          await endSessions(connection, actor, null, "disabled");
          await endTokens(connection, actor);
        }
        return 0;
      });
      return changed?.account;
    },
    setPassword: async (actor, { phc, mustChange, endTokens: tokensToo, only: condition }, action, by) => {
      const changed = await change(actor, by, action, async (connection) => {
        if (condition && !(await holds(connection, actor, condition))) return undefined;
        const text = `update account set password = $2, password_must_change = $3, password_set_at = now(),
                        version = version + 1 where actor = $1`;
        await connection.rows(text, [actor, phc, mustChange], TIMEOUT_MS);
        await endSessions(connection, actor, condition?.keep ?? null, "password");
        if (tokensToo) await endTokens(connection, actor);
        return 0;
      });
      return changed?.account;
    },
    rehash: async (actor, before, phc) => {
      await pool.rows("update account set password = $3 where actor = $1 and password = $2", [actor, before, phc]);
    },
  };
}

/** Under the account's lock, so that it holds until the end of the transaction. */
async function holds(
  connection: Connection,
  actor: ActorId,
  { setAt, keep }: NonNullable<NewPassword["only"]>,
): Promise<boolean> {
  const text = `select 1 from account a join login_session s using (actor)
                where a.actor = $1 and a.password_set_at = $2::timestamptz and s.session = $3 and s.revoked_at is null`;
  return (await connection.rows(text, [actor, setAt, keep], TIMEOUT_MS)).length > 0;
}

async function endTokens(connection: Connection, actor: ActorId): Promise<void> {
  const text = "update personal_token set revoked_at = now() where actor = $1 and revoked_at is null";
  await connection.rows(text, [actor], TIMEOUT_MS);
}

/** Of a person, all but `keep`. */
async function endSessions(
  connection: Connection,
  actor: ActorId,
  keep: number | null,
  because: string,
): Promise<void> {
  const text = `update login_session set revoked_at = now(), revoked_because = $3
                where actor = $1 and revoked_at is null and session is distinct from $2`;
  await connection.rows(text, [actor, keep, because], TIMEOUT_MS);
}

async function insert(connection: Connection, account: NewAccount, by: By): Promise<Changed> {
  const [made] = await connection.rows<{ actor: ActorId }>(
    "insert into actor (kind, name) values ('user', $1) returning actor",
    [account.username],
    TIMEOUT_MS,
  );
  const { actor } = made as { actor: ActorId };
  await connection.rows(
    `insert into account (actor, username, display_name, email, password, password_must_change, password_set_at,
       oidc_issuer, oidc_subject, created_by)
     values ($1, $2, $3, $4, $5, $6, case when $5::text is not null then now() end, $7, $8, $9)`,
    [
      actor,
      account.username,
      account.displayName,
      account.email,
      account.password,
      account.passwordMustChange,
      account.oidc?.issuer ?? null,
      account.oidc?.subject ?? null,
      by.actor,
    ],
    TIMEOUT_MS,
  );
  const roles = account.role ? [platformRole("touch", actor, account.role)] : [];
  const relationship = roles.length > 0 ? await writeRelationships(connection, roles, by.actor) : 0;
  const stored = (await read(connection, actor)) as StoredAccount;
  await writeAudit(connection, [entryOf("user.create", by, undefined, stored)]);
  return { account: stored, relationship };
}

async function lock(connection: Connection, actor: ActorId): Promise<StoredAccount | undefined> {
  const text = `select ${COLUMNS} from account a where a.actor = $1 for update of a`;
  const [row] = await connection.rows<AccountRow>(text, [actor], TIMEOUT_MS);
  return row && accountOf(row);
}

async function read(connection: Connection, actor: ActorId): Promise<StoredAccount | undefined> {
  const text = `select ${COLUMNS} from account a where a.actor = $1`;
  const [row] = await connection.rows<AccountRow>(text, [actor], TIMEOUT_MS);
  return row && accountOf(row);
}

function platformRole(op: "touch" | "delete", actor: ActorId, relation: PlatformRole): RelationshipChange {
  const resource = { type: "platform", id: "main" };
  return { op, relationship: { resource, relation, subject: { type: "user", id: String(actor) } } };
}

function entryOf(action: string, by: By, before: StoredAccount | undefined, after: StoredAccount): AuditEntry {
  return { by, action, resource: { type: "user", id: after.actor }, before, after };
}

function accountOf(row: AccountRow): StoredAccount {
  return {
    actor: row.actor,
    username: row.username,
    displayName: row.display_name,
    email: row.email,
    role: row.role,
    passwordMustChange: row.password_must_change,
    hasPassword: row.has_password,
    oidcIssuer: row.oidc_issuer,
    disabledAtMs: row.disabled_at?.getTime() ?? null,
    createdAtMs: row.created_at.getTime(),
    version: row.version,
  };
}
