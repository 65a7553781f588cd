/**
 * What the rest of the coordinator sees of the dispatcher: one object that submits, decides, attaches agents, answers
 * what is in memory, and tells what was committed. Behind it stand the pure core and the journal. While this process
 * does not lead, every call that needs leadership rejects with code `not_leading` (503, Retry-After).
 */
import type { ExperimentDefinition } from "../../shared/model/definition.ts";
import type { ActorId, AgentId, ExperimentId, ProjectId } from "../../shared/model/ids.ts";
import type { Capacity } from "../../shared/model/requirement.ts";
import type { ExperimentState, PhaseName, SessionState, TaskStateName } from "../../shared/model/states.ts";
import type { FromAgent, ToAgent } from "../../shared/protocol/messages.ts";
import type { Batch, DecisionKind, DecisionRecord, Origin } from "./batch.ts";
import type { LoopFigures, QueueDepth } from "./loop.ts";
import type { ProjectConfig, ProjectView } from "./project.ts";

export interface SubmitRequest {
  project: ProjectId;
  actor: ActorId;
  definition: ExperimentDefinition;
  specText: string;
  /** `bodyHash` tells a repeated request from another one with the same key. */
  idempotency: { key: string; bodyHash: string } | null;
  origin?: Origin | undefined;
}

export interface DecisionRequest {
  kind: Exclude<DecisionKind, "ended">;
  experiment: ExperimentId;
  actor: ActorId;
  /** null: the whole experiment; for `retry` that means its failed tasks and those canceled because of them. */
  scope: DecisionRecord["scope"];
  reason: string;
  value: number | null;
  origin?: Origin | undefined;
}

/** Numbers of tasks by state; they add up to `total`. */
export interface TaskCounts {
  total: number;
  waiting: number;
  queued: number;
  leased: number;
  completed: number;
  failed: number;
  canceled: number;
}

export interface ExperimentView {
  experiment: ExperimentId;
  project: ProjectId;
  actor: ActorId;
  definition: ExperimentDefinition;
  priority: number;
  state: ExperimentState;
  submittedAtMs: number;
  endedAtMs: number | null;
  counts: TaskCounts;
  /** Tasks that their agents said to have started; the other leased ones are on their way or held ahead. */
  running: number;
  templates: { name: string; counts: TaskCounts }[];
}

export type UnfinishedExperiment = Pick<ExperimentView, "experiment" | "project" | "actor" | "state" | "submittedAtMs">;

export interface TaskView {
  template: number;
  index: number;
  state: TaskStateName;
  /** Latest attempt given, 0 when none; for a COMPLETED task the one that counts. */
  attempt: number;
  /** Tries charged to the user's budget and to the site's. */
  triedUser: number;
  triedInfrastructure: number;
  /** The agent that holds or last held it in this reign's memory. */
  agent: AgentId | null;
  phase: PhaseName | null;
  /** When the attempt that is held started, as its agent says; null when it has not, or has not said so yet. */
  startedAtMs: number | null;
  notBeforeMs: number | null;
}

export interface AgentView {
  agent: AgentId;
  name: string;
  state: SessionState;
  epoch: number;
  program: string;
  hostname: string;
  root: string;
  capacity: Capacity;
  free: { cpus: number; memoryBytes: number; gpus: number; diskBytes: number };
  leases: number;
  ahead: number;
  lastsMs: number | null;
  /** Wall-clock ms of the last renewal or other message. */
  seenAtMs: number;
  /** Since when it is lost, wall-clock ms; null while it is not. */
  awaySinceMs: number | null;
}

/** One reason, ready for people: a stable code and a sentence with both sides. */
export interface Reason {
  code: string;
  message: string;
  data?: Record<string, unknown>;
}

/** Numbers of the agents and projects that somebody may see; null: all of them. */
export interface Seen {
  agents: ReadonlySet<string> | null;
  projects: ReadonlySet<string> | null;
}

/** The connection of an agent as the core sees it; `send` never blocks and never throws. */
export interface AgentPeer {
  /**
   * Rises in the order in which this process accepted connections: keys are looked up in between, and the hello of an
   * older connection that comes through last must not take the session from a newer one.
   */
  readonly number: number;
  send(message: ToAgent): void;
  /** Ends the connection after what was sent. */
  close(reason: string): void;
}

/** What the socket layer does with an attached agent. */
export interface AgentSession {
  /** Every message after hello, in order. */
  receive(message: FromAgent): void;
  /** The connection is gone; leases live on until they run out. */
  disconnected(): void;
}

export interface Leadership {
  leading: boolean;
  term: number;
  timeline: number;
  /** Last committed seq. */
  seq: number;
  /** A sentence: what it waits for, or since when it leads. */
  detail: string;
}

/** What was committed, for watchers; delivered in order of seq, after the fact. */
export interface Committed {
  timeline: number;
  batch: Batch;
  /** Experiments whose counters or state changed. */
  changed: ExperimentId[];
}

export interface Dispatcher {
  leadership(): Leadership;
  submit(request: SubmitRequest): Promise<{ experiment: ExperimentId; replayed: boolean }>;
  /** Rejects with `experiment_not_found`, or `experiment_state_conflict` naming both states. */
  decide(request: DecisionRequest): Promise<{ affected: number }>;
  /**
   * A proven hello: registers the session (a new epoch) and answers welcome through the peer. `serves`: the one project
   * whose tasks the agent may see, null for all.
   */
  attach(hello: Extract<FromAgent, { type: "hello" }>, peer: AgentPeer, serves: ProjectId | null): AgentSession;
  /** Asks an agent to finish what it holds and take nothing new. */
  drain(agent: AgentId, reason: string): void;
  /**
   * Its identity was revoked: whatever session it has ends at once, what it holds is given to others. Nothing happens in a
   * process that does not lead: whoever does looks for those that were revoked.
   */
  revoke(agent: AgentId, message: string): void;
  /** Called when an agent claims what is another one's; returns the function that stops it. */
  onForged(listener: (agent: AgentId, message: string) => void): () => void;
  /** Only what is in memory: every unfinished experiment and recently ended ones. */
  experiment(id: ExperimentId): ExperimentView | undefined;
  /** Every experiment of these projects that has not ended. Throws `not_leading`. */
  unfinished(projects: ReadonlySet<ProjectId>): UnfinishedExperiment[];
  tasks(id: ExperimentId, template: number, from: number, to: number): TaskView[];
  /** Why a task is where it is, most important reason first; what is not seen is not named. */
  explain(id: ExperimentId, template: number, index: number, seen: Seen): Reason[];
  agents(): AgentView[];
  /** Weights and limits as the database has them; they hold from now on. Throws `not_leading`. */
  configure(configs: ProjectConfig[]): void;
  /** Every project that was configured or has work, as it stands now. Throws `not_leading`. */
  projects(): ProjectView[];
  /** Figures for /metrics. */
  figures(): Record<string, number>;
  /** Of the loop itself, over all reigns of this process. */
  loop(): LoopFigures;
  /** Queued tasks by class, deepest first. */
  queues(): QueueDepth[];
  /**
   * Takes ended experiments out of memory so that they can be archived under this `term`; until `done` is called nobody
   * decides about them. Returns which: not those that are unfinished or that somebody decides about. Rejects with
   * `not_leading`.
   */
  retire(ids: readonly ExperimentId[]): { term: number; ids: ExperimentId[]; done(): void };
  /** Resolves when everything committed so far is folded into a checkpoint. Rejects with `not_leading`, or why it failed. */
  checkpoint(): Promise<void>;
  /** Called for every committed batch of this reign; returns the function that stops it. */
  subscribe(listener: (committed: Committed) => void): () => void;
  /** Called when leadership begins or ends. */
  onLeadership(listener: (leadership: Leadership) => void): () => void;
  /** Hands leadership over and stops; resolves when the last append was answered. */
  stop(): Promise<void>;
}
