/**
 * Brings a database to this program's schema: numbered files of `migrations/`, forward only, one transaction each, under
 * a lock so that any number of coordinators may start at once. An older program refuses a schema that a newer one has
 * changed in a way it cannot work with (a migration whose first line is `-- breaking`), and runs on any other.
 */
import { readdirSync, readFileSync } from "node:fs";
import { AiravataError } from "../shared/error/error.ts";
import { type DatabaseAddress, parseDatabaseUrl } from "./address.ts";
import { checkDatabase } from "./check.ts";
import { type Connection, openConnection } from "./connection.ts";
import { databaseRefusal } from "./refusal.ts";

export interface Migration {
  version: number;
  name: string;
  breaking: boolean;
  sql: string;
}

export interface MigrateResult {
  /** Version of the schema afterwards; may be above what this program knows. */
  version: number;
  /** Names of what was applied now; empty when it was up to date. */
  applied: string[];
  /** Settings of the server that weaken what is promised, a sentence each, for the log. */
  warnings: string[];
}

export interface MigrateOptions {
  migrations?: Migration[];
  /** Version of the program, recorded beside what it applied. */
  program?: string;
}

/** `pg_advisory_lock(this, 0)` while migrating. */
const MIGRATION_LOCK = 7_304_003;
const LOCK_TIMEOUT_MS = 60_000;
/** A migration may rewrite large tables. */
const MIGRATION_TIMEOUT_MS = 3_600_000;
const STATEMENT_TIMEOUT_MS = 10_000;

const TABLE = `
create table if not exists schema_migration (
  version integer primary key,
  name text not null,
  breaking boolean not null,
  program text not null,
  applied_at timestamptz not null default now()
)`;

/** The migrations of this program, in order. Exported for tests. */
export function knownMigrations(directory: URL = new URL("./migrations/", import.meta.url)): Migration[] {
  return readdirSync(directory)
    .filter((file) => /^\d{6}_\w+\.sql$/.test(file))
    .sort()
    .map((file) => {
      const sql = readFileSync(new URL(file, directory), "utf8");
      return { version: Number(file.slice(0, 6)), name: file.slice(7, -4), breaking: /^-- breaking\b/.test(sql), sql };
    });
}

/**
 * Looks at the database and applies what is missing. Safe to run at every start and by several at once. Rejects with
 * `schema_too_new` when a newer program made a breaking change, `database_url_invalid`, `database_refused`,
 * `database_unavailable`, `database_unsupported` or `disk_full`, each with what to do.
 */
export async function migrate(url: string, options: MigrateOptions = {}): Promise<MigrateResult> {
  const address = parseDatabaseUrl(url);
  const migrations = options.migrations ?? knownMigrations();
  const connection = await openConnection(address, {
    name: "airavata migrate",
    settings: { lock_timeout: String(LOCK_TIMEOUT_MS) },
  });
  try {
    const warnings = await checkDatabase(connection, address.display);
    await lock(connection);
    await connection.query(TABLE, STATEMENT_TIMEOUT_MS);
    await refuseNewer(connection, migrations, address);
    const applied: string[] = [];
    for (const migration of migrations) {
      if (await apply(connection, migration, options.program ?? programVersion())) applied.push(migration.name);
    }
    const [row] = await connection.rows<{ version: number }>(
      "select coalesce(max(version), 0) as version from schema_migration",
      [],
      STATEMENT_TIMEOUT_MS,
    );
    return { version: row?.version ?? 0, applied, warnings };
  } catch (error) {
    throw databaseRefusal(error, address);
  } finally {
    await connection.end();
  }
}

async function lock(connection: Connection): Promise<void> {
  await connection.query(`select pg_advisory_lock(${MIGRATION_LOCK}, 0)`, LOCK_TIMEOUT_MS + STATEMENT_TIMEOUT_MS);
}

async function refuseNewer(connection: Connection, migrations: Migration[], address: DatabaseAddress): Promise<void> {
  const known = migrations.at(-1)?.version ?? 0;
  const [newer] = await connection.rows<{ version: number; name: string; program: string }>(
    "select version, name, program from schema_migration where version > $1 and breaking order by version desc limit 1",
    [known],
    STATEMENT_TIMEOUT_MS,
  );
  if (!newer) return;
  throw new AiravataError(
    "schema_too_new",
    `The schema of ${address.display} was changed by version ${newer.program} of this program (migration ` +
      `${newer.version} "${newer.name}"), but this is version ${programVersion()} and knows migrations up to ${known}: ` +
      `upgrade it to ${newer.program} or newer`,
  );
}

/** The version row goes in first: whoever else got past the lock (a lost session of ours) fails on its key. */
async function apply(connection: Connection, migration: Migration, program: string): Promise<boolean> {
  const { version, name, breaking, sql } = migration;
  await connection.query("begin", STATEMENT_TIMEOUT_MS);
  try {
    const inserted = await connection.query(
      {
        text: `insert into schema_migration (version, name, breaking, program) values ($1, $2, $3, $4)
               on conflict (version) do nothing`,
        values: [version, name, breaking, program],
      },
      STATEMENT_TIMEOUT_MS,
    );
    if (inserted.rowCount === 1) await connection.query(sql, MIGRATION_TIMEOUT_MS);
    await connection.query("commit", STATEMENT_TIMEOUT_MS);
    return inserted.rowCount === 1;
  } catch (error) {
    await connection.query("rollback", STATEMENT_TIMEOUT_MS).catch(() => {});
    throw new Error(`migration ${version} "${name}" failed`, { cause: error });
  }
}

/** Version of this program, from package.json. */
function programVersion(): string {
  const text = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
