/**
 * Relationships: rows written in the transaction of what they concern, and the changes to them in the order of the
 * commits, from which authorization engines are fed.
 */
import type { Connection } from "../../db/connection.ts";
import type { ConnectionPool } from "../../db/pool.ts";
import type { ActorId } from "../../shared/model/ids.ts";
import type { ObjectRef, Relationship, RelationshipChange } from "../../shared/model/relationship.ts";

export interface NumberedChange extends RelationshipChange {
  change: number;
}

/** How far changes are, and how far the authorization server of that name has them. */
export interface RelationshipState {
  head: number;
  applied: number;
  revision: string;
  engine: string;
}

export interface RelationshipStore {
  state(): Promise<RelationshipState>;
  /** In order, beginning after `after`. */
  changes(after: number, limit: number): Promise<NumberedChange[]>;
  /** Writes those of things that a program of before relationships made meanwhile. */
  complete(): Promise<void>;
  /** All of them as of one head. */
  all(): Promise<{ head: number; relationships: Relationship[] }>;
  /** Remembers how far the server is; never backwards for the same one. */
  applied(state: { applied: number; revision: string; engine: string }): Promise<void>;
}

interface Row {
  resource_type: string;
  resource_id: string;
  relation: string;
  subject_type: string;
  subject_id: string;
  subject_relation: string;
}

const COLUMNS = "resource_type, resource_id, relation, subject_type, subject_id, subject_relation";
const TIMEOUT_MS = 10_000;
/** The whole installation, which administers most things. */
export const PLATFORM_MAIN: ObjectRef = { type: "platform", id: "main" };
/** A table of a million relationships takes about two seconds to read. */
const ALL_TIMEOUT_MS = 60_000;

export function createRelationshipStore(pool: ConnectionPool): RelationshipStore {
  return {
    state: async () => {
      const rows = await pool.rows<RelationshipState & Row>(
        "select head, applied, revision, engine from relationship_state",
      );
      return rows[0] as RelationshipState;
    },
    changes: async (after, limit) => {
      const text = `select change, op, ${COLUMNS} from relationship_change where change > $1 order by change limit $2`;
      const rows = await pool.rows<Row & { change: number; op: RelationshipChange["op"] }>(text, [after, limit]);
      return rows.map(({ change, op, ...row }) => ({ change, op, relationship: relationshipOf(row) }));
    },
    complete: async () => {
      await pool.rows("select relationship_complete()");
    },
    all: () =>
      pool.use(async (connection) => {
        // One statement is one snapshot: head and rows belong together.
        const rows = await connection.rows<Row & { head: number }>(
          `select s.head, ${COLUMNS} from relationship_state s left join relationship r on true`,
          [],
          ALL_TIMEOUT_MS,
        );
        const relationships = rows.filter((row) => row.resource_type !== null).map(relationshipOf);
        return { head: rows[0]?.head ?? 0, relationships };
      }),
    applied: async ({ applied, revision, engine }) => {
      await pool.rows(
        `update relationship_state set applied = $1, revision = $2, engine = $3
         where engine <> $3 or applied < $1 or (applied = $1 and revision <> $2)`,
        [applied, revision, engine],
      );
    },
  };
}

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
  const rows = await connection.rows<Row>(
    `select ${COLUMNS} from relationship
     where (resource_type = $1 and resource_id = $2) or ($3 and subject_type = $1 and subject_id = $2)`,
    [type, id, asSubject],
    TIMEOUT_MS,
  );
  return rows.map(relationshipOf);
}

/** For all of one kind of change. */
export function changesTo(op: RelationshipChange["op"], relationships: readonly Relationship[]): RelationshipChange[] {
  return relationships.map((relationship) => ({ op, relationship }));
}

function relationshipOf(row: Row): Relationship {
  const subject = { type: row.subject_type, id: row.subject_id };
  return {
    resource: { type: row.resource_type, id: row.resource_id },
    relation: row.relation,
    subject: row.subject_relation === "" ? subject : { ...subject, relation: row.subject_relation },
  };
}
