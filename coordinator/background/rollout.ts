/**
 * Carries the active rollout of agent programs on: whose turn it is, who has proven itself, who failed. Woken by its timer
 * (time is what most steps wait for), by a new rollout and by what agents say.
 */
import type { Logger } from "../../shared/log/log.ts";
import type { AgentPrograms } from "../domain/release/programs.ts";
import { advanceRollout, type RolloutSources } from "../domain/release/rollouts.ts";
import type { Reconciler } from "./reconcilers.ts";

/** One cheap query while nothing is rolled out. */
const PERIOD_MS = 2_000;

export const ROLLOUT = "agent rollouts";

export function createRolloutReconciler(
  sources: RolloutSources,
  ports: { programs: AgentPrograms; settleMs: number; log: Logger },
): Reconciler {
  return { name: ROLLOUT, periodMs: PERIOD_MS, run: () => advanceRollout(sources, ports) };
}
