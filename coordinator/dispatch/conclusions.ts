/**
 * Decisions that nobody asked for: the rest is canceled after max_failures, and an experiment whose tasks have all ended
 * has ended. Drawn from the committed state after every commit, and once after loading: the last reign may have died
 * between an end and what followed from it.
 */
import { type ExperimentId, SYSTEM_ACTOR } from "../../shared/model/ids.ts";
import { TaskState } from "../../shared/model/states.ts";
import type { Core } from "./core.ts";
import { MAX_FAILURES_REASON } from "./ledger/fold-decision.ts";
import { countOf, experimentState } from "./ledger/ledger.ts";
import { gatherDecision } from "./requests.ts";

/**
 * What the system itself decides from the committed state: max_failures, and that the experiment has ended. `uncommitted`
 * failures are what a deliberate bug counts, see mutations.ts.
 */
export function drawConclusions(core: Core, id: ExperimentId, uncommitted = 0): void {
  const experiment = core.ledger.experiments.get(id);
  if (!experiment || core.deciding.has(id)) return;
  if (experiment.open === 0) {
    if (experiment.endedAtMs !== null) return;
    const value = experimentState(experiment);
    const counts = {
      completed: countOf(experiment, TaskState.COMPLETED),
      failed: countOf(experiment, TaskState.FAILED),
      canceled: countOf(experiment, TaskState.CANCELED),
    };
    gatherDecision(core, {
      kind: "ended",
      experiment: id,
      actor: SYSTEM_ACTOR,
      scope: null,
      reason: "",
      value,
      counts,
    });
    return;
  }
  const { maxFailures } = experiment.definition;
  const cancelable = countOf(experiment, TaskState.QUEUED) + countOf(experiment, TaskState.WAITING);
  const leased = countOf(experiment, TaskState.LEASED);
  const failed = countOf(experiment, TaskState.FAILED) + uncommitted - experiment.forgiven;
  if (maxFailures === null || failed < maxFailures) {
    experiment.failuresHandled = false;
    return;
  }
  if (cancelable === 0 && (leased === 0 || experiment.failuresHandled)) return;
  experiment.failuresHandled = true;
  const reason = MAX_FAILURES_REASON;
  gatherDecision(core, {
    kind: "cancel",
    experiment: id,
    actor: SYSTEM_ACTOR,
    scope: null,
    reason,
    value: maxFailures,
  });
}
