/**
 * A throw-away PostgreSQL server: its data directory is copied from a template that is made once per version of
 * PostgreSQL and of the migrations, and kept for later runs. As root it runs as user `postgres`.
 */
import { type ChildProcess, execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { parseDatabaseUrl } from "../../../db/address.ts";
import { openConnection } from "../../../db/connection.ts";
import { type Binaries, prepareBinaries } from "../../../db/embedded/binaries.ts";
import { SOCKET_PORT, startPostmaster, stopPostmaster } from "../../../db/embedded/postmaster.ts";
import { chooseUser, type RunAs } from "../../../db/embedded/user.ts";
import { knownMigrations, migrate } from "../../../db/migrate.ts";

export interface Cluster {
  readonly data: string;
  url(database: string): string;
  /** kill -9 of the server, and a new one on the same data; resolves when it takes connections again. */
  crash(): Promise<void>;
  /** An operator's restart: every session is ended, what it had committed is kept. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export interface ClusterOptions {
  version: "embedded" | "15";
  durable: boolean;
  /** Further settings of the server, which win. */
  settings?: Record<string, string>;
  /** Where it lives: an empty directory of the test's own, which stays; one of ours when silent. */
  directory?: string;
}

const BASE = join(tmpdir(), `airavata-test-${userInfo().uid}`);
const BINARIES_15 = "/usr/lib/postgresql/15/bin";
const USER = "airavata";

export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  mkdirSync(BASE, { recursive: true, mode: 0o755 });
  sweep();
  const runAs = await chooseUser(join(BASE, "none"));
  const binaries = await binariesFor(options.version, runAs);
  const template = await ensureTemplate(binaries, runAs);
  const name = `run-${process.pid}-${options.version}-${options.durable}-${Date.now()}`;
  const root = options.directory ?? ownDirectory(name, runAs);
  if (options.directory !== undefined && runAs) chownSync(root, runAs.uid, runAs.gid);
  const data = join(root, "data");
  execFileSync("cp", ["-a", template, data]);
  const begin = (): Promise<ChildProcess> => start(binaries, data, root, runAs, options);
  let child = await begin();
  // The server is in a session of its own, so whatever ends this process must end it, too.
  const remove = (): void => {
    if (options.directory === undefined) rmSync(root, { recursive: true, force: true });
  };
  const end = (): void => {
    child.kill("SIGKILL");
    remove();
  };
  process.on("exit", end);
  return {
    data,
    url: (database) => urlOf(root, database),
    crash: async () => {
      await ended(child, "SIGKILL");
      child = await restart(begin);
    },
    restart: async () => {
      await ended(child, "SIGINT");
      child = await restart(begin);
    },
    stop: async () => {
      process.off("exit", end);
      // Nothing in it is needed any more: no need for an orderly shutdown.
      await ended(child, "SIGQUIT");
      remove();
    },
  };
}

function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  // It was let go of so that it outlives us; here we do wait.
  child.ref();
  return new Promise((resolve) => {
    child.once("exit", () => resolve());
    if (!child.kill(signal)) resolve();
  });
}

/** The killed server's sessions need a moment to notice; until then a new one is refused. */
async function restart(begin: () => Promise<ChildProcess>): Promise<ChildProcess> {
  for (let tries = 1; ; tries++) {
    try {
      return await begin();
    } catch (error) {
      if (tries === 50) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

function start(
  binaries: Binaries,
  data: string,
  root: string,
  runAs: RunAs,
  { durable, settings }: Pick<ClusterOptions, "durable" | "settings">,
): Promise<ChildProcess> {
  const quick: Record<string, string> = durable ? {} : { fsync: "off", full_page_writes: "off" };
  return startPostmaster({
    binaries,
    data,
    runAs,
    listening: { directory: root },
    logFile: join(root, "postgres.log"),
    settings: { shared_buffers: "64MB", max_connections: "60", autovacuum: "off", ...quick, ...settings },
  });
}

function urlOf(root: string, database: string): string {
  return `postgresql://${USER}:test@127.0.0.1:${SOCKET_PORT}/${database}?host=${encodeURIComponent(root)}`;
}

async function binariesFor(version: ClusterOptions["version"], runAs: RunAs): Promise<Binaries> {
  if (version === "15") return { bin: BINARIES_15, version: "15", major: 15 };
  return prepareBinaries(BASE, runAs !== null);
}

/** A stopped data directory with database `migrated`; its name says what it was made from. */
async function ensureTemplate(binaries: Binaries, runAs: RunAs): Promise<string> {
  const made = createHash("sha256").update(binaries.version);
  for (const { sql } of knownMigrations()) made.update(sql);
  const path = join(BASE, `template-${made.digest("hex").slice(0, 16)}`);
  if (existsSync(path)) return path;
  const root = ownDirectory(`new-${process.pid}-${binaries.version}`, runAs);
  const data = join(root, "data");
  const passwordFile = join(root, "password");
  writeFileSync(passwordFile, "test", { mode: 0o644 });
  const words = ["-D", data, "-U", USER, "--auth=scram-sha-256", `--pwfile=${passwordFile}`];
  words.push("--locale=C", "--encoding=UTF8", "--no-sync", "--wal-segsize=4");
  execFileSync(join(binaries.bin, "initdb"), words, {
    ...(runAs ?? {}),
    cwd: root,
    env: { PATH: process.env.PATH, LC_ALL: "C" },
  });
  await start(binaries, data, root, runAs, { durable: false });
  const admin = await openConnection(parseDatabaseUrl(urlOf(root, "postgres")), { name: "test template" });
  await admin.query("create database migrated", 30_000);
  await migrate(urlOf(root, "migrated"));
  await admin.end();
  await stopPostmaster(data);
  try {
    renameSync(data, path);
  } catch {
    // Another test file was faster.
  }
  rmSync(root, { recursive: true, force: true });
  return path;
}

/** A directory below BASE that names its process, so that a later run knows whether it is still in use. */
function ownDirectory(name: string, runAs: RunAs): string {
  const path = join(BASE, name);
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { mode: 0o711 });
  if (runAs) chownSync(path, runAs.uid, runAs.gid);
  return path;
}

/** Templates of migrations that have changed since are of no use; the present one is made anew once a week. */
const TEMPLATE_KEPT_MS = 7 * 24 * 3_600_000;

/** Ends and removes what runs of processes that are gone have left, and old templates. */
function sweep(): void {
  for (const name of readdirSync(BASE)) {
    if (name.startsWith("template-") && statSync(join(BASE, name)).ctimeMs < Date.now() - TEMPLATE_KEPT_MS) {
      rmSync(join(BASE, name), { recursive: true, force: true });
    }
    const owner = /^(?:run|new|binaries-new)-(\d+)/.exec(name)?.[1];
    if (owner === undefined || existsSync(`/proc/${owner}`)) continue;
    const path = join(BASE, name);
    try {
      const pid = Number(readFileSync(join(path, "data", "postmaster.pid"), "utf8").split("\n")[0]);
      const cwd = execFileSync("readlink", [`/proc/${pid}/cwd`], { encoding: "utf8" }).trim();
      if (cwd === join(path, "data")) process.kill(pid, "SIGQUIT");
    } catch {
      // It is not running.
    }
    rmSync(path, { recursive: true, force: true });
  }
}
