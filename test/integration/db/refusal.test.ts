/** Every way in which a database cannot be used has a code and a sentence with what to do, and none holds the password. */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";
import { judge } from "../../../db/check.ts";
import { migrate } from "../../../db/migrate.ts";
import { AiravataError, errorLine } from "../../../shared/error/error.ts";
import { startProxy } from "../../support/postgres/proxy.ts";
import { freshDatabase } from "../../support/postgres.ts";

async function refusal(work: Promise<unknown>): Promise<{ code: string; message: string }> {
  const error = await work.then(
    () => assert.fail("it was not refused"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof AiravataError);
  assert.doesNotMatch(errorLine(error), /sesame/);
  assert.doesNotMatch(JSON.stringify(error.data), /sesame/);
  return { code: error.code, message: error.message };
}

test("settings that weaken a promise are named", async (t) => {
  const { url } = await freshDatabase(t);
  assert.deepEqual((await migrate(url)).warnings, [
    "fsync is off: a power cut can lose acknowledged results",
    "full_page_writes is off: a power cut can damage the database",
  ]);
  const durable = await freshDatabase(t, { durable: true });
  assert.deepEqual((await migrate(durable.url)).warnings, []);
});

test("a server that is too old, a standby and another encoding are refused", () => {
  const good = { version: 150_004, replica: false, encoding: "UTF8", fsync: "on", commit: "on", pages: "on" };
  assert.deepEqual(judge(good, "db"), []);
  for (const [fields, sentence] of [
    [{ version: 140_012 }, /is version 14\.12, but 15 or newer is needed: upgrade it$/],
    [{ replica: true }, /is a read-only standby: set DATABASE_URL to its primary$/],
    [{ encoding: "LATIN1" }, /encoded in LATIN1, but UTF8 is needed: create it with -E UTF8$/],
  ] as const) {
    const refused = { code: "database_unsupported", message: sentence };
    assert.throws(() => judge({ ...good, ...fields }, "db"), refused);
  }
});

test("wrong password, missing role, missing database", async (t) => {
  const { url } = await freshDatabase(t);
  const change = (fields: Partial<URL>): string => Object.assign(new URL(url), fields).toString();
  const wrong = await refusal(migrate(change({ password: "sesame" })));
  assert.equal(wrong.code, "database_refused");
  assert.match(wrong.message, /refuses the password of user "airavata": correct the one in DATABASE_URL/);
  const missing = await refusal(migrate(change({ pathname: "/nowhere" })));
  assert.equal(missing.code, "database_refused");
  assert.match(missing.message, /has no database "nowhere": run createdb -O airavata nowhere there/);
});

test("nothing listens, the host is unknown, nothing answers", async (t) => {
  const closed = createServer();
  await new Promise<void>((resolve) => closed.listen(0, "127.0.0.1", resolve));
  const { port } = closed.address() as { port: number };
  await new Promise((resolve) => closed.close(resolve));
  const refused = await refusal(migrate(`postgres://u:sesame@127.0.0.1:${port}/d`));
  assert.equal(refused.code, "database_unavailable");
  assert.equal(
    refused.message,
    `Nothing listens for PostgreSQL at u@127.0.0.1:${port}/d: start it, or correct host and port in DATABASE_URL`,
  );
  const unknown = await refusal(migrate("postgres://u:sesame@no-such-host.invalid/d"));
  assert.equal(unknown.code, "database_unavailable");
  assert.match(unknown.message, /^The host "no-such-host\.invalid" of DATABASE_URL is not known here/);
  const socket = await refusal(migrate("postgres://u:sesame@/d?host=/nonexistent"));
  assert.match(socket.message, /^There is no PostgreSQL socket for u@\/nonexistent:5432\/d/);
  const { url, defer } = await freshDatabase(t);
  const proxy = await startProxy(url);
  defer(() => proxy.close());
  void proxy.swallow();
  const silent = await refusal(migrate(proxy.url));
  assert.equal(silent.code, "database_unavailable");
  assert.match(silent.message, /does not answer: check the network/);
});

test("a role that may not create tables is told what the owner must do", async (t) => {
  const database = await freshDatabase(t, { migrated: false });
  const sql = await database.connect();
  const role = `guest_${process.pid}`;
  await sql.query(`create role ${role} login password 'sesame'`, 5_000);
  database.defer(() => sql.query(`drop role ${role}`, 5_000));
  const url = Object.assign(new URL(database.url), { username: role, password: "sesame" }).toString();
  const { code, message } = await refusal(migrate(url));
  assert.equal(code, "database_refused");
  const name = new URL(database.url).pathname.slice(1);
  assert.match(
    message,
    new RegExp(`^User "${role}" may not create tables in .*: run ALTER DATABASE ${name} OWNER TO ${role} there$`),
  );
});
