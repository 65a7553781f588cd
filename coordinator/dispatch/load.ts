/**
 * The durable state as the store hands it over: definitions, the newest chunks up to a checkpoint, and every batch after
 * it. Folding the batches over the chunks gives exactly the state that the last dispatcher had committed.
 */
import type { ExperimentDefinition } from "../../shared/model/definition.ts";
import type { ActorId, AgentId, ExperimentId, ProjectId } from "../../shared/model/ids.ts";
import type { Batch } from "./batch.ts";
import type { EncodedChunk, EncodedExperiment } from "./ports.ts";
import type { ProjectConfig, ProjectUsage } from "./project.ts";

export type { ProjectConfig, ProjectUsage };

/** An experiment submitted at or before the checkpoint and not ended then. */
export interface LoadedExperiment {
  experiment: ExperimentId;
  project: ProjectId;
  actor: ActorId;
  definition: ExperimentDefinition;
  submittedAtMs: number;
}

export interface LoadedState {
  shard: number;
  term: number;
  timeline: number;
  /** Seq of the checkpoint; 0 when there is none. */
  checkpointSeq: number;
  experiments: LoadedExperiment[];
  experimentStates: EncodedExperiment[];
  chunks: EncodedChunk[];
  /** Batches with seq > checkpointSeq, ascending and without a gap. */
  batches: Batch[];
  /** Highest experiment id ever given in this shard; 0 when none. */
  experimentMax: number;
  /** Weights and limits of all projects, and what they had used at the checkpoint. */
  projects?: ProjectConfig[];
  usage?: ProjectUsage[];
  /** Agents that were lost with tasks that wait for them, and since when; kept beside the journal. */
  absences?: { agent: AgentId; sinceMs: number }[];
  /** Keys of the last 24 hours. */
  idempotency: { actor: ActorId; key: string; bodyHash: string; experiment: ExperimentId; atMs: number }[];
}
