/**
 * Proves that the authorization engine holds exactly the relationships of the table, and repairs what differs: what
 * somebody else wrote to the server, a server that was restored, a write of a coordinator that led no more. First it
 * writes the relationships of things that a program of before relationships made.
 */
import type { Reconciler } from "./reconcilers.ts";

/** Reads everything on both sides: a hundred thousand relationships take about a second. */
const PERIOD_MS = 300_000;

export function relationshipsReconciler(sources: {
  feed: { verify(): Promise<unknown> };
  relationships: { complete(): Promise<void> };
}): Reconciler {
  return {
    name: "relationships",
    periodMs: PERIOD_MS,
    run: async () => {
      await sources.relationships.complete();
      await sources.feed.verify();
      return false;
    },
  };
}
