/**
 * The journal's records: all that is ever durable about work. A batch is one append, the next `(term, seq)`; it is
 * written whole or not at all and folded in the order submits, leases, ends, decisions. Columns, not objects per task.
 */
import type { ExperimentDefinition } from "../../shared/model/definition.ts";
import type { ActorId, AgentId, ExperimentId, ProjectId } from "../../shared/model/ids.ts";

/** Where a request came from: for the audit, which is written with the append; the journal itself does not keep it. */
export interface Origin {
  via: string;
  address: string | null;
  request: string | null;
}

export interface SubmitRecord {
  experiment: ExperimentId;
  project: ProjectId;
  actor: ActorId;
  definition: ExperimentDefinition;
  /** The file as it was sent, for people. */
  specText: string;
  /** Present when the client sent an Idempotency-Key. */
  idempotency: { key: string; bodyHash: string } | null;
  origin?: Origin | undefined;
}

/** Leases given to one session, of one template. */
export interface LeaseRecord {
  agent: AgentId;
  epoch: number;
  /** Output root of that agent. */
  root: string;
  experiment: ExperimentId;
  template: number;
  indexes: number[];
  attempts: number[];
}

/** Bytes from and to storage, columns of an `EndRecord`. */
export interface StorageColumns {
  readBytes: number[];
  writtenBytes: number[];
}

/** Ends of one template. All columns have the length of `indexes`. */
export interface EndRecord {
  experiment: ExperimentId;
  template: number;
  indexes: number[];
  attempts: number[];
  agents: number[];
  /** `Disposition` codes. */
  dispositions: number[];
  /** `Outcome` codes. */
  outcomes: number[];
  /** `Blame` codes. */
  blames: number[];
  /** `Charge` codes. */
  charges: number[];
  /** −1: none. */
  exitCodes: number[];
  /** 0: none. */
  signals: number[];
  /** Wall-clock ms before which a requeued task is not leased again; 0: at once. */
  notBeforeMs: number[];
  startedAtMs: number[];
  endedAtMs: number[];
  cpuMs: number[];
  memoryMaxBytes: number[];
  /** Absent where no attempt touched storage. */
  storage?: StorageColumns;
  /** Last error output, by position. */
  tails: Record<string, string>;
  /** What else is known, by position. */
  details: Record<string, string>;
}

export type DecisionKind = "cancel" | "pause" | "resume" | "priority" | "retry" | "ended";

/** What a person, or the system itself, decided about an experiment. */
export interface DecisionRecord {
  kind: DecisionKind;
  experiment: ExperimentId;
  actor: ActorId;
  /** Only these tasks; null: all. Ranges are inclusive. */
  scope: { template: number; ranges: [number, number][] }[] | null;
  /** Why, for people: `max_failures 10 reached`, `canceled by …`. */
  reason: string;
  /** New priority for `priority`; final state name for `ended`. */
  value: number | string | null;
  /** Only of `ended`: how its tasks ended, so that lists need not fold the past. */
  counts?: { completed: number; failed: number; canceled: number };
  origin?: Origin | undefined;
}

/** Changes of an experiment's durable counters by one batch. */
export interface CounterDelta {
  experiment: ExperimentId;
  leased: number;
  completed: number;
  failed: number;
  canceled: number;
  requeued: number;
}

export interface Batch {
  shard: number;
  term: number;
  seq: number;
  /** Wall-clock ms at which it was cut; for people, never compared. */
  atMs: number;
  submits: SubmitRecord[];
  leases: LeaseRecord[];
  ends: EndRecord[];
  decisions: DecisionRecord[];
  deltas: CounterDelta[];
}

export function emptyEnd(experiment: ExperimentId, template: number): EndRecord {
  return {
    experiment,
    template,
    indexes: [],
    attempts: [],
    agents: [],
    dispositions: [],
    outcomes: [],
    blames: [],
    charges: [],
    exitCodes: [],
    signals: [],
    notBeforeMs: [],
    startedAtMs: [],
    endedAtMs: [],
    cpuMs: [],
    memoryMaxBytes: [],
    tails: {},
    details: {},
  };
}
