/**
 * Compares two ledgers in everything that is durable, and one ledger with itself: its counts with a recount of its tasks.
 */
import {
  type ExperimentLedger,
  type Ledger,
  stateOf,
  type TemplateLedger,
} from "../../../coordinator/dispatch/ledger/ledger.ts";
import { TASK_STATE_NAMES, TaskState } from "../../../shared/model/states.ts";

/** The first difference in words, or null. Ended experiments may be missing in `loaded`: they leave memory. */
export function differenceOf(live: Ledger, loaded: Ledger): string | null {
  if (live.seq !== loaded.seq) return `seq ${live.seq} against ${loaded.seq}`;
  if (live.experimentMax !== loaded.experimentMax)
    return `newest ${live.experimentMax} against ${loaded.experimentMax}`;
  if (live.idempotency.size !== loaded.idempotency.size) return "idempotency keys";
  for (const [key, { experiment, bodyHash }] of live.idempotency) {
    const other = loaded.idempotency.get(key);
    if (other?.experiment !== experiment || other.bodyHash !== bodyHash) return `idempotency key ${key}`;
  }
  for (const [id, experiment] of live.experiments) {
    const other = loaded.experiments.get(id);
    if (!other && experiment.endedAtMs !== null) continue;
    const difference = other ? experimentDifference(experiment, other) : "it is missing";
    if (difference !== null) return `experiment ${id}: ${difference}`;
  }
  for (const [id, experiment] of loaded.experiments) {
    if (!live.experiments.has(id) && experiment.endedAtMs === null) return `experiment ${id} is too many`;
  }
  return null;
}

const SCALARS = [
  "project",
  "actor",
  "priority",
  "paused",
  "root",
  "open",
  "forgiven",
  "endedAtMs",
  "submittedAtMs",
] as const;
const COUNTERS = ["leased", "completed", "failed", "canceled", "requeued"] as const;
const COLUMNS = ["states", "attempts", "triedUser", "triedInfrastructure", "counts"] as const;

function experimentDifference(a: ExperimentLedger, b: ExperimentLedger): string | null {
  for (const name of SCALARS) if (a[name] !== b[name]) return `${name} ${a[name]} against ${b[name]}`;
  for (const name of COUNTERS) {
    if (a.counted[name] !== b.counted[name]) return `counted ${name} ${a.counted[name]} against ${b.counted[name]}`;
  }
  for (let t = 0; t < a.templates.length; t++) {
    const difference = templateDifference(a.templates[t] as TemplateLedger, b.templates[t] as TemplateLedger);
    if (difference !== null) return `template ${t}: ${difference}`;
  }
  return null;
}

function templateDifference(a: TemplateLedger, b: TemplateLedger): string | null {
  for (const name of COLUMNS) {
    for (let i = 0; i < a[name].length; i++) {
      if (a[name][i] !== b[name][i]) return `${name}[${i}] ${a[name][i]} against ${b[name][i]}`;
    }
  }
  if (a.leases.size !== b.leases.size) return `${a.leases.size} leases against ${b.leases.size}`;
  for (const [index, lease] of a.leases) {
    const other = b.leases.get(index);
    const same = other?.agent === lease.agent && other.epoch === lease.epoch && other.root === lease.root;
    if (!same || other.sinceMs !== lease.sinceMs) return `lease of ${index}`;
  }
  if (a.notBefore.size !== b.notBefore.size) return `${a.notBefore.size} delays against ${b.notBefore.size}`;
  for (const [index, ms] of a.notBefore) if (b.notBefore.get(index) !== ms) return `delay of ${index}`;
  return null;
}

/** Whether counts, open tasks and leases of a ledger are what its tasks say; the first difference in words, or null. */
export function recountDifference(ledger: Ledger): string | null {
  for (const experiment of ledger.experiments.values()) {
    let open = 0;
    let completed = 0;
    for (const template of experiment.templates) {
      const counts = new Array<number>(TASK_STATE_NAMES.length).fill(0);
      for (let i = 0; i < template.count; i++) {
        const state = stateOf(template, i);
        counts[state] = (counts[state] as number) + 1;
        if ((state === TaskState.LEASED) !== template.leases.has(i)) return `${experiment.id}: lease of task ${i}`;
        if (template.notBefore.has(i) && state !== TaskState.QUEUED) return `${experiment.id}: delay of task ${i}`;
      }
      for (let state = 0; state < counts.length; state++) {
        if (counts[state] !== template.counts[state])
          return `${experiment.id}: ${TASK_STATE_NAMES[state]} is miscounted`;
      }
      open += (counts[0] as number) + (counts[1] as number) + (counts[2] as number);
      completed += counts[TaskState.COMPLETED] as number;
    }
    if (open !== experiment.open) return `${experiment.id}: ${open} are open, ${experiment.open} are counted`;
    if (completed !== experiment.counted.completed) {
      return `${experiment.id}: ${completed} are COMPLETED, the counter says ${experiment.counted.completed}`;
    }
  }
  return null;
}
