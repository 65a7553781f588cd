/**
 * What a person's (or the system's) decision does to an experiment: cancel, pause, resume, priority, retry, ended.
 */
import { TaskState } from "../../../shared/model/states.ts";
import type { DecisionRecord } from "../batch.ts";
import { cancelDependents, parentsCompleted, parentsFellShort, type Ready } from "./edges.ts";
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

/** Whether a retry without a scope takes this task: the failed and what fell with them; without any failed, the canceled. */
export function isRetriedByDefault(template: TemplateLedger, index: number, anyFailed: boolean): boolean {
  const state = stateOf(template, index);
  if (state === TaskState.FAILED) return true;
  return state === TaskState.CANCELED && (!anyFailed || isMarked(template, index, BECAUSE));
}

/** Canceled because of a need, as opposed to max_failures. */
function fellWithParent(template: TemplateLedger, index: number): boolean {
  const { foreach, needs } = template.definition;
  return foreach.length + needs.length > 0 && isMarked(template, index, BECAUSE);
}

function retry(experiment: ExperimentLedger, scope: DecisionRecord["scope"], ready: Ready): void {
  const anyFailed = countOf(experiment, TaskState.FAILED) > 0;
  const chosen = new Set<number>();
  if (scope !== null) forEachInScope(experiment, scope, (template, index) => chosen.add(template.base + index));
  for (const template of experiment.topological) {
    for (let index = 0; index < template.count; index++) {
      const state = stateOf(template, index);
      if (state !== TaskState.FAILED && state !== TaskState.CANCELED) continue;
      const wanted =
        scope === null
          ? isRetriedByDefault(template, index, anyFailed)
          : chosen.has(template.base + index) || fellWithParent(template, index);
      if (!wanted || parentsFellShort(template, index)) continue;
      template.triedUser[index] = 0;
      template.triedInfrastructure[index] = 0;
      const next = parentsCompleted(template, index) ? TaskState.QUEUED : TaskState.WAITING;
      setState(template, index, next, RETRIED);
      if (next === TaskState.QUEUED) ready(template, index);
    }
  }
  experiment.forgiven = countOf(experiment, TaskState.FAILED);
  // Also when nothing was reopened: the journal's reader takes any retry for the end of the end; `ended` comes again.
  experiment.endedAtMs = null;
}
