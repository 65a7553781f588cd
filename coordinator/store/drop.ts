/**
 * Drops partitions in which everything is archived. That cannot become untrue again: an archived row cannot change, and a
 * closed range takes no more experiments. So nothing is locked against it and it may be done twice or cut off anywhere.
 * Appends are never held up: detaching takes no lock that they need, and gives up where somebody else has the partition.
 */
import type { DatabaseAddress } from "../../db/address.ts";
import type { Connection } from "../../db/connection.ts";
import { openBulk } from "./sessions.ts";

/** A reader that holds a partition longer than this is let be until the next run. */
const LOCK_TIMEOUT_MS = 1_000;
const STATEMENT_TIMEOUT_MS = 30_000;
/** SQLSTATE of a lock that did not come within lock_timeout. */
const LOCK_NOT_AVAILABLE = "55P03";

export interface Dropped {
  /** Tables that are gone. */
  tables: number;
  /** Somebody held one too long; the next run goes on. */
  held: boolean;
}

/**
 * Ranges that are closed (an experiment at or above their last number is durable, in every shard) and in which every
 * experiment is archived; never the newest, where the next partition begins. Oldest first.
 */
const DROPPABLE = `
  select p.parent, p.partition, p.detaching from journal_partition p
  where p.high < (select max(high) from journal_partition)
    and not exists (select from leadership l
      where not exists (select from experiment x where x.shard = l.shard and x.experiment >= p.high - 1))
    and not exists (select from leadership l join experiment x on x.shard = l.shard
      where x.archived_at is null and x.experiment >= p.low and x.experiment < p.high)
  order by p.low, p.parent`;

/** Detached by a run that did not get to dropping it: making one and attaching it are one transaction. */
const LEFT_OVER = `
  select relname as partition from pg_class
  where relnamespace = 'public'::regnamespace and relkind = 'r' and not relispartition
    and relname ~ '^(experiment_source|template|lease|attempt_end|checkpoint_experiment|checkpoint_chunk)_p[0-9]+$'`;

/** Drops what may go; stops between two tables when `signal` aborts. */
export async function dropPartitions(address: DatabaseAddress, shard: number, signal: AbortSignal): Promise<Dropped> {
  const connection = await openBulk(address, shard);
  try {
    await connection.query(`set lock_timeout = ${LOCK_TIMEOUT_MS}`, STATEMENT_TIMEOUT_MS);
    const dropped: Dropped = { tables: 0, held: false };
    for (const { partition } of await connection.rows<{ partition: string }>(LEFT_OVER, [], STATEMENT_TIMEOUT_MS)) {
      if (signal.aborted) return dropped;
      await attempt(dropped, () => drop(connection, partition));
    }
    const droppable = await connection.rows<{ parent: string; partition: string; detaching: boolean }>(
      DROPPABLE,
      [],
      STATEMENT_TIMEOUT_MS,
    );
    for (const { parent, partition, detaching } of droppable) {
      if (signal.aborted) return dropped;
      await attempt(dropped, async () => {
        // Waits for those who have the parent open, but nobody waits for it; it cannot be part of a transaction.
        const how = detaching ? "finalize" : "concurrently";
        await connection.query(`alter table ${parent} detach partition ${partition} ${how}`, STATEMENT_TIMEOUT_MS);
        await drop(connection, partition);
      });
    }
    return dropped;
  } finally {
    await connection.end();
  }
}

function drop(connection: Connection, partition: string): Promise<unknown> {
  return connection.query(`drop table ${partition}`, STATEMENT_TIMEOUT_MS);
}

async function attempt(dropped: Dropped, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
    dropped.tables++;
  } catch (error) {
    if ((error as { code?: string }).code !== LOCK_NOT_AVAILABLE) throw error;
    dropped.held = true;
  }
}
