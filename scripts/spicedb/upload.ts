/**
 * `make spicedb-schema-upload`: writes db/spicedb_schema.zed to the SpiceDB server that SPICEDB_ENDPOINT, SPICEDB_TOKEN,
 * SPICEDB_INSECURE and SPICEDB_CA_FILE name, as the coordinator does at its start; nothing changes when it is there.
 */
import { readFileSync } from "node:fs";
import { createAuthorizationEngine } from "../../coordinator/authz/engine.ts";
import { COORDINATOR_SETTINGS } from "../../coordinator/settings.ts";
import { AiravataError, errorLine } from "../../shared/error/error.ts";
import { createLogger } from "../../shared/log/log.ts";
import { parseFlags } from "../../shared/settings/flags.ts";
import { readSettings } from "../../shared/settings/read.ts";

const { spicedbEndpoint, spicedbToken, spicedbInsecure, spicedbCaFile } = COORDINATOR_SETTINGS;
const TABLE = { spicedbEndpoint, spicedbToken, spicedbInsecure, spicedbCaFile };
const SCHEMA = new URL("../../db/spicedb_schema.zed", import.meta.url);

try {
  const { flags } = parseFlags(TABLE, process.argv.slice(2));
  const readFile = (path: string): string => readFileSync(path, "utf8");
  const { values } = readSettings(TABLE, { flags, env: process.env, readFile });
  if (values.spicedbEndpoint === undefined) {
    throw new AiravataError(
      "authorization_misconfigured",
      "SPICEDB_ENDPOINT is not set: name the server, for example SPICEDB_ENDPOINT=localhost:50051 SPICEDB_TOKEN=… SPICEDB_INSECURE=true make spicedb-schema-upload",
    );
  }
  const log = createLogger({ level: "info", format: "text" });
  const engine = createAuthorizationEngine(values, { log, onForgotten: () => {} });
  try {
    await engine.prepare(readFileSync(SCHEMA, "utf8"));
  } finally {
    await engine.close();
  }
  console.log(`The schema is in the SpiceDB at ${values.spicedbEndpoint}.`);
} catch (error) {
  console.error(errorLine(error));
  process.exitCode = 1;
}
