/**
 * Brings SpiceDB's schema up to date, once: SpiceDB gives a schema back in a form of its own, so what was written carries
 * a line that says which one it was. A schema of a newer program is left alone: on one SpiceDB two versions of the
 * coordinator may run, and the older one's next start must not take away what the newer one asks for.
 */
import { createHash } from "node:crypto";
import type { v1 } from "@authzed/authzed-node";
import { AiravataError } from "../../shared/error/error.ts";
import type { Logger } from "../../shared/log/log.ts";
import { ask, callFailure, INVALID_ARGUMENT, isWrongKey, NOT_FOUND } from "./calls.ts";
import type { Link } from "./link.ts";

/** Types are compared with the relationships that stand: a large store takes a while to look through. */
const SCHEMA_MS = 10_000;

/**
 * False: there was none before. Throws `authorization_misconfigured` when the key is wrong or the schema is refused, with SpiceDB's own words about it,
 * and `authorization_unavailable` when there is no answer.
 */
export async function prepareSchema(link: Link, schema: string, log: Logger): Promise<boolean> {
  try {
    const mine = stampOf(schema);
    const text = await readSchema(link);
    const present = stampIn(text);
    if (present?.line === mine.line) return true;
    if (present && present.version > mine.version) {
      log.info("a newer program wrote the authorization schema; it stays", {
        theirs: present.version,
        ours: mine.version,
      });
      return true;
    }
    await ask<v1.WriteSchemaResponse>(link, SCHEMA_MS, (client, options, done) =>
      client.writeSchema({ schema: withStamp(schema, mine) }, options, done),
    );
    log.info("wrote the authorization schema", { version: mine.version, where: link.where });
    return text !== "";
  } catch (error) {
    throw misconfigured(link, error);
  }
}

/** Whether `prepareSchema` would write. Without a schema of ours: whether there is none. */
export async function lacksSchema(link: Link, schema: string | undefined): Promise<boolean> {
  const text = await readSchema(link);
  if (schema === undefined) return text === "";
  const present = stampIn(text);
  const mine = stampOf(schema);
  return present?.line !== mine.line && (present?.version ?? 0) <= mine.version;
}

/** The text that the engine holds, in its own form; empty when there is none. */
async function readSchema(link: Link): Promise<string> {
  try {
    const answer = await ask<v1.ReadSchemaResponse>(link, SCHEMA_MS, (client, options, done) =>
      client.readSchema({}, options, done),
    );
    return answer.schemaText;
  } catch (error) {
    if (callFailure(error)?.code === NOT_FOUND) return "";
    throw error;
  }
}

interface Stamp {
  version: number;
  line: string;
}

/** The schema's own version is the number in its line `// version N`; 0 where it has none. */
function stampOf(schema: string): Stamp {
  const version = Number(/^\/\/ version (\d+)/m.exec(schema)?.[1] ?? 0);
  const hash = createHash("sha256").update(schema).digest("hex").slice(0, 32);
  return { version, line: `// airavata schema ${version} ${hash}` };
}

function stampIn(text: string): Stamp | undefined {
  const found = /^\s*(\/\/ airavata schema (\d+) [\da-f]{32})$/m.exec(text);
  return found ? { version: Number(found[2]), line: found[1] as string } : undefined;
}

/** Before a definition: comments that stand elsewhere are not kept. */
function withStamp(schema: string, { line }: Stamp): string {
  return schema.replace(/^definition\s/m, (start) => `${line}\n${start}`);
}

function misconfigured(link: Link, error: unknown): unknown {
  const failure = callFailure(error);
  if (failure && isWrongKey(failure)) {
    return new AiravataError(
      "authorization_misconfigured",
      `${link.where} refuses our key: set SPICEDB_TOKEN to the preshared key that it was started with (--grpc-preshared-key)`,
      { cause: failure },
    );
  }
  if (failure?.code === INVALID_ARGUMENT) {
    return new AiravataError(
      "authorization_misconfigured",
      `${link.where} refuses the schema: ${failure.details}; relationships that the new schema does not allow have to go first`,
      { cause: failure },
    );
  }
  return error;
}
