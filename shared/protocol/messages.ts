/**
 * Every message between agent and coordinator, one closed union per direction. Tasks travel in columns, grouped by
 * (experiment, template), so that a hundred of them cost their numbers and no more.
 * Rules: reports are idempotent by (task, attempt); the receiver of an unknown message answers with an error and goes on.
 */
import type { TemplateDefinition } from "../model/definition.ts";
import type { AgentId, ExperimentId } from "../model/ids.ts";
import type { Capacity } from "../model/requirement.ts";
import type { UpdatePhase } from "../model/update.ts";
import type { GpuFigures, TaskUsage } from "../model/usage.ts";

/** 2: `metrics`, `update`, storage bytes in ends. What came with a version is sent only to a peer that speaks it. */
export const PROTOCOL_VERSION = 2;
/** The oldest version that is still understood (N−1 tolerance). */
export const PROTOCOL_VERSION_OLDEST = 1;

/** Attempts of one template: `indexes[i]` with `attempts[i]`. */
export interface AttemptGroup {
  experiment: ExperimentId;
  template: number;
  indexes: number[];
  attempts: number[];
}

/** What an agent still holds when it says hello. */
export interface HeldGroup extends AttemptGroup {
  /** Per attempt: 0 not started, 1 running, 2 ended and not yet acknowledged. */
  phases: number[];
  /** From version 2 on: wall-clock milliseconds, 0 while not started. */
  startedAtMs?: number[];
}

/** What a lease of one template needs beyond its index; sent once per session. */
export interface LeasedTemplate {
  experimentName: string;
  project: string;
  /** Values of the experiment's declared parameters. */
  parameters: Record<string, string>;
  definition: TemplateDefinition;
  /** Names of all templates of the experiment by ordinal, for paths and references. */
  templateNames: string[];
  /** Output globs of the parents that are referenced: by ordinal, then by output name. */
  parentOutputs: Record<string, Record<string, string>>;
  /** True when `definition.inputs` was too large and every group carries `values` instead. */
  valuesPerLease: boolean;
}

export interface LeaseGroup extends AttemptGroup {
  /** Present the first time a session gets tasks of this template. */
  leased?: LeasedTemplate;
  /** Only with `valuesPerLease`: for each lease its input values by name. */
  values?: Record<string, string>[];
  /**
   * For each lease, per referenced parent (in the order of the distinct `references[].template`), the attempts whose
   * outputs count: one number for a `foreach` parent, one per index for a `needs` parent.
   */
  parents?: number[][][];
  /** Milliseconds of the class's median run time, 0 when unknown: decides on runner depth. */
  medianMs: number;
}

/** Ends in columns; sparse texts by position. */
export interface EndGroup extends AttemptGroup {
  /** `Outcome` codes: COMPLETED, FAILED, CANCELED or RELEASED. */
  outcomes: number[];
  /** `Blame` codes as the agent saw it. */
  blames: number[];
  /** Exit status, −1 when there is none. */
  exitCodes: number[];
  /** Signal number, 0 when there is none. */
  signals: number[];
  startedAtMs: number[];
  endedAtMs: number[];
  cpuMs: number[];
  memoryMaxBytes: number[];
  /** From version 2 on, and only where one of them is not 0: bytes from and to storage. */
  readBytes?: number[];
  writtenBytes?: number[];
  /** Last error output of failed ones, by position in this group. */
  tails?: Record<string, string>;
  /** A sentence on what went wrong, by position, where the codes do not say it all. */
  details?: Record<string, string>;
}

/** What running attempts use, a column per field of `TaskUsage`. */
export type UsageGroup = AttemptGroup & { [Field in keyof TaskUsage]: number[] };

export type ToAgent =
  | { type: "challenge"; version: number; versionOldest: number; nonce: string; timeline: number }
  | {
      type: "welcome";
      epoch: number;
      timeline: number;
      ttlMs: number;
      /** Held attempts that were superseded or are over: end them, publish nothing, forget them. */
      superseded: AttemptGroup[];
    }
  | { type: "leases"; groups: LeaseGroup[] }
  /** Final answer to reports: forget them. `refused` says why a report did not count. */
  | { type: "ack"; groups: AttemptGroup[]; refused?: { group: AttemptGroup; code: string; message: string }[] }
  /** Give back what has not been started. */
  | { type: "recall"; groups: AttemptGroup[] }
  | { type: "cancel"; groups: AttemptGroup[]; graceMs: number; reason: string }
  | { type: "drain"; reason: string }
  /** Answer to `renew`; `sentAtMs` is echoed: trust lasts until then + ttl − margin on the agent's own monotonic clock. */
  | { type: "renewed"; sentAtMs: number }
  /**
   * Asks for a part of a log or output file of an attempt; answered by chunks with the same request number, at most
   * `limit` bytes in all. With `follow` it stays open until `limit` bytes were sent or the attempt is over and all of it
   * was sent.
   */
  | { type: "read"; request: number; file: FileRequest; offset: number; limit: number; follow: boolean }
  | { type: "read_stop"; request: number }
  /** Asks which files belong to the outputs of these attempts. */
  | { type: "list"; request: number; group: AttemptGroup }
  /**
   * Asks for another program in place of this one: fetched from `path` of the agent's own server, taken when size and
   * checksum (hexadecimal SHA-256) are right. Asked again it is answered with where that stands. From version 2.
   */
  | { type: "update"; rollout: number; version: string; sha256: string; sizeBytes: number; path: string }
  | { type: "error"; code: string; message: string; reaction: Reaction };

/** What the other side must do about an error: reconnect with jitter, stop for good, enrol anew, or nothing. */
export type Reaction = "reconnect" | "stop" | "enrol" | "none";

/** A stream of an attempt, or a file below its directory. */
export type FileRequest = {
  experiment: ExperimentId;
  template: number;
  index: number;
  attempt: number;
} & ({ stream: "stdout" | "stderr" } | { path: string });

export interface ListedOutput {
  index: number;
  output: string;
  /** Relative to the attempt's directory. */
  path: string;
  sizeBytes: number;
}

export type FromAgent =
  | {
      type: "hello";
      version: number;
      agent: AgentId;
      name: string;
      /** Base64 Ed25519 signature of `helloProofText`. */
      proof: string;
      /** Version of the agent program. */
      program: string;
      hostname: string;
      /** Identity of its output root: equal roots see each other's files. */
      root: string;
      capacity: Capacity;
      /** How long the agent will still live (end of its allocation); null when nothing bounds it. */
      lastsMs: number | null;
      draining: boolean;
      held: HeldGroup[];
      /** `linux-x64`: what releases of its program are named by. From version 2; without it it knows no updates. */
      platform?: string;
    }
  /**
   * Credit: how many leases it takes beyond those that fit at once; −1: nothing at all, not even what fits (full disk,
   * runners away). Absolute, so a lost or repeated one does no harm.
   */
  | { type: "free"; ahead: number; lastsMs: number | null; draining: boolean }
  | { type: "renew"; sentAtMs: number }
  | { type: "started"; groups: (AttemptGroup & { startedAtMs: number[] })[] }
  | { type: "ended"; groups: EndGroup[] }
  /**
   * Samples, from version 2 on. Never repeated, never waited for: dropped where the socket is not empty. `node` in the order
   * of `NODE_FIGURES`; attempts that a sample does not name are not measured (any more).
   */
  | { type: "metrics"; atMs: number; node?: number[]; gpus?: GpuFigures[]; groups: UsageGroup[] }
  /** `total` is the size known so far; `end` closes the request; `missing` says that there is no such file. */
  | {
      type: "chunk";
      request: number;
      offset: number;
      data: Uint8Array;
      totalBytes: number;
      end: boolean;
      missing?: string;
    }
  | { type: "listed"; request: number; outputs: ListedOutput[]; problem?: string; end: boolean }
  /** How far an update is; the last one's outcome is told again after each welcome. From version 2. */
  | { type: "update_state"; rollout: number; version: string; phase: UpdatePhase; message: string }
  /** Holds nothing and leaves. */
  | { type: "goodbye"; reason: string }
  | { type: "error"; code: string; message: string; reaction: Reaction };

/** What the agent signs: bound to this coordinator's nonce, timeline and the agent's own identity. */
export function helloProofText(nonce: string, timeline: number, agent: number, name: string): string {
  return `airavata-hello-1\n${nonce}\n${timeline}\n${agent}\n${name}`;
}
