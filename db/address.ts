/**
 * Reads a `DATABASE_URL`. It promises a sentence for every text that cannot work, and a form of the address that may be
 * printed: the password is in no message, no log and no error's data.
 */
import { AiravataError } from "../shared/error/error.ts";

export interface DatabaseAddress {
  /** As given; holds the password. */
  url: string;
  /** `user@host:port/database`, for people. */
  display: string;
  user: string;
  host: string;
  database: string;
}

const EXAMPLE = "postgres://user:password@host:5432/airavata_scheduler";
const PORT_DEFAULT = "5432";

/** Throws `database_url_invalid` for anything but `postgres://` and `postgresql://` with a database name. */
export function parseDatabaseUrl(url: string): DatabaseAddress {
  const text = url.trim();
  if (/^mysql2?:\/\//i.test(text) || /^mariadb:\/\//i.test(text) || /@tcp\(/i.test(text)) {
    throw invalid(
      "DATABASE_URL names a MySQL server, but this scheduler keeps its journal in PostgreSQL 15 or newer (it needs its " +
        `arrays, advisory locks and transactional functions): set it to ${EXAMPLE}`,
    );
  }
  if (!/^postgres(ql)?:\/\//i.test(text)) {
    throw invalid(`DATABASE_URL must begin with postgres:// or postgresql://, for example ${EXAMPLE}`);
  }
  const parsed = parse(text);
  const user = decoded(parsed.username) || parsed.searchParams.get("user") || "";
  const host = parsed.searchParams.get("host") ?? decoded(parsed.hostname);
  const port = parsed.searchParams.get("port") ?? (parsed.port || PORT_DEFAULT);
  const database = decoded(parsed.pathname.slice(1));
  if (database === "")
    throw invalid(`DATABASE_URL names no database: add its name after the host, for example ${EXAMPLE}`);
  return {
    url: text,
    display: `${user || "(no user)"}@${host || "localhost"}:${port}/${database}`,
    user,
    host,
    database,
  };
}

/** The URL parser refuses an empty host beside a user, which is how a Unix socket is written (`?host=/directory`). */
function parse(text: string): URL {
  for (const candidate of [
    text,
    text.replace("@/", "@socket.invalid/").replace(/^(\w+:\/\/)\//, "$1socket.invalid/"),
  ]) {
    try {
      const parsed = new URL(candidate);
      if (parsed.hostname === "socket.invalid")
        parsed.searchParams.set("host", parsed.searchParams.get("host") ?? "localhost");
      return parsed;
    } catch {
      // The next spelling, or the sentence below: the parser's own message repeats the text with the password in it.
    }
  }
  throw invalid(
    "DATABASE_URL is not a valid address; characters such as @ : / # % in the password must be percent-encoded, for " +
      `example ${EXAMPLE}`,
  );
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function invalid(message: string): AiravataError {
  return new AiravataError("database_url_invalid", message);
}
