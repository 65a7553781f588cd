import assert from "node:assert/strict";
import { test } from "node:test";
import { knownMigrations, type MigrateResult, type Migration, migrate } from "../../../db/migrate.ts";
import { freshDatabase } from "../../support/postgres.ts";
import { needs } from "../../support/services.ts";

const migration = (version: number, sql: string, breaking = false): Migration => ({
  version,
  name: `m${version}`,
  breaking,
  sql,
});
const ONE = migration(1, "create table one (n integer)");
const withoutWarnings = ({ version, applied }: MigrateResult): Partial<MigrateResult> => ({ version, applied });
const TWO = migration(2, "create table two (n integer)");

test("files are numbered without a gap and begin with what they are for", () => {
  const known = knownMigrations();
  assert.deepEqual(
    known.map(({ version }) => version),
    known.map((_, i) => i + 1),
  );
  for (const { name, sql } of known) assert.match(sql, /^-- \w/, name);
});

for (const version of ["embedded", "15"] as const) {
  test(`an empty database gets everything once (${version})`, {
    skip: version === "15" && needs("postgres15"),
  }, async (t) => {
    const { url } = await freshDatabase(t, { version, migrated: false });
    const names = knownMigrations().map(({ name }) => name);
    assert.deepEqual(withoutWarnings(await migrate(url)), { version: names.length, applied: names });
    assert.deepEqual(withoutWarnings(await migrate(url)), { version: names.length, applied: [] });
  });
}

test("several programs that start at once apply each migration once", async (t) => {
  const { url } = await freshDatabase(t, { migrated: false });
  const results = await Promise.all([1, 2, 3, 4].map(() => migrate(url)));
  const applied = results.flatMap((result) => result.applied);
  assert.deepEqual(
    applied.sort(),
    knownMigrations()
      .map(({ name }) => name)
      .sort(),
  );
});

test("a migration that fails leaves nothing of itself, and those before it stay", async (t) => {
  const database = await freshDatabase(t, { migrated: false });
  const broken = migration(2, "create table two (n integer); select 1/0");
  await assert.rejects(migrate(database.url, { migrations: [ONE, broken] }), { code: "database_refused" });
  const sql = await database.connect();
  assert.deepEqual(
    await sql.rows("select to_regclass('one')::text as one, to_regclass('two')::text as two", [], 5_000),
    [{ one: "one", two: null }],
  );
  assert.deepEqual((await migrate(database.url, { migrations: [ONE, TWO] })).applied, ["m2"]);
});

test("an old program works on a newer schema, unless a change of it is breaking", async (t) => {
  const { url } = await freshDatabase(t, { migrated: false });
  await migrate(url, { migrations: [ONE, TWO], program: "2.0.0" });
  assert.deepEqual(withoutWarnings(await migrate(url, { migrations: [ONE] })), { version: 2, applied: [] });
  await migrate(url, { migrations: [ONE, TWO, migration(3, "alter table one drop column n", true)], program: "3.0.0" });
  await assert.rejects(migrate(url, { migrations: [ONE, TWO] }), (error: Error & { code: string }) => {
    assert.equal(error.code, "schema_too_new");
    assert.match(
      error.message,
      /changed by version 3\.0\.0 .*migration 3 "m3".* knows migrations up to 2: upgrade it to 3\.0\.0/,
    );
    return true;
  });
});
