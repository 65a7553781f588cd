/**
 * One PostgreSQL for all contenders of a run, with durability as in production: read back from the server, also as a
 * session of each contender's database sees it, and refused otherwise. A figure without durability would be another one.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { migrate } from "../../../db/migrate.ts";
import { startCluster } from "../../support/postgres/cluster.ts";
import { cpuMsOfTree } from "../report/measure.ts";

export interface Database {
  /** A database of its own, with our schema. */
  readonly url: string;
  /** A new database on the same server, with our schema. */
  create(name: string): Promise<string>;
  /** Process id of its postmaster. */
  readonly postmaster: number;
  /** CPU ms of the whole server so far. */
  cpuMs(): number;
  stop(): Promise<void>;
}

/** As its operators run it: dead rows are removed, and a quarter of a GiB of cache; the same for all contenders. */
const SERVER_SETTINGS = { autovacuum: "on", shared_buffers: "256MB", max_connections: "100" };
const DURABLE = ["fsync", "synchronous_commit", "full_page_writes"];

export async function startDatabase(): Promise<Database> {
  const cluster = await startCluster({ version: "embedded", durable: true, settings: SERVER_SETTINGS });
  const admin = new pg.Client({ connectionString: cluster.url("postgres") });
  await admin.connect();
  const create = async (name: string): Promise<string> => {
    await admin.query(`drop database if exists ${name} with (force)`);
    await admin.query(`create database ${name} template template0`);
    await migrate(cluster.url(name));
    await assertDurable(cluster.url(name));
    return cluster.url(name);
  };
  const url = await create("bench");
  const pid = Number(readFileSync(join(cluster.data, "postmaster.pid"), "utf8").split("\n")[0]);
  return {
    url,
    create,
    postmaster: pid,
    cpuMs: () => cpuMsOfTree(pid),
    stop: async () => {
      await admin.end();
      await cluster.stop();
    },
  };
}

/** Rejects unless the server says that a commit is on its disk before it is answered. */
async function assertDurable(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    for (const setting of DURABLE) {
      const { rows } = await client.query("select current_setting($1) as value", [setting]);
      const value = (rows[0] as { value: string }).value;
      if (value !== "on") throw new Error(`${setting} is ${value}, but the benchmark promises durability`);
    }
  } finally {
    await client.end();
  }
}
