/**
 * Proves that the authorization engine holds exactly the relationships of the table, and repairs what differs: changes
 * that somebody else made to the server, a server that was restored, a write of a coordinator that led no more.
 */
import type { Logger } from "../../../shared/log/log.ts";
import type { Relationship, RelationshipChange } from "../../../shared/model/relationship.ts";
import type { RelationshipStore } from "../../store/relationships.ts";
import type { Feed } from "./feed.ts";
import type { AuthorizationEngine } from "./ports.ts";

/** Changes that one run repairs in one call. */
const REPAIRED_AT_ONCE = 1_000;

export interface Drift {
  missing: Relationship[];
  surplus: Relationship[];
}

/** What was found, repaired or not; undefined when relationships changed meanwhile: the next run looks again. */
export async function reconcileRelationships(
  { engine, relationships, feed }: { engine: AuthorizationEngine; relationships: RelationshipStore; feed: Feed },
  log: Logger,
): Promise<Drift | undefined> {
  await feed.catchUp();
  const { change } = await feed.position();
  const held = new Map<string, Relationship>();
  for await (const page of engine.read()) for (const relationship of page) held.set(keyOf(relationship), relationship);
  const { head, relationships: wanted } = await relationships.all();
  if (head !== change || (await feed.position()).change !== change) return undefined;
  const missing = wanted.filter((relationship) => !held.delete(keyOf(relationship)));
  const surplus = [...held.values()];
  const repairs: RelationshipChange[] = [
    ...surplus.map((relationship) => ({ op: "delete" as const, relationship })),
    ...missing.map((relationship) => ({ op: "touch" as const, relationship })),
  ];
  if (repairs.length === 0) return { missing, surplus };
  log.error("the authorization engine did not hold what the database says; it is repaired", {
    missing: missing.slice(0, 20).map(keyOf),
    surplus: surplus.slice(0, 20).map(keyOf),
    missing_count: missing.length,
    surplus_count: surplus.length,
  });
  for (let from = 0; from < repairs.length; from += REPAIRED_AT_ONCE) {
    await feed.repair(repairs.slice(from, from + REPAIRED_AT_ONCE));
  }
  return { missing, surplus };
}

function keyOf({ resource, relation, subject }: Relationship): string {
  const of = subject.relation === undefined ? "" : `#${subject.relation}`;
  return `${resource.type}:${resource.id}#${relation}@${subject.type}:${subject.id}${of}`;
}
