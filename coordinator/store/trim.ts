/**
 * Removes rows of the tables that are not partitioned once nothing needs them: heads of the journal and decisions from
 * before the oldest experiment that is kept and before the checkpoint that a load may start at, and spent enrolment tokens.
 * A row per append and per decision, never per task; in slices, so that no transaction is long.
 */
import type { ConnectionPool } from "../../db/pool.ts";
import { type ProjectId, SYSTEM_ACTOR } from "../../shared/model/ids.ts";
import { tokenRelationships } from "./enrolment.ts";
import { writeRelationships } from "./relationships.ts";
import { transaction } from "./transaction.ts";

/** Seqs of one slice: some 50 ms. */
const SLICE_SEQS = 10_000;
/** Slices of one run. */
const SLICES_MAX = 50;
/** Whoever enrolled with a token may ask again with it for this long. */
const TOKEN_KEPT = "30 days";
const TIMEOUT_MS = 10_000;

export interface Trimmed {
  rows: number;
  /** There is more to remove. */
  more: boolean;
}

export class Trimmer {
  readonly #pool: ConnectionPool;
  readonly #shard: number;
  /** Everything below is gone: the index need not be walked over its dead entries again. */
  #from = 0;

  constructor(pool: ConnectionPool, shard: number) {
    this.#pool = pool;
    this.#shard = shard;
  }

  async run(signal: AbortSignal): Promise<Trimmed> {
    const horizon = await this.#horizon();
    let rows = 0;
    for (let slice = 0; slice < SLICES_MAX && this.#from < horizon && !signal.aborted; slice++) {
      const [first] = await this.#pool.rows<{ seq: number | null }>(
        "select min(seq) as seq from journal where shard = $1 and seq >= $2",
        [this.#shard, this.#from],
      );
      const from = Math.max(this.#from, first?.seq ?? horizon);
      const to = Math.min(horizon, from + SLICE_SEQS);
      for (const table of ["decision", "journal"]) rows += await this.#remove(table, this.#from, to);
      this.#from = to;
    }
    rows += await this.#removeTokens();
    return { rows, more: this.#from < horizon };
  }

  #removeTokens(): Promise<number> {
    return transaction(this.#pool, async (connection) => {
      const gone = await connection.rows<{ token: number; serves: ProjectId | null }>(
        `delete from enrolment_token where coalesce(used_at, revoked_at, expires_at) < now() - interval '${TOKEN_KEPT}'
         returning token, case when any_project then null else project end as serves`,
        [],
        TIMEOUT_MS,
      );
      const relationships = gone.flatMap(({ token, serves }) => tokenRelationships("delete", token, serves));
      if (relationships.length > 0) await writeRelationships(connection, relationships, SYSTEM_ACTOR);
      return gone.length;
    });
  }

  /** What is below is needed by no load, and by no history of an experiment that is not archived. */
  async #horizon(): Promise<number> {
    const [row] = await this.#pool.rows<{ horizon: number | null }>(
      `select least((select min(seq) from checkpoint where shard = $1),
         (select seq from experiment where shard = $1 and archived_at is null order by experiment limit 1)) as horizon
       where exists (select from checkpoint where shard = $1)`,
      [this.#shard],
    );
    return row?.horizon ?? 0;
  }

  async #remove(table: string, from: number, to: number): Promise<number> {
    const text = `with gone as (delete from ${table} where shard = $1 and seq >= $2 and seq < $3 returning 1)
      select count(*) as n from gone`;
    return (await this.#pool.rows<{ n: number }>(text, [this.#shard, from, to]))[0]?.n ?? 0;
  }
}
