/** Relationships: rows written in the transaction of what they concern. */
import type { Connection } from "../../db/connection.ts";
import type { ActorId } from "../../shared/model/ids.ts";
import type { ObjectRef, Relationship, RelationshipChange } from "../../shared/model/relationship.ts";

const TIMEOUT_MS = 10_000;
/** The whole installation, which administers most things. */
export const PLATFORM_MAIN: ObjectRef = { type: "platform", id: "main" };

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

/**
 * Takes the lock that orders all writers, for who must look before he writes: until his transaction ends nothing of it
 * changes. The number of the last change there is.
 */
export async function lockRelationships(connection: Connection): Promise<number> {
  const text = "select head from relationship_state for update";
  const [row] = await connection.rows<{ head: number }>(text, [], TIMEOUT_MS);
  return row!.head;
}

/** All that a thing is the resource of, and with `asSubject` all that its members have by it. */
export async function relationshipsOf(
  connection: Connection,
  { type, id }: ObjectRef,
  { asSubject }: { asSubject: boolean },
): Promise<Relationship[]> {
  const rows = await connection.rows<RelationshipRow>(
    `select resource_type, resource_id, relation, subject_type, subject_id, subject_relation from relationship
     where (resource_type = $1 and resource_id = $2) or ($3 and subject_type = $1 and subject_id = $2)`,
    [type, id, asSubject],
    TIMEOUT_MS,
  );
  return rows.map((row) => {
    const subject = { type: row.subject_type, id: row.subject_id };
    const of = row.subject_relation;
    const resource = { type: row.resource_type, id: row.resource_id };
    return { resource, relation: row.relation, subject: of === "" ? subject : { ...subject, relation: of } };
  });
}

interface RelationshipRow {
  resource_type: string;
  resource_id: string;
  relation: string;
  subject_type: string;
  subject_id: string;
  subject_relation: string;
}

/** For all of one kind of change. */
export function changesTo(op: RelationshipChange["op"], relationships: readonly Relationship[]): RelationshipChange[] {
  return relationships.map((relationship) => ({ op, relationship }));
}
