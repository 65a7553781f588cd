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
