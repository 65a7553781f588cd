/**
 * Edges between templates, without a row per edge: `foreach` ties equal indexes, `needs` ties all tasks. What a parent's
 * end does to its children is derived from states alone, so that replay gives the same.
 */
import { TaskState } from "../../../shared/model/states.ts";
import { BECAUSE, setState, stateOf, type TemplateLedger, templateAt } from "./ledger.ts";

/** Told when a task may be leased. */
export type Ready = (template: TemplateLedger, index: number) => void;

function allCompleted(template: TemplateLedger): boolean {
  return template.counts[TaskState.COMPLETED] === template.count;
}

/** Whether everything that this task waits for has COMPLETED. */
export function parentsCompleted(template: TemplateLedger, index: number): boolean {
  for (const ordinal of template.definition.foreach) {
    if (stateOf(templateAt(template.experiment, ordinal), index) !== TaskState.COMPLETED) return false;
  }
  for (const ordinal of template.definition.needs) {
    if (!allCompleted(templateAt(template.experiment, ordinal))) return false;
  }
  return true;
}

/** After a task COMPLETED: children that waited only for it become QUEUED. */
export function releaseChildren(template: TemplateLedger, index: number, ready: Ready): void {
  for (const { template: child, kind } of template.children) {
    if (child.counts[TaskState.WAITING] === 0) continue;
    if (kind === "foreach") releaseIfReady(child, index, ready);
    else if (allCompleted(template)) for (let i = 0; i < child.count; i++) releaseIfReady(child, i, ready);
  }
}

function releaseIfReady(child: TemplateLedger, index: number, ready: Ready): void {
  if (stateOf(child, index) !== TaskState.WAITING || !parentsCompleted(child, index)) return;
  setState(child, index, TaskState.QUEUED);
  ready(child, index);
}

/** After a task ended without completing: everything that waited for it, however far down, is CANCELED because of it. */
export function cancelDependents(template: TemplateLedger, index: number): void {
  const fallen: [TemplateLedger, number][] = [[template, index]];
  for (let next = fallen.pop(); next; next = fallen.pop()) {
    const [parent, i] = next;
    for (const { template: child, kind } of parent.children) {
      if (child.counts[TaskState.WAITING] === 0) continue;
      const from = kind === "foreach" ? i : 0;
      const to = kind === "foreach" ? i + 1 : child.count;
      for (let k = from; k < to; k++) {
        if (stateOf(child, k) !== TaskState.WAITING) continue;
        setState(child, k, TaskState.CANCELED, BECAUSE);
        fallen.push([child, k]);
      }
    }
  }
}
