/**
 * The state of the agent's pure core: one session, the leases it holds, and what of the machine is free. Only the core's
 * functions change it; whoever else holds it may read.
 */
import {
  DEFAULT_CPUS,
  DEFAULT_MEMORY_BYTES,
  DEFAULT_WALL_SECONDS,
  type SessionTiming,
  sessionTiming,
} from "../../shared/model/constants.ts";
import type { AgentId } from "../../shared/model/ids.ts";
import type { Capacity, Quantities, Requirement } from "../../shared/model/requirement.ts";
import type { LeasedTemplate } from "../../shared/protocol/messages.ts";
import type { AttemptEnd } from "../report/end.ts";
import type { RunnableAttempt } from "../run/attempt.ts";
import type { AgentMutations } from "./mutations.ts";

/** Where a lease stands at this agent. */
export const LeasePhase = {
  /** In the queue. Prepared as soon as few enough others are. */
  HELD: 0,
  /** Its directory is being made. `prepared` or `prepare_failed` moves it on. */
  PREPARING: 1,
  /** Started as soon as lane and resources are free and the session is trusted. */
  PREPARED: 2,
  /** With its runner, started or queued in the lane. The runner's records move it on, also past a death of this process. */
  RUNNING: 3,
  /** The process is over, its outputs are looked at. `ended` moves it on. */
  EXITED: 4,
  /** Its end is known and in the outbox. The coordinator's acknowledgement moves it on. */
  ENDED: 5,
  /** Forgotten: acknowledged, refused or superseded. Nothing moves it on, only stale references see it. */
  OVER: 6,
} as const;
export type LeasePhase = (typeof LeasePhase)[keyof typeof LeasePhase];

/** Why a lease that cannot be ended at once will not be reported as it ends. */
export type Doom = "superseded" | "canceled" | "released";

/** What leases of one template have in common. */
export interface HeldTemplate {
  /** Undefined for what was adopted from a former process. */
  leased: LeasedTemplate | undefined;
  need: Requirement;
  /** Milliseconds of the class's usual run time: the coordinator's median, our own average until it knows; 0 when unknown. */
  medianMs: number;
}

export interface Lease extends RunnableAttempt {
  readonly of: HeldTemplate;
  lane: number;
  devices: readonly number[];
  phase: LeasePhase;
  doom: Doom | undefined;
  /** Why it is being taken back from its lane, while it is. */
  recalledFor: "released" | "trust" | undefined;
  /** Wall-clock milliseconds; 0 until the runner said so. */
  startedAtMs: number;
  /** Starts that went past it although it was prepared earlier. */
  passed: number;
  end: AttemptEnd | undefined;
}

/** One runner process: what runs there and what waits behind it, always of the same template. */
export interface Lane {
  running: Lease | undefined;
  waiting: Lease[];
}

export type SessionPhase =
  /** `adopted` has not come yet. */
  | "new"
  /** A socket was asked for, is being opened, or is open and the challenge is awaited. */
  | "connecting"
  /** Hello was sent; welcome is awaited. */
  | "hello"
  /** Leases, reports and renewals flow. */
  | "ready"
  /** `exit` was given out; nothing happens any more. */
  | "over";

export interface CoreOptions {
  agent: AgentId;
  name: string;
  /** Version of the agent program. */
  program: string;
  /** What releases of it for this machine are named by: `linux-x64`. */
  platform: string;
  hostname: string;
  root: string;
  capacity: Capacity;
  /** Most tasks that run at once: one runner each. */
  lanesMax: number;
  /** Numbers of the gpus, as many as `capacity.gpus`. */
  gpuDevices: number[];
  /** Wall-clock milliseconds at which the allocation ends; null when nothing bounds it. */
  lastsUntilMs: number | null;
  /** Longest time between two requests for work on a quiet session. */
  pollIntervalMs: number;
  /** The history that held attempts belong to, as last remembered; 0 for a new agent. */
  timeline: number;
  /** Uniform in [0, 1). */
  random: () => number;
  mutations: AgentMutations;
}

export interface AgentState {
  readonly options: CoreOptions;
  /** Monotonic milliseconds of the next `tick` that matters; Infinity when none does. */
  wakeAtMono: number;

  session: SessionPhase;
  /** Number of the current or awaited socket. */
  connection: number;
  /** Failed connections since the last welcome. */
  failures: number;
  epoch: number;
  timeline: number;
  timing: SessionTiming;
  /** What both sides of this connection understand. */
  version: number;
  /** Attempts of a former history that are still being ended; the timeline is remembered when none is left. */
  former: Set<string> | undefined;
  /** Timeline named by the challenge of this connection. */
  challengedTimeline: number;
  helloSentMono: number;
  /** Monotonic ms until which leases may be counted on: last answered renewal sent + ttl − margin. */
  trustedUntilMono: number;
  renewSentMono: number;
  renewDueMono: number;
  /** When something last came from the coordinator, or the connection was asked for. */
  heardMono: number;
  /** Wall minus monotonic clock at the last event: a jump means that the machine slept. */
  clockOffset: number;
  /** When such a jump was last seen: what was sent before it says nothing about the time that was slept through. */
  jumpedMono: number;
  /** True between losing trust and the first renewal after it, so that the loss is acted on once. */
  mistrusted: boolean;

  hold: string | null;
  draining: string | null;
  /** Set for good when the coordinator said so; until then what it held is being ended. */
  revoked: { message: string; untilMono: number } | null;
  /** Templates this session has sent, by `experiment.template`; leases of them carry only their index. */
  templates: Map<string, HeldTemplate>;
  /** Every lease, by key. */
  leases: Map<string, Lease>;
  /** HELD leases in order of arrival; entries that moved on are skipped. */
  held: Lease[];
  heldHead: number;
  heldCount: number;
  preparing: number;
  /** PREPARED leases in order. */
  ready: Lease[];
  endedCount: number;
  lanes: Lane[];
  /** Numbers of lanes that run nothing; the latest is taken first, its runner is warm. */
  idleLanes: number[];
  runningCount: number;
  free: Quantities;
  devicesFree: number[];

  /** Started and not told to this session yet. */
  toldStarts: Lease[];
  /** Ended and not told to this session yet. */
  toldEnds: Lease[];
  endsSentMono: number;
  startsSentMono: number;
  /** The socket was full at the last turn. */
  congested: boolean;
  toPersist: AttemptEnd[];

  /** Template of the latest lease: its requirement is what a slot is counted in. */
  typical: HeldTemplate;
  /** Ends per second, smoothed. */
  rate: number;
  rateSinceMono: number;
  rateEnds: number;
  creditSent: number;
  creditSentMono: number;
  creditDrainingSent: boolean;
}

/** What a free slot is counted in until the first lease comes. */
const SILENT_REQUIREMENT: Requirement = {
  cpus: DEFAULT_CPUS,
  memoryBytes: DEFAULT_MEMORY_BYTES,
  gpus: 0,
  vramBytes: 0,
  diskBytes: 0,
  custom: {},
  labels: {},
  wallSeconds: DEFAULT_WALL_SECONDS,
};

/** A new core. Its first event must be `adopted`. */
export function createAgentState(options: CoreOptions): AgentState {
  const { capacity } = options;
  return {
    options,
    wakeAtMono: Number.POSITIVE_INFINITY,
    session: "new",
    connection: 0,
    failures: 0,
    epoch: 0,
    timeline: options.timeline,
    timing: sessionTiming(),
    version: 0,
    former: undefined,
    challengedTimeline: 0,
    helloSentMono: 0,
    trustedUntilMono: Number.NEGATIVE_INFINITY,
    renewSentMono: Number.NEGATIVE_INFINITY,
    renewDueMono: Number.POSITIVE_INFINITY,
    heardMono: 0,
    clockOffset: Number.NaN,
    jumpedMono: Number.NEGATIVE_INFINITY,
    mistrusted: true,
    hold: null,
    draining: null,
    revoked: null,
    templates: new Map(),
    leases: new Map(),
    held: [],
    heldHead: 0,
    heldCount: 0,
    preparing: 0,
    ready: [],
    endedCount: 0,
    lanes: [],
    idleLanes: [],
    runningCount: 0,
    free: {
      cpus: capacity.cpus,
      memoryBytes: capacity.memoryBytes,
      gpus: capacity.gpus,
      vramBytes: capacity.vramBytes,
      diskBytes: capacity.diskBytes,
      custom: { ...capacity.custom },
    },
    devicesFree: [...options.gpuDevices],
    toldStarts: [],
    toldEnds: [],
    endsSentMono: Number.NEGATIVE_INFINITY,
    startsSentMono: Number.NEGATIVE_INFINITY,
    congested: false,
    toPersist: [],
    typical: { leased: undefined, need: SILENT_REQUIREMENT, medianMs: 0 },
    rate: 0,
    rateSinceMono: Number.NaN,
    rateEnds: 0,
    creditSent: Number.NaN,
    creditSentMono: Number.NEGATIVE_INFINITY,
    creditDrainingSent: false,
  };
}

/** Whether an attempt is held and its process has not started yet. */
export function isPending(state: AgentState, key: string): boolean {
  const lease = state.leases.get(key);
  return lease !== undefined && lease.phase <= LeasePhase.RUNNING && lease.startedAtMs === 0;
}
