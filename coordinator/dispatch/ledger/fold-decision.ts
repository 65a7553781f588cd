/**
 * What a person's (or the system's) decision does to an experiment: cancel, pause, resume, priority, retry, ended.
 */
import { TaskState } from "../../../shared/model/states.ts";
import type { DecisionRecord } from "../batch.ts";
import { cancelDependents, parentsCompleted, type Ready } from "./edges.ts";
import {
  BECAUSE,
  BrokenInvariant,
  CANCELING,
  countOf,
  type ExperimentLedger,
  isMarked,
  mark,
  RETRIED,
  setState,
  stateOf,
  type TemplateLedger,
  templateAt,
  unmark,
} from "./ledger.ts";

/** Reason given by the core when `max_failures` is reached; retrying the failed reopens what fell with it. */
export const MAX_FAILURES_REASON = "max_failures";

export function foldDecision(experiment: ExperimentLedger, record: DecisionRecord, atMs: number, ready: Ready): void {
  experiment.dirty = true;
  switch (record.kind) {
    case "pause":
      experiment.paused = true;
      return;
    case "resume":
      experiment.paused = false;
      return;
    case "priority":
      experiment.priority = Number(record.value);
      return;
    case "ended":
      if (experiment.open !== 0) throw new BrokenInvariant(`experiment ${experiment.id} ended with open tasks`);
      experiment.endedAtMs = atMs;
      return;
    case "cancel":
      forEachInScope(experiment, record.scope, (template, index) => {
        cancelTask(template, index, record.reason === MAX_FAILURES_REASON);
      });
      return;
    case "retry":
      retry(experiment, record.scope, ready);
  }
}

/** Calls `visit` for every task in scope, parents' templates first. */
export function forEachInScope(
  experiment: ExperimentLedger,
  scope: DecisionRecord["scope"],
  visit: (template: TemplateLedger, index: number) => void,
): void {
  if (scope === null) {
    for (const template of experiment.topological) for (let i = 0; i < template.count; i++) visit(template, i);
    return;
  }
  for (const part of scope) {
    const template = templateAt(experiment, part.template);
    for (const [from, to] of part.ranges) {
      for (let i = Math.max(0, from); i <= Math.min(to, template.count - 1); i++) visit(template, i);
    }
  }
}

function cancelTask(template: TemplateLedger, index: number, because: boolean): void {
  const state = stateOf(template, index);
  if (state === TaskState.LEASED) {
    if (!because) unmark(template, index, BECAUSE);
    mark(template, index, because ? CANCELING | BECAUSE : CANCELING);
  }
  if (state === TaskState.QUEUED || state === TaskState.WAITING) {
    template.notBefore.delete(index);
    setState(template, index, TaskState.CANCELED, because ? BECAUSE : 0);
    cancelDependents(template, index);
  }
}

/** Canceled because of a need, as opposed to max_failures. */
function fellWithParent(template: TemplateLedger, index: number): boolean {
  const { foreach, needs } = template.definition;
  return foreach.length + needs.length > 0 && isMarked(template, index, BECAUSE);
}

/**
 * The tasks that a retry reopens, parents' templates first. Without a scope: the failed and what fell with them or, when
 * nothing failed, the canceled. Never one whose need stays ended without completing: it could only fall again.
 */
export function reopenedBy(experiment: ExperimentLedger, scope: DecisionRecord["scope"]): [TemplateLedger, number][] {
  const anyFailed = countOf(experiment, TaskState.FAILED) > 0;
  const chosen = new Set<number>();
  if (scope !== null) forEachInScope(experiment, scope, (template, index) => chosen.add(template.base + index));
  const isWanted = (template: TemplateLedger, index: number, state: TaskState): boolean => {
    if (scope !== null) return chosen.has(template.base + index) || fellWithParent(template, index);
    return state === TaskState.FAILED || !anyFailed || isMarked(template, index, BECAUSE);
  };
  const reopened = new Map<TemplateLedger, Set<number>>();
  const list: [TemplateLedger, number][] = [];
  for (const template of experiment.topological) {
    const ofTemplate = new Set<number>();
    reopened.set(template, ofTemplate);
    for (let index = 0; index < template.count; index++) {
      const state = stateOf(template, index);
      if (state !== TaskState.FAILED && state !== TaskState.CANCELED) continue;
      if (!isWanted(template, index, state) || fallsShort(template, index, reopened)) continue;
      ofTemplate.add(index);
      list.push([template, index]);
    }
  }
  return list;
}

/** Whether a need of this task stays ended without completing after the tasks in `reopened` were reopened. */
function fallsShort(template: TemplateLedger, index: number, reopened: Map<TemplateLedger, Set<number>>): boolean {
  const { experiment, definition } = template;
  for (const ordinal of definition.foreach) {
    const parent = templateAt(experiment, ordinal);
    if (stateOf(parent, index) > TaskState.COMPLETED && !reopened.get(parent)?.has(index)) return true;
  }
  for (const ordinal of definition.needs) {
    const parent = templateAt(experiment, ordinal);
    const short = (parent.counts[TaskState.FAILED] as number) + (parent.counts[TaskState.CANCELED] as number);
    if (short > (reopened.get(parent)?.size ?? 0)) return true;
  }
  return false;
}

function retry(experiment: ExperimentLedger, scope: DecisionRecord["scope"], ready: Ready): void {
  for (const [template, index] of reopenedBy(experiment, scope)) {
    template.triedUser[index] = 0;
    template.triedInfrastructure[index] = 0;
    const next = parentsCompleted(template, index) ? TaskState.QUEUED : TaskState.WAITING;
    setState(template, index, next, RETRIED);
    if (next === TaskState.QUEUED) ready(template, index);
  }
  experiment.forgiven = countOf(experiment, TaskState.FAILED);
  // Also when nothing was reopened: the journal's reader takes any retry for the end of the end; `ended` comes again.
  experiment.endedAtMs = null;
}
