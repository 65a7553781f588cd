/** Keeps the authorization engine equal to the table of relationships. */
import type { Logger } from "../../shared/log/log.ts";
import { reconcileRelationships } from "../domain/access/reconcile.ts";
import type { Reconciler } from "./reconcilers.ts";

/** Reads everything on both sides: a hundred thousand relationships take about a second. */
const PERIOD_MS = 300_000;

export function relationshipsReconciler(
  sources: Parameters<typeof reconcileRelationships>[0],
  log: Logger,
): Reconciler {
  return {
    name: "relationships",
    periodMs: PERIOD_MS,
    run: async () => {
      await reconcileRelationships(sources, log);
      return false;
    },
  };
}
