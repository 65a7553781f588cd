/**
 * Looks at a database before anything is built on it: that it is a PostgreSQL this system works on, and what about its
 * settings would weaken a promise.
 */
import { AiravataError } from "../shared/error/error.ts";
import type { Connection } from "./connection.ts";

/** The oldest that the tests run on. */
const VERSION_NUMBER_MIN = 150_000;
const CHECK_TIMEOUT_MS = 5_000;

interface Facts {
  version: number;
  replica: boolean;
  encoding: string;
  fsync: string;
  commit: string;
  pages: string;
}

/**
 * Sentences about settings that weaken what is promised, for the log; `display` names the database in them. Rejects with
 * `database_unsupported`, with what to do.
 */
export async function checkDatabase(connection: Connection, display: string): Promise<string[]> {
  const [facts] = await connection.rows<Facts>(
    `select current_setting('server_version_num')::int as version, pg_is_in_recovery() as replica,
       current_setting('server_encoding') as encoding, current_setting('fsync') as fsync,
       current_setting('synchronous_commit') as commit, current_setting('full_page_writes') as pages`,
    [],
    CHECK_TIMEOUT_MS,
  );
  return judge(facts as Facts, display);
}

/** Exported for tests: not every server that must be refused can be had. */
export function judge({ version, replica, encoding, fsync, commit, pages }: Facts, display: string): string[] {
  const unsupported = (message: string): AiravataError => new AiravataError("database_unsupported", message);
  if (version < VERSION_NUMBER_MIN) {
    const text = `${Math.floor(version / 10_000)}.${version % 10_000}`;
    throw unsupported(`PostgreSQL at ${display} is version ${text}, but 15 or newer is needed: upgrade it`);
  }
  if (replica) {
    throw unsupported(`PostgreSQL at ${display} is a read-only standby: set DATABASE_URL to its primary`);
  }
  if (encoding !== "UTF8") {
    throw unsupported(`The database ${display} is encoded in ${encoding}, but UTF8 is needed: create it with -E UTF8`);
  }
  const warnings: string[] = [];
  if (fsync === "off") warnings.push("fsync is off: a power cut can lose acknowledged results");
  if (pages === "off") warnings.push("full_page_writes is off: a power cut can damage the database");
  if (commit === "off") warnings.push("synchronous_commit is off by default; the journal turns it on for itself");
  return warnings;
}
