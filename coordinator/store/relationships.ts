/** Relationships: rows written in the transaction of what they concern. */
import type { Connection } from "../../db/connection.ts";
import type { ActorId } from "../../shared/model/ids.ts";
import type { RelationshipChange } from "../../shared/model/relationship.ts";

const TIMEOUT_MS = 10_000;

/** Within the caller's transaction. The number of the last change, 0 when all was so already. */
export async function writeRelationships(
  connection: Connection,
  changes: readonly RelationshipChange[],
  actor: ActorId,
): Promise<number> {
  const each = (pick: (change: RelationshipChange) => string): string[] => changes.map(pick);
  const [row] = await connection.rows<{ last: number }>(
    "select relationship_write($1, $2, $3, $4, $5, $6, $7, $8) as last",
    [
      each(({ op }) => op),
      each(({ relationship }) => relationship.resource.type),
      each(({ relationship }) => relationship.resource.id),
      each(({ relationship }) => relationship.relation),
      each(({ relationship }) => relationship.subject.type),
      each(({ relationship }) => relationship.subject.id),
      each(({ relationship }) => relationship.subject.relation ?? ""),
      actor,
    ],
    TIMEOUT_MS,
  );
  return row?.last ?? 0;
}
