/**
 * Real PostgreSQL for tests: one server per test file, started from a cached cluster whose template database is already
 * migrated (0.2 s), and a database of its own for every test (30 ms). fsync is off unless asked for. Everything is ended
 * by process id; what a killed run left behind is swept by the next one.
 */
import { createHash } from "node:crypto";
import { after, type TestContext } from "node:test";
import { parseDatabaseUrl } from "../../db/address.ts";
import { type Connection, openConnection } from "../../db/connection.ts";
import { ConnectionPool } from "../../db/pool.ts";
import { type Cluster, startCluster } from "./postgres/cluster.ts";

export interface TestDatabase {
  /** Holds a schema that is up to date. */
  url: string;
  /** A connection of the test's own; closed with the database. */
  connect(name?: string): Promise<Connection>;
  /** Runs when the test is over, last one first, before the check for leaked connections. */
  defer(close: () => unknown): void;
}

export interface FreshOptions {
  /** Which server; the embedded one when silent. */
  version?: "embedded" | "15";
  /** With it the server has fsync on: for what promises durability. */
  durable?: boolean;
  /** False: an empty database. */
  migrated?: boolean;
}

const QUERY_TIMEOUT_MS = 30_000;
/** A connection that was ended a moment ago takes this long to leave pg_stat_activity at worst. */
const LEAK_PATIENCE_MS = 3_000;

interface Server {
  cluster: Cluster;
  admin: ConnectionPool;
}

const servers = new Map<string, Promise<Server>>();
let serial = 0;

async function serverFor(version: "embedded" | "15", durable: boolean): Promise<Server> {
  const key = `${version} ${durable}`;
  const known = servers.get(key);
  if (known) return known;
  const starting = (async () => {
    const cluster = await startCluster({ version, durable });
    // A pool, because a test may crash the server under it.
    const admin = new ConnectionPool(cluster.url("postgres"), {
      name: "test admin",
      max: 1,
      queryTimeoutMs: QUERY_TIMEOUT_MS,
    });
    return { cluster, admin };
  })();
  servers.set(key, starting);
  return starting;
}

after(async () => {
  for (const starting of servers.values()) {
    const server = await starting.catch(() => null);
    if (!server) continue;
    await server.admin.close();
    await server.cluster.stop();
  }
});

/** A database for this test alone; dropped at its end, when a connection that is still open fails the test. */
export async function freshDatabase(t: TestContext, options: FreshOptions = {}): Promise<TestDatabase> {
  const { admin, cluster } = await serverFor(options.version ?? "embedded", options.durable ?? false);
  const hash = createHash("sha256").update(t.fullName).digest("hex").slice(0, 8);
  const name = `t${++serial}_${hash}`;
  const template = options.migrated === false ? "template0" : "migrated";
  await admin.rows(`create database ${name} template ${template}`);
  const url = cluster.url(name);
  const closers: (() => unknown)[] = [];
  t.after(async () => {
    for (const close of closers.reverse()) await close();
    const leaked = await openSessions(admin, name);
    await admin.rows(`drop database ${name} with (force)`);
    if (leaked.length > 0) throw new Error(`connections were left open: ${leaked.join(", ")}`);
  });
  return {
    url,
    connect: async (application = "test") => {
      const connection = await openConnection(parseDatabaseUrl(url), { name: application });
      closers.push(() => connection.end());
      return connection;
    },
    defer: (close) => void closers.push(close),
  };
}

/** The server under `freshDatabase`, for tests that hurt it. */
export async function testCluster(options: FreshOptions = {}): Promise<Cluster> {
  return (await serverFor(options.version ?? "embedded", options.durable ?? false)).cluster;
}

async function openSessions(admin: ConnectionPool, database: string): Promise<string[]> {
  for (const until = performance.now() + LEAK_PATIENCE_MS; ; ) {
    const rows = await admin.rows<{ name: string }>(
      "select application_name as name from pg_stat_activity where datname = $1",
      [database],
    );
    if (rows.length === 0 || performance.now() > until) return rows.map((row) => row.name);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Rows of one statement, on a connection of its own that is closed again. */
export async function rowsOf<R extends Record<string, unknown>>(
  url: string,
  text: string,
  values: unknown[] = [],
): Promise<R[]> {
  const connection = await openConnection(parseDatabaseUrl(url), { name: "test" });
  try {
    return await connection.rows<R>(text, values, QUERY_TIMEOUT_MS);
  } finally {
    await connection.end();
  }
}
