/**
 * Keeps since when agents are lost that hold tasks, so that `wait_for` counts on after a takeover. What was not written yet
 * when this process died begins anew: a wait is longer by this period and the takeover at most.
 */
import type { AgentAbsences } from "../domain/agent/absences.ts";
import type { Reconciler } from "./reconcilers.ts";

/** Small against any wait that somebody asks for. */
const PERIOD_MS = 5_000;

export function createAbsenceReconciler(absences: AgentAbsences): Reconciler {
  return {
    name: "keeping absences of agents",
    periodMs: PERIOD_MS,
    run: async () => {
      await absences.keep();
      return false;
    },
  };
}
