/**
 * The records of the history, as the store reads them from the journal's tables. Everything here is read-only and may be
 * asked of any coordinator, leading or not.
 */
import type { ExperimentDefinition } from "../../shared/model/definition.ts";
import type { ActorId, AgentId, ExperimentId, ProjectId, TaskKey } from "../../shared/model/ids.ts";
import type { LoadedState } from "../dispatch/load.ts";

/** An experiment as it was submitted, and its end if it had one. */
export interface StoredExperiment {
  experiment: ExperimentId;
  name: string;
  /** Name of the project. */
  project: string;
  priority: number;
  submittedAtMs: number;
  tasks: number;
  /** Null while it is unfinished: then only the dispatcher knows. */
  end: {
    state: "COMPLETED" | "FAILED" | "CANCELED";
    atMs: number;
    /** Of the batch that ended it; another one after a retry. */
    seq: number;
    completed: number;
    failed: number;
    canceled: number;
  } | null;
  /** From then on only its summary is left; null while it is not archived. */
  archivedAtMs: number | null;
}

/** Where the tasks and attempts of an archived experiment were written. */
export interface ArchiveFile {
  path: string;
  /** Of the file as it lies there, hex. */
  sha256: string;
  sizeBytes: number;
}

export interface StoredSummary {
  /** JSON, as it was written. */
  summary: string;
  file: ArchiveFile | null;
}

export interface StoredAttempt {
  index: number;
  attempt: number;
  agent: AgentId | null;
  disposition: number;
  outcome: number;
  blame: number;
  charge: number;
  /** −1: none. */
  exitCode: number;
  /** 0: none. */
  signal: number;
  startedAtMs: number;
  endedAtMs: number;
  notBeforeMs: number;
  cpuMs: number;
  memoryMaxBytes: number;
  readBytes: number;
  writtenBytes: number;
  tail: string | null;
  detail: string | null;
}

export interface StoredDecision {
  seq: number;
  atMs: number;
  kind: string;
  actor: ActorId;
  reason: string;
  value: number | string | null;
}

export interface ExperimentQuery {
  /** Only older ones. */
  before: ExperimentId | null;
  limit: number;
  /** `unfinished` stands for every state but the three final ones. */
  state: "COMPLETED" | "FAILED" | "CANCELED" | "unfinished" | null;
  project: string | null;
  name: string | null;
  /** Only those of these projects, and these; null: all. */
  visible: { projects: readonly number[]; experiments: readonly number[] } | null;
}

/** Everything but the states of single tasks, which need the dispatcher's fold over `load`. */
/** Run time of the completed tasks of one template. */
export interface StoredRunTime {
  template: number;
  medianMs: number;
  maxMs: number;
}

export interface StoredHistory {
  /** Newest first. */
  experiments(query: ExperimentQuery): Promise<StoredExperiment[]>;
  experiment(id: ExperimentId): Promise<StoredExperiment | undefined>;
  /** What never changes about it. */
  facts(id: ExperimentId): Promise<{ project: ProjectId; actor: ActorId } | undefined>;
  definition(id: ExperimentId): Promise<ExperimentDefinition | undefined>;
  /** What stays of an archived one; undefined for any other. */
  summary(id: ExperimentId): Promise<StoredSummary | undefined>;
  /** The file as it was sent, also of an archived one. */
  specText(id: ExperimentId): Promise<string | undefined>;
  /** Ended attempts of tasks `from … to` (inclusive), by index and attempt. */
  attempts(key: Omit<TaskKey, "index">, from: number, to: number): Promise<StoredAttempt[]>;
  /** Final ends that did not complete, of whatever template, newest first, at most `limit`. */
  failures(id: ExperimentId, limit: number): Promise<(StoredAttempt & { template: number })[]>;
  /** How long completed tasks ran, of each template that has some. */
  runTimes(id: ExperimentId): Promise<StoredRunTime[]>;
  /** In order of seq, beginning after `after`. */
  decisions(id: ExperimentId, after: number, limit: number): Promise<StoredDecision[]>;
  /** The number of a project. */
  project(name: string): Promise<ProjectId | undefined>;
  /** One experiment as the dispatcher would load it; null when there is none, or it is archived. */
  load(id: ExperimentId): Promise<LoadedState | null>;
}
