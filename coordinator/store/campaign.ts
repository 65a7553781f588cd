/**
 * How a coordinator becomes the dispatcher of a shard. It waits for the life lock, which PostgreSQL frees the moment the
 * holder's journal connection ends: the usual takeover waits for nothing. A holder that is paused or cut off keeps its
 * lock; it is waited out by the database's clock and then its connection is terminated. Only then the term is raised,
 * under the exclusive append lock, so that no append of an older term can commit after it.
 */
import type { DatabaseAddress } from "../../db/address.ts";
import type { Connection } from "../../db/connection.ts";
import { LEADERSHIP_LEASE_MS } from "../../shared/model/constants.ts";
import { announceWinner, type CoordinatorIdentity } from "./coordinators.ts";
import { APPEND_LOCK, LIFE_LOCK, openJournal } from "./sessions.ts";

export interface Candidate {
  address: DatabaseAddress;
  shard: number;
  /** Name of this process, for people. */
  holder: string;
  /** Where other coordinators reach it. */
  internalAddress: string;
  /** What they know it by; without one nothing can be forwarded to it. */
  identity?: CoordinatorIdentity;
  mono: () => number;
}

/** A term that was just won. */
export interface Won {
  journal: Connection;
  term: number;
  timeline: number;
  /** Monotonic ms before the row was written that makes this process the leader. */
  wonAtMono: number;
}

const STATEMENT_TIMEOUT_MS = 5_000;
/** An append holds the lock for milliseconds; one that holds it this long is stuck, and its term is over anyway. */
const APPEND_LOCK_PATIENCE_MS = 1_000;
/** A terminated backend lets go within milliseconds. */
const TERMINATED_PATIENCE_MS = 2_000;
/** SQLSTATE of a lock that did not come within lock_timeout. */
const LOCK_NOT_AVAILABLE = "55P03";

/** Waits until this process leads. Rejects when the database fails it (try again) or `signal` aborts. */
export async function winTerm(candidate: Candidate, signal: AbortSignal): Promise<Won> {
  const journal = await openJournal(candidate.address, candidate.shard);
  const giveUp = (): void => void journal.destroy(signal.reason);
  signal.addEventListener("abort", giveUp);
  try {
    signal.throwIfAborted();
    await ensureRows(journal, candidate.shard);
    await noticeDeadClient(journal, "500");
    await takeLifeLock(journal, candidate.shard);
    return await raiseTerm(journal, candidate);
  } catch (error) {
    journal.destroy();
    throw error;
  } finally {
    signal.removeEventListener("abort", giveUp);
  }
}

/** While it waits for a lock a backend looks for its client this often (ms; "0": never), so that one of a dead candidate goes. */
async function noticeDeadClient(journal: Connection, interval: string): Promise<void> {
  const text = "select set_config('client_connection_check_interval', $1, false)";
  // Not every platform has it; there the lock's own time limit does.
  await journal.query({ text, values: [interval] }, STATEMENT_TIMEOUT_MS).catch(() => {});
}

async function ensureRows(journal: Connection, shard: number): Promise<void> {
  for (const table of ["leadership", "leadership_renewal"]) {
    const text = `insert into ${table} (shard) values ($1) on conflict do nothing`;
    await journal.query({ text, values: [shard] }, STATEMENT_TIMEOUT_MS);
  }
}

async function takeLifeLock(journal: Connection, shard: number): Promise<void> {
  for (;;) {
    const leftMs = await lifeLeftMs(journal, shard);
    if (leftMs > 0) {
      if (await lockWithin(journal, `pg_advisory_lock(${LIFE_LOCK}, ${shard})`, leftMs)) return;
      continue;
    }
    if (await lockWithin(journal, `pg_advisory_lock(${LIFE_LOCK}, ${shard})`, 1)) return;
    // Run out, yet its connection lives: a paused process, or a network that swallows everything.
    await terminateHolders(journal, LIFE_LOCK, shard, true);
    if (await lockWithin(journal, `pg_advisory_lock(${LIFE_LOCK}, ${shard})`, TERMINATED_PATIENCE_MS)) return;
  }
}

/** How long the present leader still counts by the database's clock; never more than a whole lease. */
async function lifeLeftMs(journal: Connection, shard: number): Promise<number> {
  const [row] = await journal.rows<{ left: number }>(
    `select ceil(extract(epoch from expires_at - clock_timestamp()) * 1000)::float8 as left
     from leadership_renewal where shard = $1`,
    [shard],
    STATEMENT_TIMEOUT_MS,
  );
  return Math.min(row?.left ?? 0, LEADERSHIP_LEASE_MS);
}

/** Takes a lock of the session; false when somebody else had it for `patienceMs`. */
async function lockWithin(journal: Connection, lock: string, patienceMs: number): Promise<boolean> {
  const timeout = String(Math.max(1, Math.ceil(patienceMs)));
  await journal.query(
    { text: "select set_config('lock_timeout', $1, false)", values: [timeout] },
    STATEMENT_TIMEOUT_MS,
  );
  try {
    await journal.query(`select ${lock}`, patienceMs + STATEMENT_TIMEOUT_MS);
    return true;
  } catch (error) {
    if ((error as { code?: string }).code === LOCK_NOT_AVAILABLE) return false;
    throw error;
  }
}

/** Ends the sessions that hold a lock, ours apart; with `onlyRunOut` not if the leader has renewed after all. */
async function terminateHolders(journal: Connection, lock: number, shard: number, onlyRunOut: boolean): Promise<void> {
  await journal.query(
    {
      text: `select pg_terminate_backend(l.pid) from pg_locks l
             where l.locktype = 'advisory' and l.classid = $1 and l.objid = $2 and l.objsubid = 2 and l.granted
               and l.database = (select oid from pg_database where datname = current_database())
               and l.pid <> pg_backend_pid()
               and (not $3 or exists (select from leadership_renewal r
                                      where r.shard = $2 and r.expires_at <= clock_timestamp()))`,
      values: [lock, shard, onlyRunOut],
    },
    STATEMENT_TIMEOUT_MS,
  );
}

async function raiseTerm(journal: Connection, candidate: Candidate): Promise<Won> {
  const { shard, holder, internalAddress, identity, mono } = candidate;
  for (;;) {
    await journal.query("begin", STATEMENT_TIMEOUT_MS);
    if (!(await lockWithin(journal, `pg_advisory_xact_lock(${APPEND_LOCK}, ${shard})`, APPEND_LOCK_PATIENCE_MS))) {
      await journal.query("rollback", STATEMENT_TIMEOUT_MS);
      await terminateHolders(journal, APPEND_LOCK, shard, false);
      continue;
    }
    const [row] = await journal.rows<{ term: number; timeline: number }>(
      `update leadership set term = term + 1, holder = $2, address = $3, journal_pids = array[pg_backend_pid()],
         taken_at = clock_timestamp(), coordinator = $4, coordinator_term = term + 1
       where shard = $1 returning term, timeline`,
      [shard, holder, internalAddress, identity?.id ?? ""],
      STATEMENT_TIMEOUT_MS,
    );
    if (!row) throw new Error(`shard ${shard} has no leadership row`);
    if (identity) await announceWinner(journal, identity, STATEMENT_TIMEOUT_MS);
    const wonAtMono = mono();
    await journal.query(
      {
        text: `update leadership_renewal set term = $2, expires_at = clock_timestamp() + $3 * interval '1 ms' where shard = $1`,
        values: [shard, row.term, LEADERSHIP_LEASE_MS],
      },
      STATEMENT_TIMEOUT_MS,
    );
    await journal.query("commit", STATEMENT_TIMEOUT_MS);
    await journal.query("select set_config('lock_timeout', '0', false)", STATEMENT_TIMEOUT_MS);
    await noticeDeadClient(journal, "0");
    return { journal, term: row.term, timeline: row.timeline, wonAtMono };
  }
}
