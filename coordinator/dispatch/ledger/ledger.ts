/**
 * The durable state of unfinished work, in memory: what the journal says and nothing else. It changes only by folding
 * committed batches (fold.ts), in production, in replay and in tests alike; sessions, queues and decisions that are not
 * committed yet live on the floor (../floor). A task that only waits costs 7 bytes here.
 */
import { CHECKPOINT_CHUNK_TASKS, TEMPLATE_TASKS_MAX } from "../../../shared/model/constants.ts";
import {
  type ExperimentDefinition,
  isPinnedToOneRoot,
  type TemplateDefinition,
} from "../../../shared/model/definition.ts";
import type { ActorId, AgentId, ExperimentId, ProjectId } from "../../../shared/model/ids.ts";
import { type ExperimentState, TASK_STATE_NAMES, TASK_TRANSITIONS, TaskState } from "../../../shared/model/states.ts";
import type { CounterDelta } from "../batch.ts";

/** What must never happen did: the reign ends and the state is loaded again rather than guessed. */
export class BrokenInvariant extends Error {
  override name = "BrokenInvariant";
}

/** One byte per task: the state in the low three bits, and five marks. */
const STATE_MASK = 7;
/** A LEASED task that was canceled: whatever its attempt comes to, it is not queued again. */
export const CANCELING = 8;
/** A CANCELED task that fell because of others' failures (a need, max_failures): retrying those reopens it. */
export const BECAUSE = 16;
/** The end of the latest attempt stands in the journal as its agent reported it: another report of it is a repetition. */
export const REPORTED = 32;
/** A person retried the task after its latest attempt: what that attempt still reports does not count any more. */
export const RETRIED = 64;
/** The agent of the latest attempt said that it does not have it: no report of it can come. */
export const NOT_HELD = 128;
/** Marks that are about the latest attempt: they stay until the next one is given. */
const ATTEMPT_MARKS = REPORTED | RETRIED | NOT_HELD;
/** With one of these nothing that the latest attempt may still report counts as a new end. */
export const SETTLED = ATTEMPT_MARKS;

/** One task of a template as a number that is unique in this process: `base + index`, index below 2^24. */
const TEMPLATE_SPAN = 2 ** 24;
if (TEMPLATE_TASKS_MAX > TEMPLATE_SPAN) throw new Error("an index must fit 24 bits");

/** Where the running attempt of a LEASED task is. Shared by all tasks of one lease record. */
export interface OpenLease {
  agent: AgentId;
  epoch: number;
  root: string;
  sinceMs: number;
}

export interface TemplateLedger {
  readonly experiment: ExperimentLedger;
  readonly definition: TemplateDefinition;
  readonly ordinal: number;
  readonly count: number;
  /** First task number; not durable, only unique in this process. */
  readonly base: number;
  readonly states: Uint8Array;
  /** Latest attempt given: the fence. */
  readonly attempts: Uint32Array;
  readonly triedUser: Uint8Array;
  readonly triedInfrastructure: Uint8Array;
  /** Tasks by state; kept by `setState` alone. */
  readonly counts: Int32Array;
  readonly leases: Map<number, OpenLease>;
  /** Wall-clock ms before which a QUEUED task is not leased. */
  readonly notBefore: Map<number, number>;
  /** Templates that wait for this one. */
  readonly children: { template: TemplateLedger; kind: "foreach" | "needs" }[];
  /** Chunks changed since the last checkpoint, one byte each. */
  readonly dirty: Uint8Array;
}

export interface ExperimentLedger {
  readonly id: ExperimentId;
  readonly project: ProjectId;
  readonly actor: ActorId;
  readonly definition: ExperimentDefinition;
  /** Time of the batch that it was committed with. */
  submittedAtMs: number;
  readonly templates: TemplateLedger[];
  /** Parents before children. */
  readonly topological: TemplateLedger[];
  /** All its tasks run where one output root is. */
  readonly pinned: boolean;
  /** Durable counters, folded from the journal's deltas. */
  readonly counted: Omit<CounterDelta, "experiment">;
  priority: number;
  paused: boolean;
  /** Root of the first lease, when pinned. */
  root: string | null;
  /** Not durable: the root of a first lease that was decided and is not committed yet; equal to `root` after that. */
  rootDecided: string | null;
  /** Tasks not in a final state. */
  open: number;
  /** Failed tasks that were left as they are by the last retry: max_failures does not count them again. */
  forgiven: number;
  /** When the `ended` decision was committed; null while it runs. */
  endedAtMs: number | null;
  /** Not durable: the system has canceled the rest after max_failures; set again after a takeover, which does no harm. */
  failuresHandled: boolean;
  /** Something beside tasks changed since the last checkpoint. */
  dirty: boolean;
}

export interface Ledger {
  readonly experiments: Map<ExperimentId, ExperimentLedger>;
  /** `actor key` → what it submitted. */
  readonly idempotency: Map<string, { bodyHash: string; experiment: ExperimentId; atMs: number }>;
  /** Highest experiment id that is durable. */
  experimentMax: number;
  /** Last folded seq. */
  seq: number;
}

export function emptyLedger(): Ledger {
  return { experiments: new Map(), idempotency: new Map(), experimentMax: 0, seq: 0 };
}

export function idempotencyKey(actor: ActorId, key: string): string {
  return `${actor} ${key}`;
}

let serial = 0;

/** A new experiment with every task WAITING or QUEUED. */
export function createExperiment(
  id: ExperimentId,
  project: ProjectId,
  actor: ActorId,
  definition: ExperimentDefinition,
  submittedAtMs: number,
): ExperimentLedger {
  const templates: TemplateLedger[] = [];
  const experiment: ExperimentLedger = {
    id,
    project,
    actor,
    definition,
    submittedAtMs,
    templates,
    topological: [],
    pinned: isPinnedToOneRoot(definition),
    counted: { leased: 0, completed: 0, failed: 0, canceled: 0, requeued: 0 },
    priority: definition.priority,
    paused: false,
    root: null,
    rootDecided: null,
    open: 0,
    forgiven: 0,
    endedAtMs: null,
    failuresHandled: false,
    dirty: true,
  };
  for (const template of definition.templates) templates.push(createTemplate(experiment, template));
  for (const template of templates) {
    for (const parent of template.definition.foreach)
      templateAt(experiment, parent).children.push({ template, kind: "foreach" });
    for (const parent of template.definition.needs)
      templateAt(experiment, parent).children.push({ template, kind: "needs" });
  }
  experiment.topological.push(...topologicalOrder(templates));
  return experiment;
}

function createTemplate(experiment: ExperimentLedger, definition: TemplateDefinition): TemplateLedger {
  const count = definition.count;
  const initial = definition.foreach.length + definition.needs.length === 0 ? TaskState.QUEUED : TaskState.WAITING;
  const counts = new Int32Array(TASK_STATE_NAMES.length);
  counts[initial] = count;
  experiment.open += count;
  const states = new Uint8Array(count);
  if (initial !== 0) states.fill(initial);
  return {
    experiment,
    definition,
    ordinal: definition.ordinal,
    count,
    base: serial++ * TEMPLATE_SPAN,
    states,
    attempts: new Uint32Array(count),
    triedUser: new Uint8Array(count),
    triedInfrastructure: new Uint8Array(count),
    counts,
    leases: new Map(),
    notBefore: new Map(),
    children: [],
    dirty: new Uint8Array(Math.ceil(count / CHECKPOINT_CHUNK_TASKS)),
  };
}

function topologicalOrder(templates: TemplateLedger[]): TemplateLedger[] {
  const missing = templates.map((t) => t.definition.foreach.length + t.definition.needs.length);
  const order = templates.filter((_, i) => missing[i] === 0);
  for (let i = 0; i < order.length; i++) {
    for (const child of (order[i] as TemplateLedger).children) {
      const ordinal = child.template.ordinal;
      missing[ordinal] = (missing[ordinal] as number) - 1;
      if (missing[ordinal] === 0) order.push(child.template);
    }
  }
  if (order.length !== templates.length) throw new BrokenInvariant("an experiment with a cycle was accepted");
  return order;
}

export function templateAt(experiment: ExperimentLedger, ordinal: number): TemplateLedger {
  const template = experiment.templates[ordinal];
  if (!template) throw new BrokenInvariant(`experiment ${experiment.id} has no template ${ordinal}`);
  return template;
}

export function stateOf(template: TemplateLedger, index: number): TaskState {
  return ((template.states[index] as number) & STATE_MASK) as TaskState;
}

export function isMarked(template: TemplateLedger, index: number, mark: number): boolean {
  return ((template.states[index] as number) & mark) !== 0;
}

export function mark(template: TemplateLedger, index: number, bits: number): void {
  template.states[index] = (template.states[index] as number) | bits;
  touch(template, index);
}

export function unmark(template: TemplateLedger, index: number, bits: number): void {
  template.states[index] = (template.states[index] as number) & ~bits;
  touch(template, index);
}

const ALLOWED = new Uint8Array(64);
TASK_STATE_NAMES.forEach((from, i) => {
  for (const to of TASK_TRANSITIONS[from]) ALLOWED[i * 8 + TASK_STATE_NAMES.indexOf(to)] = 1;
});

/**
 * The one setter of a task's state; keeps the counts, refuses what the table does not allow. `bits` are its new marks
 * beside those of the latest attempt, which end with the next lease.
 */
export function setState(template: TemplateLedger, index: number, next: TaskState, bits = 0): void {
  const from = stateOf(template, index);
  if (ALLOWED[from * 8 + next] !== 1) {
    const name = taskName(template, index);
    throw new BrokenInvariant(`task ${name} is ${TASK_STATE_NAMES[from]} and cannot become ${TASK_STATE_NAMES[next]}`);
  }
  const kept = next === TaskState.LEASED ? 0 : (template.states[index] as number) & ATTEMPT_MARKS;
  template.states[index] = next | bits | kept;
  template.counts[from] = (template.counts[from] as number) - 1;
  template.counts[next] = (template.counts[next] as number) + 1;
  if (next >= TaskState.COMPLETED) template.experiment.open--;
  else if (from >= TaskState.COMPLETED) template.experiment.open++;
  touch(template, index);
}

export function touch(template: TemplateLedger, index: number): void {
  template.dirty[(index / CHECKPOINT_CHUNK_TASKS) | 0] = 1;
}

/** `17.dock.42`, as people name a task. */
export function taskName(template: TemplateLedger, index: number): string {
  return `${template.experiment.id}.${template.definition.name}.${index}`;
}

/** Number of tasks in a state over all templates. */
export function countOf(experiment: ExperimentLedger, state: TaskState): number {
  let sum = 0;
  for (const template of experiment.templates) sum += template.counts[state] as number;
  return sum;
}

/** The experiment's state, derived from its tasks. */
export function experimentState(experiment: ExperimentLedger): ExperimentState {
  if (experiment.open === 0) {
    if (countOf(experiment, TaskState.FAILED) > 0) return "FAILED";
    return countOf(experiment, TaskState.CANCELED) > 0 ? "CANCELED" : "COMPLETED";
  }
  if (experiment.paused) return "PAUSED";
  return experiment.counted.leased > 0 ? "EXECUTING" : "CREATED";
}
