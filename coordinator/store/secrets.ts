/**
 * What lies in the vault, by path, and which vault that is. A row goes before its secret into the database and after it
 * out of it: `writing` until a credential holds it, `destroying` until the vault has forgotten it.
 */
import type { Connection } from "../../db/connection.ts";
import type { ConnectionPool } from "../../db/pool.ts";
import { transaction } from "./transaction.ts";

export interface VaultName {
  kind: string;
  id: string;
}

/** A place for one secret. */
export interface SecretPlace {
  credential: number;
  number: number;
  path: string;
}

export interface SecretStore {
  /** The vault of this database; undefined before the first secret. */
  vault(): Promise<VaultName | undefined>;
  /** Makes it this one unless it has one. */
  noteVault(vault: VaultName): Promise<void>;
  /** Durable before anything is written to the vault. `null`: for a new credential, whose number it gives. */
  reserve(credential: number | null, random: string): Promise<SecretPlace | undefined>;
  /** Where the secret of a credential lies that holds now. */
  placeOf(credential: number): Promise<SecretPlace | undefined>;
  /** To be destroyed. False when a credential holds it: then the commit happened whose answer was lost. */
  abandon(path: string): Promise<boolean>;
  /** Writes that nobody finished for so long are abandoned; then those to destroy, oldest first. */
  toDestroy(writingMsMax: number, limit: number): Promise<SecretPlace[]>;
  destroyed(path: string): Promise<void>;
  /** Forgets what was destroyed so long ago. */
  trim(keptMs: number): Promise<void>;
}

const TIMEOUT_MS = 10_000;
const COLUMNS = "credential, number, path";

export function createSecretStore(pool: ConnectionPool): SecretStore {
  return {
    vault: async () => (await pool.rows<VaultName>("select kind, id from vault"))[0],
    noteVault: async ({ kind, id }) => {
      await pool.rows("insert into vault (kind, id) values ($1, $2) on conflict do nothing", [kind, id]);
    },
    reserve: (credential, random) =>
      transaction(pool, async (connection) => {
        // The lock gives numbers in order to those who rotate at once.
        const [owner] =
          credential === null
            ? await connection.rows<{ credential: number }>(NEXT_CREDENTIAL, [], TIMEOUT_MS)
            : await connection.rows<{ credential: number }>(LOCK_CREDENTIAL, [credential], TIMEOUT_MS);
        if (!owner) return undefined;
        const [row] = await connection.rows<SecretPlace>(
          `insert into credential_secret (credential, number, path)
           select $1::bigint, n, $1::bigint || '.' || n || '.' || $2::text
           from (select coalesce(max(number), 0) + 1 as n from credential_secret where credential = $1) as next
           returning ${COLUMNS}`,
          [owner.credential, random],
          TIMEOUT_MS,
        );
        return row;
      }),
    placeOf: async (credential) => {
      const text = `select s.credential, s.number, s.path from credential c join credential_secret s using (credential, number)
                    where c.credential = $1 and c.deleted_at is null and s.state = 'kept'`;
      return (await pool.rows<SecretPlace>(text, [credential]))[0];
    },
    abandon: async (path) => {
      const text = `update credential_secret set state = 'destroying', changed_at = now()
                    where path = $1 and state = 'writing' returning path`;
      return (await pool.rows(text, [path])).length === 1;
    },
    toDestroy: async (writingMsMax, limit) => {
      await pool.rows(
        `update credential_secret set state = 'destroying', changed_at = now()
         where state = 'writing' and changed_at < now() - $1 * interval '1 ms'`,
        [writingMsMax],
      );
      const text = `select ${COLUMNS} from credential_secret where state = 'destroying' order by changed_at limit $1`;
      return pool.rows<SecretPlace>(text, [limit]);
    },
    destroyed: async (path) => {
      await pool.rows(
        "update credential_secret set state = 'destroyed', changed_at = now() where path = $1 and state = 'destroying'",
        [path],
      );
    },
    trim: async (keptMs) => {
      await pool.rows(
        "delete from credential_secret where state = 'destroyed' and changed_at < now() - $1 * interval '1 ms'",
        [keptMs],
      );
    },
  };
}

const NEXT_CREDENTIAL = "select nextval(pg_get_serial_sequence('credential', 'credential')) as credential";
const LOCK_CREDENTIAL = "select credential from credential where credential = $1 and deleted_at is null for update";

/**
 * Within the transaction of the credential: the written one is held from now on, and of the older ones only the newest
 * `kept - 1` stay. False when it was abandoned meanwhile. The paths that are to be destroyed now.
 */
export async function holdSecret(
  connection: Connection,
  { credential, number, path }: SecretPlace,
  kept: number,
): Promise<string[] | undefined> {
  const held = await connection.rows(
    "update credential_secret set state = 'kept', changed_at = now() where path = $1 and state = 'writing' returning path",
    [path],
    TIMEOUT_MS,
  );
  if (held.length === 0) return undefined;
  return dropSecrets(connection, credential, number - kept);
}

/** Within the transaction of the credential: those up to `number` are to be destroyed. Their paths. */
export async function dropSecrets(connection: Connection, credential: number, number: number): Promise<string[]> {
  const rows = await connection.rows<{ path: string }>(
    `update credential_secret set state = 'destroying', changed_at = now()
     where credential = $1 and number <= $2 and state in ('writing', 'kept') returning path`,
    [credential, number],
    TIMEOUT_MS,
  );
  return rows.map(({ path }) => path);
}
