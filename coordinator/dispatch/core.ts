/**
 * The pure core's state, events and effects. `step(core, event, now)` (step.ts) changes the core and returns effects; it
 * does no I/O, reads no clock and has no randomness of its own, so that production, unit tests and the simulation run
 * the same thing. What is durable is in `ledger`; the rest is the floor and can be thrown away at any moment.
 */
import { FAIR_SHARE_HALF_LIFE_MS, LEADERSHIP_LEASE_MS, type SessionTiming } from "../../shared/model/constants.ts";
import type { AgentId, ExperimentId, ProjectId } from "../../shared/model/ids.ts";
import type { Capacity, Quantities } from "../../shared/model/requirement.ts";
import type { SessionState } from "../../shared/model/states.ts";
import type { FromAgent, ToAgent } from "../../shared/protocol/messages.ts";
import type { Batch } from "./batch.ts";
import { drawConclusions } from "./conclusions.ts";
import type { DecisionRequest, SubmitRequest } from "./contract.ts";
import { Classes, type Shape, type TaskClass } from "./floor/classes.ts";
import type { Cut } from "./floor/gather.ts";
import { Heap } from "./floor/heap.ts";
import { Projects } from "./floor/projects.ts";
import type { Reservation } from "./floor/reserve.ts";
import { restoreFloor } from "./floor/restore.ts";
import { type RestoredProjects, restoreProjects } from "./floor/usage.ts";
import type { ExperimentLedger, Ledger, TemplateLedger } from "./ledger/ledger.ts";
import type { LoadedState } from "./load.ts";
import type { Mutations } from "./mutations.ts";
import type { Now } from "./ports.ts";
import type { ProjectConfig } from "./project.ts";

/** A connection as the core names it; a number given by the shell, rising in the order in which they were opened. */
export type Peer = number;

export type CoreEvent =
  | { type: "submit"; request: number; submit: SubmitRequest }
  | { type: "decide"; request: number; decision: DecisionRequest }
  /** `serves`: the one project whose tasks this agent may see; null or left out: all of them. */
  | { type: "hello"; peer: Peer; hello: Extract<FromAgent, { type: "hello" }>; serves?: ProjectId | null }
  | { type: "message"; peer: Peer; message: FromAgent }
  | { type: "disconnected"; peer: Peer }
  | { type: "drain"; agent: AgentId; reason: string }
  /** Its identity was revoked; `message` is for whoever still uses it. */
  | { type: "revoke"; agent: AgentId; message: string }
  /** The append of this seq was answered. */
  | { type: "committed"; seq: number }
  | { type: "leadership"; untilMono: number }
  /** Weights and limits as the database has them; those that it names no more stay as they were. */
  | { type: "projects"; configs: ProjectConfig[] }
  /** An ended experiment is back in memory because somebody decides about it. */
  | { type: "revive"; experiment: ExperimentLedger }
  | { type: "tick" };

export type Effect =
  /** Exactly one is outstanding at a time. */
  | { type: "append"; batch: Batch }
  | { type: "send"; peer: Peer; message: ToAgent }
  | { type: "close"; peer: Peer; reason: string }
  | { type: "reply"; request: number; result: Reply }
  | { type: "committed"; batch: Batch; changed: ExperimentId[] }
  /** An agent claims what is another one's: its key or its state may be in other hands. Nothing came of it. */
  | { type: "forged"; agent: AgentId; message: string }
  /** This reign must end; nothing the core says from here on counts. */
  | { type: "resign"; reason: string };

export type Reply =
  | { ok: "submitted"; experiment: ExperimentId; replayed: boolean }
  | { ok: "decided"; affected: number }
  | { error: "experiment_not_found"; message: string }
  | { error: "experiment_state_conflict"; message: string }
  | { error: "idempotency_key_reused"; message: string };

/** A task that is with an agent, or on its way there: not to be leased to anyone else. */
export interface Held {
  readonly template: TemplateLedger;
  readonly index: number;
  readonly attempt: number;
  readonly floor: AgentFloor;
  readonly class: TaskClass;
  /** Leased beyond what fits at once; not counted against `free`. */
  ahead: boolean;
  /** The lease is durable. */
  committed: boolean;
  /** An end was gathered; its commit removes this entry. */
  ending: boolean;
  /** That end is its agent's own report; without it the report may still come. */
  reported: boolean;
  /**
   * The lease ran out and the task is QUEUED, but the agent is back and still has it: nobody else gets it while that
   * session lives, and its report is the latest attempt's.
   */
  ghost: boolean;
  /** Phase as last reported, index into PHASE_NAMES; set by `setPhase`. */
  phase: number;
  /** Wall-clock ms at which its agent says that it started; 0 until it does. */
  startedAtMs: number;
  /** Cpu-seconds that it counts for while it is held; kept by floor/meter.ts alone, as is the next. */
  expected: number;
  /** Monotonic ms since when its run is counted; null while it is not. */
  meteredMono: number | null;
}

/** What the dispatcher knows of one agent in this reign. */
export interface AgentFloor {
  readonly agent: AgentId;
  name: string;
  program: string;
  hostname: string;
  root: string;
  state: SessionState;
  epoch: number;
  peer: Peer | null;
  /** Latest connection that said hello: an older one that comes after it was overtaken. */
  peerLast: Peer;
  /** Monotonic ms until which its leases are good. */
  deadlineMono: number;
  /** Wall-clock ms since which it is lost; null while it is not. A takeover knows it too: see `absences` of the loaded state. */
  awaySinceWall: number | null;
  seenAtWall: number;
  capacity: Capacity;
  free: Quantities;
  /** Credit as last stated. */
  ahead: number;
  aheadUsed: number;
  lastsUntilMono: number | null;
  readonly held: Set<Held>;
  /** Ahead leases in order, to be counted when room comes. */
  readonly aheadQueue: Held[];
  /** Templates whose definition this session has. Weak: a session of weeks must not keep every experiment it ever saw. */
  sent: WeakSet<TemplateLedger>;
  /** Whether a shape fits it when idle. */
  suits: WeakMap<Shape, boolean>;
  /** The one project that it serves; null: all. */
  serves: ProjectId | null;
}

export interface CoreConfig {
  shard: number;
  term: number;
  timeline: number;
  timing: SessionTiming;
  infrastructureRetries: number;
  /** Half-life of what a project used; FAIR_SHARE_HALF_LIFE_MS when left out. */
  shareHalfLifeMs?: number | undefined;
  /** Uniform in [0, 1). */
  random: () => number;
  mutations: Mutations;
}

export interface Core {
  readonly config: CoreConfig;
  readonly ledger: Ledger;
  readonly classes: Classes;
  readonly projects: Projects;
  /** The agent that is kept free for a class that needs more room than it ever finds. */
  reserved: Reservation | null;
  /** Of the event that is handled. */
  now: Now;
  readonly held: Map<number, Held>;
  /** Held tasks that their agent said to have started, by experiment; kept by floor/hold.ts alone. For people only. */
  readonly running: Map<ExperimentId, number>;
  readonly agents: Map<AgentId, AgentFloor>;
  readonly peers: Map<Peer, AgentFloor>;
  /** Revoked in this reign: a hello whose key was looked up before is refused. */
  readonly revoked: Set<AgentId>;
  /** With which agent a QUEUED task's latest attempt was lost; see trust.ts. */
  readonly lost: WeakMap<TemplateLedger, Map<number, AgentId>>;
  /** QUEUED tasks that wait for their backoff, and when each is due; entries of `due` that say another time are stale. */
  readonly backing: Map<number, number>;
  readonly due: Heap<{ dueMono: number; template: TemplateLedger; index: number }>;
  /** Submits that are gathered but not committed, by idempotency key. */
  readonly submitting: Map<string, { bodyHash: string; experiment: ExperimentId; waiters: number[] }>;
  /**
   * Experiments that were submitted and are not committed yet. Their tasks are placed at once, so that a submit to an idle
   * system and its first leases are one append; nobody hears of either before the commit.
   */
  readonly incoming: Map<ExperimentId, ExperimentLedger>;
  /** Experiments with an uncommitted decision: nothing of theirs is leased meanwhile. */
  readonly deciding: Map<ExperimentId, number>;
  /** Cuts that wait for the journal; the first is being gathered into when it is the only one. */
  readonly gathered: Cut[];
  inflight: Cut | null;
  /** Highest experiment id given, durable or not. */
  experimentLast: number;
  epochLast: number;
  leadUntilMono: number;
  /** Until then agents may go on with attempts that a former reign took for lost and allowed them to keep. */
  formerUntilMono: number;
  lastTickMono: number;
  /** Of the step under way. */
  nowMono: number;
  /** Wall minus monotonic clock at the last event: what the machine slept through shows in it alone. */
  clockOffsetMs: number;
  figures: Figures;
}

/** Counters of this reign, for /metrics. */
export interface Figures {
  leases: number;
  ends: number;
  expired: number;
  stale: number;
  /** Claims of agents to what is not theirs. */
  forged: number;
  appends: number;
}

/** Epochs of a term start above all of earlier terms without a write per session. */
const EPOCHS_PER_TERM = 2 ** 32;

/** A core over a loaded ledger. Every open lease counts as held until ttl + the leadership lease from now. */
export function createCore(
  config: CoreConfig,
  ledger: Ledger,
  leadUntilMono: number,
  now: Now,
  restored?: RestoredProjects,
  absences: LoadedState["absences"] = [],
): Core {
  const projects = new Projects(config.shareHalfLifeMs ?? FAIR_SHARE_HALF_LIFE_MS);
  const core: Core = {
    config,
    ledger,
    classes: new Classes(projects),
    projects,
    reserved: null,
    now,
    held: new Map(),
    agents: new Map(),
    peers: new Map(),
    revoked: new Set(),
    lost: new WeakMap(),
    running: new Map(),
    backing: new Map(),
    due: new Heap((a, b) => a.dueMono < b.dueMono),
    submitting: new Map(),
    incoming: new Map(),
    deciding: new Map(),
    gathered: [],
    inflight: null,
    experimentLast: ledger.experimentMax,
    epochLast: config.term * EPOCHS_PER_TERM,
    leadUntilMono,
    formerUntilMono: now.mono + graceAfterTakeoverMs(config),
    lastTickMono: now.mono,
    nowMono: now.mono,
    clockOffsetMs: now.wall - now.mono,
    figures: { leases: 0, ends: 0, expired: 0, stale: 0, forged: 0, appends: 0 },
  };
  restoreProjects(core, restored, now);
  restoreFloor(core, now);
  for (const { agent, sinceMs } of absences ?? []) {
    const floor = core.agents.get(agent);
    if (floor) floor.awaySinceWall = sinceMs;
  }
  for (const id of ledger.experiments.keys()) drawConclusions(core, id);
  return core;
}

/** How long leases found in the journal count as held by an agent that has not been heard of yet. */
export function graceAfterTakeoverMs(config: CoreConfig): number {
  return config.timing.ttlMs + LEADERSHIP_LEASE_MS;
}
