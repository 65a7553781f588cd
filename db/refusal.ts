/**
 * Turns what PostgreSQL, the network or the file system says when a database cannot be used into a sentence with what to
 * do about it. Waiting helps where the code is `database_unavailable`, and nowhere else.
 */
import { AiravataError } from "../shared/error/error.ts";
import type { DatabaseAddress } from "./address.ts";

interface Thrown {
  code?: unknown;
  message?: unknown;
  cause?: unknown;
  errors?: unknown[];
}

/** The driver gives its own time limit no code. */
const TIMED_OUT = /timeout expired|due to connection timeout/;

/** The first code found in an error, its causes or the attempts it collects (a name may resolve to several addresses). */
function codeOf(error: unknown): string {
  const { code, message, cause, errors } = (error ?? {}) as Thrown;
  if (typeof code === "string") return code;
  if (typeof message === "string" && TIMED_OUT.test(message)) return "ETIMEDOUT";
  for (const inner of [...(errors ?? []), ...(cause ? [cause] : [])]) {
    const found = codeOf(inner);
    if (found !== "") return found;
  }
  return "";
}

/** Errors of the server that a later try may not meet: it is starting, stopping, full or was asked to end the session. */
const PASSING = new Set(["57P01", "57P02", "57P03", "53200", "55006", "08000", "08003", "08006"]);

/** The error as one of ours; errors that are ours already pass through. */
export function databaseRefusal(error: unknown, address: DatabaseAddress): AiravataError {
  if (error instanceof AiravataError) return error;
  const code = codeOf(error);
  const { display, user, host, database } = address;
  const refuse = (message: string): AiravataError => new AiravataError("database_refused", message, { cause: error });
  const wait = (message: string): AiravataError => new AiravataError("database_unavailable", message, { cause: error });
  switch (code) {
    case "28P01":
      return refuse(`PostgreSQL at ${display} refuses the password of user "${user}": correct the one in DATABASE_URL`);
    case "28000":
      return refuse(
        `PostgreSQL at ${display} does not let user "${user}" in: create the role, or allow it in pg_hba.conf (with ` +
          "TLS if it asks for it: add ?sslmode=require)",
      );
    case "3D000":
      return refuse(
        `PostgreSQL at ${display} has no database "${database}": run createdb -O ${user} ${database} there`,
      );
    case "42501":
      return refuse(
        `User "${user}" may not create tables in ${display}: run ALTER DATABASE ${database} OWNER TO ${user} there`,
      );
    case "53300":
      return wait(
        `PostgreSQL at ${display} has no free connection: others have taken all that max_connections allows; end some of them, or raise it there`,
      );
    case "53100":
      return new AiravataError("disk_full", `The disk of PostgreSQL at ${display} is full: free some space there`, {
        cause: error,
      });
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return wait(
        `The host "${host}" of DATABASE_URL is not known here: check its spelling and this machine's name service`,
      );
    case "ECONNREFUSED":
      return wait(`Nothing listens for PostgreSQL at ${display}: start it, or correct host and port in DATABASE_URL`);
    case "ENOENT":
      return wait(`There is no PostgreSQL socket for ${display}: start the server, or correct DATABASE_URL`);
    case "EACCES":
      return refuse(
        `This user may not open the PostgreSQL socket of ${display}: run as its owner, or use host and port`,
      );
    case "ETIMEDOUT":
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return wait(`PostgreSQL at ${display} does not answer: check the network between here and there`);
    case "ECONNRESET":
    case "EPIPE":
      return wait(`The connection to PostgreSQL at ${display} broke`);
    default:
      if (PASSING.has(code)) return wait(`PostgreSQL at ${display} takes no new work just now`);
      // Any other SQLSTATE is an answer to what was asked, and the same question gets it again.
      if (/^[0-9A-Z]{5}$/.test(code))
        return refuse(`PostgreSQL at ${display} refused a statement of this program (${code})`);
      return wait(`PostgreSQL at ${display} could not be used`);
  }
}
