/** The connections of a dispatcher and their locks. Names and settings tell an operator, and the planner, what each is for. */
import pg from "pg";
import type { DatabaseAddress } from "../../db/address.ts";
import { type Connection, openConnection } from "../../db/connection.ts";
import { storeTypes } from "./columns.ts";

/** `pg_advisory_*(APPEND_LOCK, shard)`: shared by every append, exclusive in a takeover. Also in db/migrations/000003. */
export const APPEND_LOCK = 7_304_001;
/** `pg_advisory_lock(LIFE_LOCK, shard)`: held by the journal's connection for its whole life; free means its holder is gone. */
export const LIFE_LOCK = 7_304_002;

export const STORE_TYPES = storeTypes(pg.types);

/**
 * A statement that was first planned on an empty table keeps its plan: these leave it only index scans (6 × faster). And
 * it keeps one plan: with the arrays of a batch as constants PostgreSQL would plan anew each time, which costs more than
 * the append (0.4 against 0.2 ms).
 */
const JOURNAL_SETTINGS = {
  enable_hashjoin: "off",
  enable_mergejoin: "off",
  enable_seqscan: "off",
  plan_cache_mode: "force_generic_plan",
};

/** The one connection that appends. */
export async function openJournal(address: DatabaseAddress, shard: number): Promise<Connection> {
  const name = `airavata journal ${shard}`;
  const journal = await openConnection(address, { name, types: STORE_TYPES, settings: JOURNAL_SETTINGS });
  // An answered COMMIT is durable, whatever the default of server or role; stronger settings are left alone.
  const text =
    "select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'";
  await journal.query(text, 5_000);
  return journal;
}

/** Renews leadership, and nothing that could be slow. */
export function openRenewal(address: DatabaseAddress, shard: number, connectTimeoutMs: number): Promise<Connection> {
  return openConnection(address, { name: `airavata renewal ${shard}`, types: STORE_TYPES, connectTimeoutMs });
}

/** Loads, writes checkpoints and makes partitions. */
export function openBulk(address: DatabaseAddress, shard: number): Promise<Connection> {
  return openConnection(address, { name: `airavata bulk ${shard}`, types: STORE_TYPES });
}
