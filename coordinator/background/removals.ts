/**
 * Stops the work of people who may not submit to a project any more, where the project says so. Nudged by every change of
 * who may do what; the period is for accounts that were disabled, and for a nudge that was lost.
 */
import type { AccessControl } from "../domain/access/access.ts";
import { type RemovalSources, stopWorkOfRemoved } from "../domain/project/removals.ts";
import type { Reconciler } from "./reconcilers.ts";

/** One short query while no project asks for it. */
const PERIOD_MS = 5_000;
const NAME = "stopping the work of people who were removed";

export function createRemovalReconciler(sources: RemovalSources): Reconciler {
  return {
    name: NAME,
    periodMs: PERIOD_MS,
    run: async (signal) => {
      await stopWorkOfRemoved(sources, signal);
      return false;
    },
  };
}

/** From now on it runs after each change; returns the function that ends that. */
export function nudgeAfterChanges(access: Pick<AccessControl, "onChange">, nudge: (name: string) => void): () => void {
  return access.onChange(() => nudge(NAME));
}
