/**
 * A real SpiceDB server for tests, on loopback and a port of its own choice: `testing` gives every key a store of its own
 * in memory, `memory` has one store, `postgres` keeps it in a PostgreSQL of its own. It can be killed, frozen and started
 * again where it was. Ended by process id, at the latest when this process ends.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { parseDatabaseUrl } from "../../../db/address.ts";
import { openConnection } from "../../../db/connection.ts";
import { until } from "../fault-process.ts";
import { type Cluster, startCluster } from "../postgres/cluster.ts";
import { freeze } from "./freeze.ts";
import { listeningPorts } from "./ports.ts";
import { SPICEDB_PROGRAM } from "./programs.ts";

export interface Spicedb {
  /** HOST:PORT, the same after a restart. */
  readonly endpoint: string;
  readonly key: string;
  kill(): Promise<void>;
  freeze(): void;
  thaw(): void;
  /** After `kill`. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface SpicedbOptions {
  store: "testing" | "memory" | "postgres";
  /** Further words of its command line. */
  words?: string[];
  key?: string;
}

/** What a server listening on loopback in clear needs, and nothing that leaves the machine. */
const SERVE = ["--http-enabled=false", "--metrics-enabled=false", "--dispatch-cluster-enabled=false"];
const QUIET = ["--telemetry-endpoint", "", "--skip-release-check", "--log-level", "warn"];
const DATABASE = "spicedb";

export async function startSpicedb(options: SpicedbOptions): Promise<Spicedb> {
  const key = options.key ?? "a key of this test";
  const cluster = options.store === "postgres" ? await startDatabase() : undefined;
  const words = [...wordsFor(options.store, key, cluster), ...(options.words ?? [])];
  let port = 0;
  let child: ChildProcess;
  const start = async (): Promise<void> => {
    child = spawn(SPICEDB_PROGRAM, [...words, "--grpc-addr", `127.0.0.1:${port}`], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    child.stderr?.on("data", (text) => {
      said = (said + text).slice(-4_096);
    });
    const started = child;
    port = await until("SpiceDB listens", () => {
      if (started.exitCode !== null) throw new Error(`SpiceDB ended with ${started.exitCode}: ${said}`);
      // It does not say which port it got.
      return listeningPorts(started.pid as number)[0];
    });
  };
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  };
  const atExit = (): void => void child?.kill("SIGKILL");
  process.on("exit", atExit);
  await start();
  return {
    endpoint: `127.0.0.1:${port}`,
    key,
    kill,
    freeze: () => freeze(child.pid as number),
    thaw: () => void child.kill("SIGCONT"),
    start,
    stop: async () => {
      await kill();
      process.off("exit", atExit);
      await cluster?.stop();
    },
  };
}

function wordsFor(store: SpicedbOptions["store"], key: string, cluster: Cluster | undefined): string[] {
  if (store === "testing") {
    return ["serve-testing", "--readonly-grpc-enabled=false", "--skip-release-check", "--log-level", "warn"];
  }
  const words = ["serve", "--grpc-preshared-key", key, ...SERVE, ...QUIET];
  if (cluster === undefined) return [...words, "--datastore-engine", "memory"];
  const database = ["--datastore-engine", "postgres", "--datastore-conn-uri", cluster.url(DATABASE)];
  execFileSync(SPICEDB_PROGRAM, [
    "datastore",
    "migrate",
    "head",
    ...database,
    "--log-level",
    "warn",
    "--skip-release-check",
  ]);
  const pools = ["read-max-open=5", "read-min-open=1", "write-max-open=5", "write-min-open=1"];
  return [...words, ...database, ...pools.map((pool) => `--datastore-conn-pool-${pool}`)];
}

async function startDatabase(): Promise<Cluster> {
  // Its revisions are the database's own times of commit.
  const settings = { track_commit_timestamp: "on" };
  const cluster = await startCluster({ version: "embedded", durable: false, settings });
  const admin = await openConnection(parseDatabaseUrl(cluster.url("postgres")), { name: "spicedb" });
  await admin.query(`create database ${DATABASE}`, 30_000);
  await admin.end();
  return cluster;
}
