/**
 * One PostgreSQL for all contenders of a run, with durability as in production and asserted before anything is measured.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { migrate } from "../../../db/migrate.ts";
import { startCluster } from "../../support/postgres/cluster.ts";
import { cpuMsOfTree } from "../measure.ts";

export interface Database {
  /** A database of its own, with our schema. */
  readonly url: string;
  /** A new empty database on the same server. */
  create(name: string): Promise<string>;
  /** Process id of its postmaster. */
  readonly postmaster: number;
  /** CPU ms of the whole server so far. */
  cpuMs(): number;
  stop(): Promise<void>;
}

/** Starts it; every database it makes has our schema. Rejects when fsync or synchronous_commit is off: a figure without durability would be another one. */
export async function startDatabase(): Promise<Database> {
  const cluster = await startCluster({ version: "embedded", durable: true });
  const admin = new pg.Client({ connectionString: cluster.url("postgres") });
  await admin.connect();
  for (const setting of ["fsync", "synchronous_commit", "full_page_writes"]) {
    const row = (await admin.query(`show ${setting}`)).rows[0] as Record<string, string>;
    if (row[setting] !== "on") throw new Error(`${setting} is ${row[setting]}, but the benchmark promises durability`);
  }
  const create = async (name: string): Promise<string> => {
    await admin.query(`drop database if exists ${name} with (force)`);
    await admin.query(`create database ${name} template template0`);
    await migrate(cluster.url(name));
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
