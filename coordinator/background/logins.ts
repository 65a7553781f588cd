/** Removes logins that ended long ago, with their refresh tokens; the audit keeps what happened. */
import { ENDED_SESSIONS_KEPT_MS } from "../../shared/model/constants.ts";
import type { Reconciler } from "./reconcilers.ts";

/** One statement over an index. */
const PERIOD_MS = 3_600_000;

export function loginsReconciler(logins: { forget(keptMs: number): Promise<number> }): Reconciler {
  return {
    name: "logins",
    periodMs: PERIOD_MS,
    run: async () => (await logins.forget(ENDED_SESSIONS_KEPT_MS)) > 0,
  };
}
