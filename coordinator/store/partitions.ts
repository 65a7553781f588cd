/** Makes partitions of the journal's tables ahead of the experiments that need them, so that no append ever waits for one. */
import type { DatabaseAddress } from "../../db/address.ts";
import { PARTITION_EXPERIMENTS } from "../../shared/model/constants.ts";
import { openBulk } from "./sessions.ts";

const CREATE_TIMEOUT_MS = 30_000;

export class Partitions {
  readonly #address: DatabaseAddress;
  readonly #shard: number;
  /** Number of the first partition that may be missing. */
  #missing: number | null = null;
  #making: Promise<void> | null = null;

  constructor(address: DatabaseAddress, shard: number) {
    this.#address = address;
    this.#shard = shard;
  }

  /** Resolves when experiments up to `experiment` have theirs; begins the next one when half of the last is used. */
  async ensure(experiment: number): Promise<void> {
    const needed = Math.floor(experiment / PARTITION_EXPERIMENTS);
    while (this.#missing === null || needed >= this.#missing) await this.#make(needed);
    const isHalfUsed = (experiment + PARTITION_EXPERIMENTS / 2) / PARTITION_EXPERIMENTS >= this.#missing;
    // Nobody waits for it now: should it fail, whoever needs it makes it then and hears why.
    if (isHalfUsed) this.#make(this.#missing).catch(() => {});
  }

  #make(number: number): Promise<void> {
    this.#making ??= this.#makeNow(number).finally(() => {
      this.#making = null;
    });
    return this.#making;
  }

  /** On a connection of its own: a checkpoint that is being written must not hold up a submit. */
  async #makeNow(number: number): Promise<void> {
    const connection = await openBulk(this.#address, this.#shard);
    try {
      const text = "select create_partition($1, $2)";
      await connection.query({ text, values: [number, PARTITION_EXPERIMENTS] }, CREATE_TIMEOUT_MS);
      this.#missing = Math.max(this.#missing ?? 0, number + 1);
    } finally {
      await connection.end();
    }
  }
}
