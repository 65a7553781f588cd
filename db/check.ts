/**
 * Looks at a database before anything is built on it: that it can be reached, that it is a PostgreSQL this system works
 * on, and what about its settings would break a promise.
 */
import { AiravataError } from "../shared/error/error.ts";
import { parseDatabaseUrl } from "./address.ts";
import { openConnection } from "./connection.ts";

export interface DatabaseFacts {
  /** `user@host:port/database`. */
  display: string;
  /** For example 180004. */
  versionNumber: number;
  /** Sentences about settings that weaken what is promised; for the log and `health/db`. */
  warnings: string[];
}

/** The oldest that the tests run on. */
const VERSION_NUMBER_MIN = 150_000;
const CHECK_TIMEOUT_MS = 5_000;

interface FactsRow {
  version: number;
  replica: boolean;
  encoding: string;
  fsync: string;
  commit: string;
  pages: string;
}

/**
 * Connects once and looks. Rejects with `database_url_invalid`, `database_refused`, `database_unavailable` or
 * `database_unsupported`, each with what to do.
 */
export async function checkDatabase(url: string): Promise<DatabaseFacts> {
  const address = parseDatabaseUrl(url);
  const connection = await openConnection(address, { name: "airavata check" });
  try {
    const [row] = await connection.rows<FactsRow>(
      `select current_setting('server_version_num')::int as version, pg_is_in_recovery() as replica,
         current_setting('server_encoding') as encoding, current_setting('fsync') as fsync,
         current_setting('synchronous_commit') as commit, current_setting('full_page_writes') as pages`,
      [],
      CHECK_TIMEOUT_MS,
    );
    return factsOf(row as FactsRow, address.display);
  } finally {
    await connection.end();
  }
}

function factsOf(row: FactsRow, display: string): DatabaseFacts {
  const unsupported = (message: string): AiravataError => new AiravataError("database_unsupported", message);
  if (row.version < VERSION_NUMBER_MIN) {
    const version = `${Math.floor(row.version / 10_000)}.${row.version % 10_000}`;
    throw unsupported(`PostgreSQL at ${display} is version ${version}, but 15 or newer is needed: upgrade it`);
  }
  if (row.replica) {
    throw unsupported(`PostgreSQL at ${display} is a read-only standby: set DATABASE_URL to its primary`);
  }
  if (row.encoding !== "UTF8") {
    throw unsupported(
      `The database ${display} is encoded in ${row.encoding}, but UTF8 is needed: create it with -E UTF8`,
    );
  }
  const warnings: string[] = [];
  if (row.fsync === "off") warnings.push("fsync is off: a power cut can lose acknowledged results");
  if (row.pages === "off") warnings.push("full_page_writes is off: a power cut can damage the database");
  if (row.commit === "off")
    warnings.push("synchronous_commit is off by default; the journal's connection turns it on for itself");
  return { display, versionNumber: row.version, warnings };
}
