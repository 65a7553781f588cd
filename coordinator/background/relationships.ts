/**
 * Proves that the authorization engine holds exactly the relationships of the table, and repairs what differs: what
 * somebody else wrote to the server, a server that was restored, a write of a coordinator that led no more. First it
 * writes the relationships of things that a program of before relationships made.
 */
import type { Reconciler } from "./reconcilers.ts";

/** Reads everything on both sides: a hundred thousand relationships take about a second. */
const VERIFY_MS = 300_000;
/** One query: who lost leadership within a request may have committed a change that this process does not know of. */
const FOLLOW_MS = 2_000;

export function relationshipsReconcilers({
  feed,
  relationships,
}: {
  feed: { verify(): Promise<unknown>; catchUp(): Promise<void> };
  relationships: { complete(): Promise<void> };
}): Reconciler[] {
  return [
    {
      name: "relationships",
      periodMs: VERIFY_MS,
      run: async () => {
        await relationships.complete();
        await feed.verify();
        return false;
      },
    },
    {
      name: "relationship changes",
      periodMs: FOLLOW_MS,
      run: async () => {
        await feed.catchUp();
        return false;
      },
    },
  ];
}
