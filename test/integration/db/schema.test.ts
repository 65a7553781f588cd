/** db/schema.sql is what the migrations make, and a database that was loaded from it starts. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { createStore } from "../../../coordinator/store/store.ts";
import { dumpSchema } from "../../../db/dump.ts";
import { migrate } from "../../../db/migrate.ts";
import { Cutter, submit } from "../../support/journal.ts";
import { freshDatabase, type TestDatabase } from "../../support/postgres.ts";
import { needs } from "../../support/services.ts";

const FILE = new URL("../../../db/schema.sql", import.meta.url);

test("the file is what the migrations make (else: bin/node scripts/dump-schema.ts)", async (t) => {
  const database = await freshDatabase(t);
  assert.equal(await dumpSchema(await database.connect()), readFileSync(FILE, "utf8"));
});

test("partitions that a dispatcher has made are not part of it", async (t) => {
  const database = await freshDatabase(t);
  const sql = await database.connect();
  await sql.query("select create_partition(0, 10000)", 5_000);
  assert.equal(await dumpSchema(sql), readFileSync(FILE, "utf8"));
});

/** As the guide says it; without psql the driver reads the same text. */
async function loadFile(database: TestDatabase): Promise<void> {
  if (existsSync("/usr/bin/psql")) {
    execFileSync("psql", ["-q", "-v", "ON_ERROR_STOP=1", "-f", fileURLToPath(FILE), database.url], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    return;
  }
  const sql = await database.connect();
  await sql.query(readFileSync(FILE, "utf8"), 30_000);
}

for (const version of ["embedded", "15"] as const) {
  test(`loaded into an empty database it needs no migration and works (${version})`, {
    skip: version === "15" && needs("postgres15"),
  }, async (t) => {
    const loaded = await freshDatabase(t, { version, migrated: false });
    await loadFile(loaded);
    assert.deepEqual((await migrate(loaded.url)).applied, []);
    const migrated = await freshDatabase(t, { version });
    assert.equal(await dumpSchema(await loaded.connect()), await dumpSchema(await migrated.connect()));
    const store = createStore(loaded.url);
    loaded.defer(() => store.close());
    const reign = await store.leadership(0, "here").campaign(t.signal);
    loaded.defer(() => reign.resign());
    await reign.append(new Cutter(reign).batch({ submits: [submit(1)] }));
    assert.equal((await reign.load()).experimentMax, 1);
  });
}
