/**
 * What the domain asks of whatever decides who may do what: an engine that holds a copy of the table of relationships
 * and answers questions about it. Implemented in `coordinator/authz`. All methods throw `authorization_unavailable` when
 * there is no answer now.
 */
import type { ObjectRef, Relationship, RelationshipChange } from "../../../shared/model/relationship.ts";

/** `resource#permission@subject`? */
export interface Question {
  resource: ObjectRef;
  permission: string;
  subject: ObjectRef;
}

/** A moment of the engine's, as it gave it; "" is any. */
export type Revision = string;

export interface AuthorizationEngine {
  /** True: it forgets everything with this process, and whenever it says so. */
  readonly memory: boolean;
  /**
   * Writes the schema unless that one, or one of a newer program, is there. Throws `authorization_misconfigured` for a
   * wrong key, a schema that is refused, and an engine that does not start. False: there was no schema before, so it
   * holds nothing, whatever is remembered of it.
   */
  prepare(schema: string): Promise<boolean>;
  /** In order and idempotent; all or nothing per thousand. The revision that has them, "" when there were none. */
  apply(changes: readonly RelationshipChange[]): Promise<Revision>;
  /** In one round trip per thousand, at least as fresh as the revision. */
  check(questions: readonly Question[], atLeast: Revision): Promise<boolean[]>;
  /** Ids of all objects of a type on which the subject has the permission, each once; at most 100,000. */
  lookup(type: string, permission: string, subject: ObjectRef, atLeast: Revision): Promise<string[]>;
  /** Everything that it holds at one moment, which is not before this was called, in pages. */
  read(): AsyncIterable<Relationship[]>;
  close(): Promise<void>;
}
