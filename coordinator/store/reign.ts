/**
 * One term of this process as the dispatcher, on three connections: the journal's, which appends and whose life proves
 * ours; one that renews; one for what may be slow. Whatever is doubtful ends it: a failed or late answer to an append, a
 * lost journal connection, another term.
 */
import type { DatabaseAddress } from "../../db/address.ts";
import type { Connection } from "../../db/connection.ts";
import { databaseRefusal } from "../../db/refusal.ts";
import type { Logger } from "../../shared/log/log.ts";
import { LEADERSHIP_DEADLINE_MS, LEADERSHIP_LEASE_MS } from "../../shared/model/constants.ts";
import type { Batch } from "../dispatch/batch.ts";
import type { LoadedState } from "../dispatch/load.ts";
import { Deposed, type EncodedCheckpoint, type Reign } from "../dispatch/ports.ts";
import { appendQuery } from "./append.ts";
import type { Won } from "./campaign.ts";
import { pruneCheckpoints, writeCheckpoint } from "./checkpoint.ts";
import { loadShard } from "./load.ts";
import { Partitions } from "./partitions.ts";
import { openBulk, openRenewal } from "./sessions.ts";

/** A COMMIT that takes longer than the leadership lease is not worth waiting for: another one may lead by then. */
const APPEND_TIMEOUT_MS = LEADERSHIP_LEASE_MS;
/** Several tries fit between two renewals' worth of deadline (4 s). */
const RENEWAL_TIMEOUT_MS = 1_000;
const RENEWAL_PAUSE_MS = 100;
const RESIGN_TIMEOUT_MS = 1_000;
/** Raised by journal_append. */
const DEPOSED_STATE = "AV001";
const DISK_FULL_STATE = "53100";

export interface ReignOptions {
  address: DatabaseAddress;
  shard: number;
  mono: () => number;
  log: Logger;
}

export class PostgresReign implements Reign {
  readonly shard: number;
  readonly term: number;
  readonly timeline: number;
  readonly #options: ReignOptions;
  readonly #journal: Connection;
  readonly #partitions: Partitions;
  #leadUntilMono: number;
  #renewal: Connection | null = null;
  #bulk: Connection | null = null;
  #bulkTurn: Promise<unknown> = Promise.resolve();
  #renewing: Promise<number> | null = null;
  #over: Error | null = null;

  constructor(won: Won, options: ReignOptions) {
    this.shard = options.shard;
    this.term = won.term;
    this.timeline = won.timeline;
    this.#options = options;
    this.#journal = won.journal;
    this.#leadUntilMono = won.wonAtMono + LEADERSHIP_DEADLINE_MS;
    this.#partitions = new Partitions(options.address, options.shard);
    won.journal.lost.then((reason) => this.#end(new Deposed("the journal's connection is gone", { cause: reason })));
  }

  /** In the past once the reign is over. */
  get leadUntilMono(): number {
    return this.#over ? Number.NEGATIVE_INFINITY : this.#leadUntilMono;
  }

  load(): Promise<LoadedState> {
    return this.#withBulk(async (bulk) => {
      const loaded = await loadShard(bulk, this.shard);
      if (loaded.term !== this.term)
        throw this.#end(new Deposed(`term ${this.term} is over: term ${loaded.term} reigns`));
      await this.#partitions.ensure(loaded.experimentMax + 1);
      return loaded;
    });
  }

  async append(batch: Batch): Promise<void> {
    if (this.#over) throw this.#over;
    try {
      const newest = batch.submits.reduce((max, submit) => Math.max(max, submit.experiment), 0);
      if (newest > 0) await this.#partitions.ensure(newest);
      await this.#journal.query(appendQuery(batch), APPEND_TIMEOUT_MS);
    } catch (error) {
      const { code, message } = error as { code?: string; message: string };
      if (code === DEPOSED_STATE) throw this.#end(new Deposed(message));
      // The one failure that a person must mend: whoever reads the log is told how.
      throw this.#end(code === DISK_FULL_STATE ? databaseRefusal(error, this.#options.address) : (error as Error));
    }
  }

  /** Tries anew on another connection while its deadline lasts; the one before may have been cut off. */
  renew(): Promise<number> {
    this.#renewing ??= this.#renewInTime().finally(() => {
      this.#renewing = null;
    });
    return this.#renewing;
  }

  async #renewInTime(): Promise<number> {
    for (;;) {
      if (this.#over) throw this.#over instanceof Deposed ? this.#over : new Deposed(this.#over.message);
      try {
        return await this.#renewOnce();
      } catch (error) {
        this.#renewal?.destroy();
        this.#renewal = null;
        if (error instanceof Deposed) throw this.#end(error);
        if (this.#over || this.#options.mono() + RENEWAL_PAUSE_MS >= this.#leadUntilMono) throw error;
        await new Promise((resolve) => setTimeout(resolve, RENEWAL_PAUSE_MS));
      }
    }
  }

  async #renewOnce(): Promise<number> {
    const { address, mono, log } = this.#options;
    this.#renewal ??= await openRenewal(address, this.shard, RENEWAL_TIMEOUT_MS);
    if (this.#over) throw this.#over;
    const sentMono = mono();
    const renewed = await this.#renewal.query(
      {
        name: "renew",
        text: `update leadership_renewal set expires_at = clock_timestamp() + $3 * interval '1 ms'
               where shard = $1 and term = $2`,
        values: [this.shard, this.term, LEADERSHIP_LEASE_MS],
      },
      RENEWAL_TIMEOUT_MS,
    );
    if (renewed.rowCount !== 1)
      throw new Deposed(`term ${this.term} of shard ${this.shard} is over: another one leads`);
    if (this.#over) throw this.#over;
    this.#leadUntilMono = Math.max(this.#leadUntilMono, sentMono + LEADERSHIP_DEADLINE_MS);
    log.debug("leadership renewed", { shard: this.shard, term: this.term });
    return this.#leadUntilMono;
  }

  checkpoint(checkpoint: EncodedCheckpoint): Promise<void> {
    return this.#withBulk(async (bulk) => {
      await writeCheckpoint(bulk, checkpoint);
      await pruneCheckpoints(bulk, checkpoint).catch((error) => {
        this.#options.log.warn("old checkpoint rows were not removed; the next checkpoint tries again", { error });
      });
    });
  }

  /** The row first, the life lock last: whoever gets the lock finds a row that has run out. */
  async resign(): Promise<void> {
    if (!this.#over) {
      this.#over = new Deposed("leadership was given up");
      const text = "update leadership_renewal set expires_at = to_timestamp(0) where shard = $1 and term = $2";
      await this.#journal.query({ text, values: [this.shard, this.term] }, RESIGN_TIMEOUT_MS).catch(() => {});
    }
    await Promise.all([this.#renewal?.end(), this.#bulk?.end()]);
    await this.#journal.end();
  }

  /** Cuts the journal's connection: an append may be under way whose answer nobody awaits any more. */
  #end(reason: Error): Error {
    if (!this.#over) {
      this.#over = reason;
      this.#journal.destroy(reason);
    }
    return reason;
  }

  /** One at a time, on a connection that is made anew after it failed. */
  #withBulk<T>(work: (bulk: Connection) => Promise<T>): Promise<T> {
    const turn = this.#bulkTurn.then(async () => {
      if (this.#over) throw this.#over;
      if (this.#bulk === null || this.#bulk.isLost) this.#bulk = await openBulk(this.#options.address, this.shard);
      // The reign may have ended meanwhile, and with it the one who would have closed it.
      if (this.#over) throw this.#bulk.destroy(this.#over);
      return work(this.#bulk);
    });
    this.#bulkTurn = turn.catch(() => {});
    return turn;
  }
}
