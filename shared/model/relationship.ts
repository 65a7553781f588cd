/** Relationships: the tuples that authorization is decided from. What they mean stands in db/spicedb_schema.zed. */

export interface ObjectRef {
  type: string;
  id: string;
}

export interface SubjectRef extends ObjectRef {
  /** `member` for the members of a group. */
  relation?: string;
}

/** `resource#relation@subject`. */
export interface Relationship {
  resource: ObjectRef;
  relation: string;
  subject: SubjectRef;
}

export interface RelationshipChange {
  op: "touch" | "delete";
  relationship: Relationship;
}

const WRITTEN =
  /^(?<type>\w+):(?<id>[^#@]+)#(?<relation>\w+)@(?<subjectType>\w+):(?<subjectId>[^#]+)(?:#(?<userset>\w+))?$/;

/** Of `project:7#viewer@group:3#member`; undefined when it is not written so. A question is written alike. */
export function parseRelationship(text: string): Relationship | undefined {
  const { type, id, relation, subjectType, subjectId, userset } = WRITTEN.exec(text)?.groups ?? {};
  if (!type || !id || !relation || !subjectType || !subjectId) return undefined;
  const subject = { type: subjectType, id: subjectId, ...(userset !== undefined && { relation: userset }) };
  return { resource: { type, id }, relation, subject };
}
