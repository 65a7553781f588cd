/**
 * Ends sessions of agents whose identity is no longer theirs. Who revokes one ends its session at once; this is for the
 * revocation that another coordinator committed while this one took over, and for one made by hand in the database.
 */
import { endStaleSessions, type RevocationSources } from "../domain/agent/revocation.ts";
import type { Reconciler } from "./reconcilers.ts";

/** Two indexed queries that find nothing. */
const PERIOD_MS = 2_000;

export function identitiesReconciler(sources: Omit<RevocationSources, "access">): Reconciler {
  return {
    name: "ending sessions of revoked agents",
    periodMs: PERIOD_MS,
    run: async () => {
      await endStaleSessions(sources);
      return false;
    },
  };
}
