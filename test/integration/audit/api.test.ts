/** The audit through the API and the command line: what is recorded, who sees it, and that an outsider can check it. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { parseDatabaseUrl } from "../../../db/address.ts";
import { openConnection } from "../../../db/connection.ts";
import { parseAnchor } from "../../../shared/model/anchor.ts";
import { until } from "../../support/agent-peer.ts";
import { airavata } from "../../support/cli.ts";
import { startTestCoordinator, type TestCoordinator } from "../../support/coordinator.ts";

const TIMEOUT_MS = 60_000;

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "airavata-audit-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** As somebody who owns the database. */
async function tamper(at: TestCoordinator, text: string): Promise<void> {
  const sql = await openConnection(parseDatabaseUrl(at.databaseUrl), { name: "tamper" });
  await sql.query(`set session_replication_role = replica; ${text}`, TIMEOUT_MS);
  await sql.end();
}

async function sealed(at: TestCoordinator): Promise<number> {
  let seal = 0;
  await until(
    async () => {
      const { head, waiting } = await at.client.call("auditHead", {});
      seal = head?.seal ?? 0;
      return seal > 0 && waiting === 0;
    },
    "everything to be sealed",
    TIMEOUT_MS,
  );
  return seal;
}

test("changes are listed, filtered, shown, exported; an outsider's program finds the chain whole or not", async (t) => {
  const at = await startTestCoordinator(t, { auditSealMs: 100 });
  const env = { AIRAVATA_SERVER: at.url, AIRAVATA_TOKEN: at.token };
  const beforeAll = new Date(Date.now() - 60_000).toISOString();
  await at.client.call("createProject", { body: { name: "physics", weight: 2 } });
  await at.client.call("changeProject", { params: { project: "physics" }, body: { weight: 3 } });
  const { id } = await at.client.call("submitExperiment", {
    body: { spec: { tasks: { a: { command: "true" } } }, project: "physics", name: "täst" },
  });
  await at.client.call("cancelExperiment", { params: { experiment: id }, body: { reason: "no" } });
  const list = async (query: object) =>
    (await at.client.call("listAudit", { query })).items.map(({ action }) => action);
  assert.deepEqual(await list({}), [
    "experiment.cancel",
    "experiment.submit",
    "project.change",
    "project.create",
    "user.create",
  ]);
  assert.deepEqual(await list({ action: "project" }), ["project.change", "project.create"]);
  assert.deepEqual(await list({ action: "project.change" }), ["project.change"]);
  assert.deepEqual(await list({ action: "projec" }), []);
  assert.deepEqual(await list({ resource_type: "experiment", resource_id: String(id), limit: 1 }), [
    "experiment.cancel",
  ]);
  assert.equal((await list({ project: "physics" })).length, 4);
  assert.equal((await list({ actor: "operator" })).length, 4);
  assert.equal((await list({ actor: "1" })).length, 4);
  assert.equal((await list({ actor: "nobody-here" })).length, 0);
  assert.equal((await list({ outcome: "refused" })).length, 0);
  assert.equal((await list({ since: beforeAll })).length, 5);
  assert.equal((await list({ until: beforeAll })).length, 0);
  const [change] = (await at.client.call("listAudit", { query: { action: "project.change" } })).items;
  assert.deepEqual(
    [change?.actor_name, change?.via, change?.address, change?.project_name, change?.outcome],
    ["operator", "operator_token", "127.0.0.1", "physics", "done"],
  );
  assert.deepEqual(
    [change?.before, change?.after].map((state) => (state as { weight: number }).weight),
    [2, 3],
  );
  assert.equal((await list({ request: change?.request })).length, 1);
  await sealed(at);
  const shown = await airavata(["audit", "show", String(change?.entry)], { env });
  assert.match(shown.stdout, /^action +project\.change$/m);
  assert.match(shown.stdout, /^sealed in +seal \d+$/m);
  const table = await airavata(["audit", "list", "--resource", `experiment:${id}`, "--since", "1h"], { env });
  assert.match(table.stdout, new RegExp(`operator +experiment.cancel +experiment:${id} +done +physics`));
  assert.equal((await airavata(["audit", "list", "--refused", "--done"], { env })).code, 3);
  assert.equal((await airavata(["audit", "show", "99"], { env })).code, 5);
  const lines = (await airavata(["audit", "export", "--action", "experiment"], { env })).stdout.trimEnd().split("\n");
  assert.deepEqual(
    lines.map((line) => JSON.parse(line).after.name ?? JSON.parse(line).after.reason),
    ["täst", "no"],
  );

  const [, program] =
    /```js\n(.*?)```/s.exec(readFileSync(new URL("../../../docs/audit.md", import.meta.url), "utf8")) ?? [];
  const folder = directory(t);
  const [verify, file] = [join(folder, "verify.mjs"), join(folder, "audit.jsonl")];
  writeFileSync(verify, program ?? "");
  const { stdout } = await airavata(["audit", "export", "--sealed"], { env });
  writeFileSync(file, stdout);
  const { head } = await at.client.call("auditHead", {});
  assert.equal(
    execFileSync(process.execPath, [verify, file], { encoding: "utf8" }),
    `${head?.seal} seals hold; the head is ${head?.hash}\n`,
  );
  writeFileSync(file, stdout.replace("täst", "test"));
  assert.throws(() => execFileSync(process.execPath, [verify, file], { stdio: "pipe" }), /seal \d+ does not hold/);
});

test("admin check ends well, names what was altered, and finds by its anchors what was cut off", async (t) => {
  const folder = directory(t);
  const anchors = join(folder, "anchors");
  const at = await startTestCoordinator(t, { auditSealMs: 100, auditAnchor: anchors });
  const env = { AIRAVATA_SERVER: at.url, AIRAVATA_TOKEN: at.token };
  const check = async (...words: string[]) => airavata(["admin", "check", ...words], { env });
  for (const name of ["one", "two"]) {
    await at.client.call("createProject", { body: { name } });
    const seal = await sealed(at);
    await until(
      async () =>
        parseAnchor(readFileSync(anchors, { encoding: "utf8", flag: "a+" }).trimEnd().split("\n").at(-1) ?? "")
          ?.seal === seal,
      "the anchor",
    );
  }
  const kept = join(folder, "kept");
  writeFileSync(kept, readFileSync(anchors));
  // A crash left half a line.
  appendFileSync(kept, "2026-11-24T12:00:00.000001Z 3 0abc");
  const well = await check("--anchors", kept);
  assert.match(well.stdout, /^audit +ok +\d entries in \d seals are as they were sealed, \d anchors? fit/m);
  assert.equal(well.code, 0);
  assert.equal((await check("--anchors", join(folder, "none"))).code, 3);

  await tamper(at, "create table kept as table audit; update audit set actor = 7 where entry = 1");
  const altered = await check("--json");
  assert.equal(altered.code, 1);
  const { ok, checks } = JSON.parse(altered.stdout);
  assert.equal(ok, false);
  assert.match(checks.at(-1).detail, /^entry 1 was altered/);
  await tamper(at, "delete from audit; insert into audit overriding system value table kept");
  assert.equal((await check()).code, 0);

  // The end of both, so that what is left holds by itself.
  await tamper(
    at,
    "delete from audit where entry = (select max(entry) from audit); delete from audit_seal where seal = (select max(seal) from audit_seal)",
  );
  assert.equal((await check()).code, 0);
  const cut = await check("--anchors", kept);
  assert.match(cut.stdout, /audit +failed +seal \d, anchored at .*, is not in the chain: it was cut off or replaced/);
  assert.equal(cut.code, 1);
  // Another one in its place.
  await at.client.call("createProject", { body: { name: "three" } });
  await sealed(at);
  assert.match((await check("--anchors", kept)).stdout, /has another hash now: the chain was rewritten/);
});

test("a coordinator anchors nothing that does not continue its file, and goes on once that was moved away", async (t) => {
  const anchors = join(directory(t), "anchors");
  writeFileSync(anchors, `2026-11-24T12:00:00.000001Z 7 ${"a".repeat(64)}\n`);
  const said: string[] = [];
  const note = (message: string, fields?: { error?: unknown }) =>
    said.push(`${message}: ${(fields?.error as Error)?.message}`);
  const log = { debug: note, info: note, warn: note, error: note, child: () => log } as never;
  const at = await startTestCoordinator(t, { auditSealMs: 100, auditAnchor: anchors, log });
  await at.client.call("createProject", { body: { name: "one" } });
  await sealed(at);
  await until(
    async () => said.some((line) => /seal 7, anchored in .*, is not in the audit any more/.test(line)),
    "the sentence",
  );
  assert.equal(readFileSync(anchors, { encoding: "utf8", flag: "a+" }).split("\n").length, 2);
  rmSync(anchors);
  await until(
    async () => parseAnchor(readFileSync(anchors, { encoding: "utf8", flag: "a+" })) !== undefined,
    "an anchor",
  );
});
