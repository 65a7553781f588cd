/**
 * What the dispatcher needs from the outside: leadership and the journal. `coordinator/store` implements both on
 * PostgreSQL; the simulation implements them on a seeded model.
 */
import type { Batch } from "./batch.ts";
import type { LoadedState } from "./load.ts";
import type { ProjectUsage } from "./project.ts";

/** Monotonic milliseconds decide; wall-clock milliseconds are what people and the database see. */
export interface Now {
  mono: number;
  wall: number;
}

/** Why a reign ended; the sentence is logged and shown by health. */
export class Deposed extends Error {
  override name = "Deposed";
}

/** One term of one dispatcher. After any rejection of `append` the reign is over: its core is thrown away. */
export interface Reign {
  readonly shard: number;
  readonly term: number;
  readonly timeline: number;
  /** Monotonic ms until which welcome, renewal and lease may be sent; counted from before the last good renewal query. */
  readonly leadUntilMono: number;
  /** Everything that is durable, as of this term's own commit. */
  load(): Promise<LoadedState>;
  /**
   * Appends one batch in one transaction, after the term was checked under the lock. Called for one batch at a time.
   * Resolves only when COMMIT was answered. Rejects with Deposed when a newer term reigns, with the database's error
   * otherwise; then nobody knows whether it is durable.
   */
  append(batch: Batch): Promise<void>;
  /** Renews the leadership row; resolves with the new `leadUntilMono`; rejects with Deposed when another one holds it. */
  renew(): Promise<number>;
  /** Writes a checkpoint that was encoded at `seq`; term-checked like an append, on a connection of its own. */
  checkpoint(checkpoint: EncodedCheckpoint): Promise<void>;
  /** Gives leadership up at once so that a successor need not wait, and closes the connections. Never rejects. */
  resign(): Promise<void>;
}

export interface LeadershipPort {
  /** Waits until this process leads; rejects only when `signal` aborts. Failures of the database are waited out. */
  campaign(signal: AbortSignal): Promise<Reign>;
}

/** Up to 4,096 tasks of one template, folded. */
export interface EncodedChunk {
  experiment: number;
  template: number;
  chunk: number;
  data: Uint8Array;
}

/** What is known of an experiment beside its tasks, folded. */
export interface EncodedExperiment {
  experiment: number;
  data: Uint8Array;
}

export interface EncodedCheckpoint {
  shard: number;
  term: number;
  seq: number;
  experiments: EncodedExperiment[];
  /** Only chunks that changed since the last checkpoint. */
  chunks: EncodedChunk[];
  /** What projects used, as of the same seq. */
  usage?: ProjectUsage[];
}
