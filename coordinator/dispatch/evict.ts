/**
 * Which ended experiments leave memory. They are read from the journal afterwards; a decision about one brings it back.
 * Only what a checkpoint has folded may go.
 */
import type { ExperimentId } from "../../shared/model/ids.ts";
import type { Core } from "./core.ts";
import type { ExperimentLedger } from "./ledger/ledger.ts";

/** Ended experiments kept for quick answers. */
const ENDED_KEPT = 1_000;
/** And their tasks in all: 7 bytes each, so 14 MB. */
const ENDED_TASKS_KEPT = 2_000_000;
/** Idempotency keys are remembered for a day. */
const IDEMPOTENCY_KEPT_MS = 24 * 3_600_000;

/** Takes an experiment that is about to be archived out of memory. False while it is unfinished or somebody decides about it. */
export function retire(core: Core, id: ExperimentId): boolean {
  if (core.deciding.has(id)) return false;
  const experiment = core.ledger.experiments.get(id);
  return experiment === undefined || (experiment.endedAtMs !== null && evict(core, experiment, inHand(core)));
}

/**
 * Experiments of which an agent holds a task: when it was lost, came back, and the task was canceled meanwhile, the
 * experiment ends first. The agent's last word about it must find the entry that it gives its room back by.
 */
function inHand(core: Core): Set<ExperimentLedger> {
  const experiments = new Set<ExperimentLedger>();
  for (const floor of core.agents.values()) {
    for (const { template } of floor.held) experiments.add(template.experiment);
  }
  return experiments;
}

function evict(core: Core, experiment: ExperimentLedger, held: Set<ExperimentLedger>): boolean {
  if (held.has(experiment)) return false;
  const clean = !experiment.dirty && experiment.templates.every((template) => !template.dirty.includes(1));
  if (!clean || core.deciding.has(experiment.id)) return false;
  core.ledger.experiments.delete(experiment.id);
  core.classes.forget(experiment.templates);
  return true;
}

/** Drops the oldest ended experiments beyond the bounds, and idempotency keys older than a day. */
export function evictEnded(core: Core, wallMs: number, kept = ENDED_KEPT): void {
  const ended = [...core.ledger.experiments.values()].filter((experiment) => experiment.endedAtMs !== null);
  ended.sort((a, b) => (b.endedAtMs as number) - (a.endedAtMs as number));
  const held = inHand(core);
  let tasks = 0;
  ended.forEach((experiment, position) => {
    for (const template of experiment.templates) tasks += template.count;
    if (position < kept && tasks <= ENDED_TASKS_KEPT) return;
    evict(core, experiment, held);
  });
  for (const [key, { atMs }] of core.ledger.idempotency) {
    if (wallMs - atMs > IDEMPOTENCY_KEPT_MS) core.ledger.idempotency.delete(key);
  }
}
