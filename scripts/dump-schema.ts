/** Writes db/schema.sql anew from db/migrations, by way of an embedded PostgreSQL that lives for this moment. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseDatabaseUrl } from "../db/address.ts";
import { openConnection } from "../db/connection.ts";
import { dumpSchema } from "../db/dump.ts";
import { startEmbedded } from "../db/embedded.ts";
import { migrate } from "../db/migrate.ts";

const directory = mkdtempSync(join(tmpdir(), "airavata-schema-"));
const database = await startEmbedded(directory, { settings: { fsync: "off" } });
try {
  await migrate(database.url);
  const connection = await openConnection(parseDatabaseUrl(database.url), { name: "airavata dump" });
  writeFileSync(new URL("../db/schema.sql", import.meta.url), await dumpSchema(connection));
  await connection.end();
} finally {
  await database.stop();
  rmSync(directory, { recursive: true, force: true });
}
console.log("db/schema.sql is up to date.");
