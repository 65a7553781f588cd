/** What an engine holds against what it should: pure. */
import type { Relationship } from "../../../shared/model/relationship.ts";

export interface Drift {
  missing: Relationship[];
  surplus: Relationship[];
}

export function driftOf(held: readonly Relationship[], wanted: readonly Relationship[]): Drift {
  const surplus = new Map(held.map((relationship) => [keyOf(relationship), relationship]));
  const missing = wanted.filter((relationship) => !surplus.delete(keyOf(relationship)));
  return { missing, surplus: [...surplus.values()] };
}

export function keyOf({ resource, relation, subject }: Relationship): string {
  const of = subject.relation === undefined ? "" : `#${subject.relation}`;
  return `${resource.type}:${resource.id}#${relation}@${subject.type}:${subject.id}${of}`;
}
