/**
 * Makes partitions of the journal's tables ahead of the experiments that need them, so that no append ever waits for one.
 * Each is as wide as it takes to hold about as many tasks as another, going by the newest experiments: a partition goes as
 * a whole, so a wide one of huge experiments would stay for ever, and thousands of narrow ones would slow every load.
 */
import type { DatabaseAddress } from "../../db/address.ts";
import type { Connection } from "../../db/connection.ts";
import {
  EXPERIMENT_COST_TASKS,
  PARTITION_EXPERIMENTS_MAX,
  PARTITION_EXPERIMENTS_MIN,
  PARTITION_TASKS,
  PARTITIONS_AIMED,
} from "../../shared/model/constants.ts";
import { openBulk } from "./sessions.ts";

const CREATE_TIMEOUT_MS = 30_000;
/** Experiments whose size says how large the next ones will be. */
const RECENT_EXPERIMENTS = 1_000;
/** Tasks of an experiment where there was none yet: rather a narrow first partition than a wide one. */
const FIRST_GUESS_TASKS = 10_000;

export interface Extent {
  experiments: number;
  tasks: number;
}

export class Partitions {
  readonly #address: DatabaseAddress;
  readonly #shard: number;
  /** The first experiment without a partition, and how wide the last one is; null until it was asked for. */
  #end: number | null = null;
  #width = PARTITION_EXPERIMENTS_MIN;
  #making: Promise<void> | null = null;

  constructor(address: DatabaseAddress, shard: number) {
    this.#address = address;
    this.#shard = shard;
  }

  /** Resolves when experiments up to `experiment` have theirs; begins the next one when half of the last is used. */
  async ensure(experiment: number): Promise<void> {
    while (this.#end === null || experiment >= this.#end) await this.#make(experiment);
    // Nobody waits for it now: should it fail, whoever needs it makes it then and hears why.
    if (experiment >= this.#end - this.#width / 2) this.#make(this.#end).catch(() => {});
  }

  #make(experiment: number): Promise<void> {
    this.#making ??= this.#makeNow(experiment).finally(() => {
      this.#making = null;
    });
    return this.#making;
  }

  /** On a connection of its own: a checkpoint that is being written must not hold up a submit. */
  async #makeNow(experiment: number): Promise<void> {
    const connection = await openBulk(this.#address, this.#shard);
    try {
      const width = await widthNow(connection, this.#shard);
      const extend = { text: "select extend_partitions($1, $2)", values: [experiment, width] };
      await connection.query(extend, CREATE_TIMEOUT_MS);
      // Asked for anew: the last one may be older than this process, and of another width.
      const [last] = await connection.rows<{ low: number; high: number }>(
        "select low, high from journal_partition order by high desc limit 1",
        [],
        CREATE_TIMEOUT_MS,
      );
      if (!last) throw new Error("no partition was made");
      this.#end = last.high;
      this.#width = last.high - last.low;
    } finally {
      await connection.end();
    }
  }
}

async function widthNow(connection: Connection, shard: number): Promise<number> {
  const extent = async (where: string): Promise<Extent> => {
    const [row] = await connection.rows<Extent>(
      `select count(*) as experiments, coalesce(sum(tasks), 0)::float8 as tasks from (${where}) x`,
      [shard],
      CREATE_TIMEOUT_MS,
    );
    return row ?? { experiments: 0, tasks: 0 };
  };
  const newest = `select tasks from experiment where shard = $1 order by experiment desc limit ${RECENT_EXPERIMENTS}`;
  const kept = "select tasks from experiment where shard = $1 and archived_at is null";
  return partitionWidth(await extent(newest), await extent(kept));
}

/** Experiments of the next partition, when the newest and all that are kept are so large. Exported for tests. */
export function partitionWidth(newest: Extent, kept: Extent): number {
  const cost = ({ experiments, tasks }: Extent): number => tasks + experiments * EXPERIMENT_COST_TASKS;
  const each = newest.experiments > 0 ? cost(newest) / newest.experiments : FIRST_GUESS_TASKS + EXPERIMENT_COST_TASKS;
  const aim = Math.max(PARTITION_TASKS, cost(kept) / PARTITIONS_AIMED);
  return Math.max(PARTITION_EXPERIMENTS_MIN, Math.min(PARTITION_EXPERIMENTS_MAX, Math.round(aim / each)));
}
