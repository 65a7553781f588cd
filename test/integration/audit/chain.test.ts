/** The audit's chain on a real PostgreSQL: what is sealed, by however many at once, and that the check finds what was done to it. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { writeAudit } from "../../../coordinator/store/audit.ts";
import type { AuditLog } from "../../../coordinator/store/audit-log.ts";
import { createStore } from "../../../coordinator/store/store.ts";
import type { Connection } from "../../../db/connection.ts";
import { auditEntry, checkAll } from "../../support/audit.ts";
import { freshDatabase, type TestDatabase } from "../../support/postgres.ts";
import { needs } from "../../support/services.ts";

const TIMEOUT_MS = 60_000;

function openAudit(database: TestDatabase): AuditLog {
  const store = createStore(database.url);
  database.defer(() => store.close());
  return store.audit;
}

async function sealAll(audit: AuditLog, entriesMax = 7): Promise<void> {
  while (await audit.sealNext(entriesMax));
}

/** As somebody who owns the database: the triggers are no hindrance to him. */
async function tamper(sql: Connection, text: string): Promise<void> {
  await sql.query(`set session_replication_role = replica; ${text}; set session_replication_role = origin`, TIMEOUT_MS);
}

test("writers that run while several seal are sealed each exactly once, also those whose commit came late", async (t) => {
  const database = await freshDatabase(t);
  const audit = openAudit(database);
  const others = [openAudit(database), openAudit(database)];
  const late = await database.connect();
  await late.query("begin", TIMEOUT_MS);
  await writeAudit(late, [auditEntry(1)]);
  let writing = true;
  const sealers = others.map(async (log) => {
    let seals = 0;
    while (writing) if (await log.sealNext(5)) seals++;
    return seals;
  });
  await Promise.all(
    Array.from({ length: 6 }, async (_, writer) => {
      const sql = await database.connect();
      for (let i = 0; i < 40; i++) {
        await sql.query("begin", TIMEOUT_MS);
        await writeAudit(
          sql,
          Array.from({ length: (i % 3) + 1 }, (_, n) => auditEntry(100 * writer + n)),
        );
        // One in five never was.
        await sql.query(i % 5 === 0 ? "rollback" : "commit", TIMEOUT_MS);
      }
    }),
  );
  writing = false;
  assert.ok(
    (await Promise.all(sealers)).every((seals) => seals > 0),
    "both must have sealed",
  );
  await sealAll(audit);
  await late.query("commit", TIMEOUT_MS);
  assert.equal((await audit.head()).waiting, 1);
  await sealAll(audit);
  const [counts] = await late.rows<{ entries: string; sealed: string; distinct: string }>(
    `select (select count(*) from audit)::text as entries, count(*)::text as sealed, count(distinct e)::text as distinct
     from audit_seal, unnest(entries) e`,
    [],
    TIMEOUT_MS,
  );
  assert.deepEqual(counts, { entries: counts?.entries, sealed: counts?.entries, distinct: counts?.entries });
  assert.deepEqual((await checkAll(audit)).fault, null);
  assert.equal((await checkAll(audit)).entries, Number(counts?.entries));
});

test("whatever is changed by somebody who owns the database is found and named", async (t) => {
  const cases: [what: string, sql: string, sentence: RegExp][] = [
    [
      "an altered entry",
      "update audit set actor = 0 where entry = 12",
      /^entry 12 was altered after it was sealed at .* in seal 2$/,
    ],
    ["an altered detail", `update audit set after = after || '{"n": 7}' where entry = 12`, /^entry 12 was altered/],
    ["a removed entry", "delete from audit where entry = 3", /^entry 3 was removed: it was sealed at .* in seal 1$/],
    ["a removed seal", "delete from audit_seal where seal = 2", /^seal 2 was removed: after seal 1 comes seal 3$/],
    [
      "the first seal removed",
      "delete from audit_seal where seal = 1",
      /^seal 1 was removed: after seal 0 comes seal 2$/,
    ],
    [
      "an entry taken out of its seal",
      "update audit_seal set entries = entries[2:], digests = substr(digests, 33), first_entry = entries[2] where seal = 2",
      /^seal 2 was changed: its hash/,
    ],
    [
      "a digest made to fit",
      "update audit set via = 'x' where entry = 8; update audit_seal set digests = sha256(convert_to(audit_line(a), 'UTF8')) || substr(digests, 33) from audit a where a.entry = 8 and seal = 2",
      /^seal 2 was changed: its hash/,
    ],
    [
      "a seal's time",
      "update audit_seal set at = at - interval '1 day' where seal = 4",
      /^seal 4 was changed: its hash/,
    ],
    [
      "a seal made anew",
      "update audit_seal set previous = hash, hash = sha256(hash) where seal = 2",
      /^seal 2 was changed: it does not follow/,
    ],
    [
      "an old entry put in",
      "insert into audit (entry, at, actor, via, action, outcome) overriding system value values (1000, now() - interval '1 year', 1, 'x', 'x.y', 'done')",
      /^entry 1000 was put beside the audit/,
    ],
    ["seals cut off", "delete from audit_seal where seal >= 3", /^entry 15 was put beside the audit/],
    [
      "an entry removed before it was sealed",
      "insert into audit_unsealed values (77)",
      /^entry 77 was removed before it was sealed$/,
    ],
  ];
  const database = await freshDatabase(t);
  const audit = openAudit(database);
  const sql = await database.connect();
  await audit.append(Array.from({ length: 30 }, (_, i) => auditEntry(i)));
  await sealAll(audit);
  assert.deepEqual(await checkAll(audit), { seals: 5, entries: 30, fault: null });
  for (const [what, change, sentence] of cases) {
    await sql.query("create table kept as table audit; create table kept_seal as table audit_seal", TIMEOUT_MS);
    await tamper(sql, change);
    assert.match((await checkAll(audit)).fault?.sentence ?? "nothing found", sentence, what);
    await tamper(sql, "delete from audit_unsealed; delete from audit; delete from audit_seal");
    await tamper(
      sql,
      "insert into audit overriding system value table kept; insert into audit_seal table kept_seal; drop table kept, kept_seal",
    );
    assert.deepEqual((await checkAll(audit)).fault, null);
  }
});

test("entries and seals cannot be changed by who does not switch the triggers off", async (t) => {
  const database = await freshDatabase(t);
  const audit = openAudit(database);
  const sql = await database.connect();
  await audit.append([auditEntry(1)]);
  await sealAll(audit);
  for (const table of ["audit", "audit_seal"]) {
    for (const text of [`delete from ${table}`, `truncate ${table}`]) {
      await assert.rejects(sql.query(text, TIMEOUT_MS), /the audit is append-only/);
    }
  }
  await assert.rejects(sql.query("update audit set actor = 0", TIMEOUT_MS), /the audit is append-only/);
  await assert.rejects(sql.query("update audit_seal set at = now()", TIMEOUT_MS), /the audit is append-only/);
});

test("a seal whose maker died is not there, and the next one is made", async (t) => {
  const database = await freshDatabase(t);
  const audit = openAudit(database);
  await audit.append(Array.from({ length: 20 }, (_, i) => auditEntry(i)));
  const dying = await database.connect("dying");
  await dying.query("begin", TIMEOUT_MS);
  await dying.query("select * from audit_seal_next(5)", TIMEOUT_MS);
  assert.equal((await audit.head()).head, undefined);
  // It waits for the one that holds the lock, which never ends but dies; writers do not.
  const next = audit.sealNext(7);
  await audit.append([auditEntry(99)]);
  dying.destroy();
  assert.equal((await next)?.seal, 1);
  await sealAll(audit);
  assert.deepEqual(await checkAll(audit), { seals: 3, entries: 21, fault: null });
});

test("in a cluster that counts anew after a restore the chain goes on, also when all rows were made to wait again", async (t) => {
  const from = await freshDatabase(t);
  const before = openAudit(from);
  await before.append(Array.from({ length: 10 }, (_, i) => auditEntry(i)));
  await before.sealNext(6);
  const source = await from.connect();
  const read = (text: string) => source.rows<Record<string, unknown>>(text, [], TIMEOUT_MS);
  const tables = ["audit", "audit_seal", "audit_unsealed"];
  const dump = await Promise.all(tables.map((name) => read(`select row_to_json(t)::text as row from ${name} t`)));
  for (const triggers of ["replica", "origin"]) {
    const to = await freshDatabase(t);
    const sql = await to.connect();
    await sql.query(`set session_replication_role = ${triggers}`, TIMEOUT_MS);
    for (const [i, name] of tables.entries()) {
      const overriding = name === "audit" ? "overriding system value" : "";
      const text = `insert into ${name} ${overriding} select (json_populate_record(null::${name}, $1::json)).* on conflict do nothing`;
      for (const { row } of dump[i] ?? []) await sql.rows(text, [row], TIMEOUT_MS);
    }
    await sql.query("select setval(pg_get_serial_sequence('audit', 'entry'), 10)", TIMEOUT_MS);
    const after = openAudit(to);
    await after.append([auditEntry(11)]);
    await sealAll(after, 3);
    const { entries, fault } = await checkAll(after);
    assert.deepEqual({ entries, fault }, { entries: 11, fault: null }, triggers);
  }
});

test("a dump into another database by PostgreSQL's own programs keeps the chain, and it goes on there", {
  skip: needs("postgres15"),
}, async (t) => {
  const from = await freshDatabase(t, { version: "15" });
  const before = openAudit(from);
  await before.append(Array.from({ length: 10 }, (_, i) => auditEntry(i)));
  await before.sealNext(6);
  const to = await freshDatabase(t, { version: "15", migrated: false });
  const dump = execFileSync("/usr/lib/postgresql/15/bin/pg_dump", ["--no-owner", from.url], { maxBuffer: 2 ** 27 });
  execFileSync("/usr/lib/postgresql/15/bin/psql", ["-q", "-v", "ON_ERROR_STOP=1", to.url], {
    input: dump,
    stdio: ["pipe", "ignore", "inherit"],
  });
  const after = openAudit(to);
  assert.equal((await after.head()).waiting, 4);
  await after.append([auditEntry(11)]);
  await sealAll(after);
  assert.deepEqual(await checkAll(after), { seals: 2, entries: 11, fault: null });
});

test("a slice of as many entries as there may be is looked at in no time", async (t) => {
  const database = await freshDatabase(t);
  const audit = openAudit(database);
  const sql = await database.connect();
  await sql.query(
    "insert into audit (actor, via, action, outcome) select 1, 'test', 'test.done', 'done' from generate_series(1, 20500)",
    TIMEOUT_MS,
  );
  await sealAll(audit, 1_000);
  assert.deepEqual(await checkAll(audit), { seals: 21, entries: 20_500, fault: null });
  await tamper(sql, "delete from audit_seal where seal = 21");
  assert.match((await checkAll(audit)).fault?.sentence ?? "", /^entry 20001 was put beside/);
});
