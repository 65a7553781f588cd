/**
 * Our words and SpiceDB's: relationships, questions and their freshness as messages, and back.
 */
import { v1 } from "@authzed/authzed-node";
import type { ObjectRef, Relationship, RelationshipChange } from "../../shared/model/relationship.ts";
import type { Question, Revision } from "../domain/access/ports.ts";

export function updateOf({ op, relationship }: RelationshipChange): v1.RelationshipUpdate {
  const { TOUCH, DELETE } = v1.RelationshipUpdate_Operation;
  return { operation: op === "touch" ? TOUCH : DELETE, relationship: relationshipMessage(relationship) };
}

function relationshipMessage({ resource, relation, subject }: Relationship): v1.Relationship {
  return { resource: objectMessage(resource), relation, subject: subjectMessage(subject, subject.relation) };
}

export function itemOf({ resource, permission, subject }: Question): v1.CheckBulkPermissionsRequestItem {
  return { resource: objectMessage(resource), permission, subject: subjectMessage(subject) };
}

export function subjectMessage(object: ObjectRef, relation = ""): v1.SubjectReference {
  return { object: objectMessage(object), optionalRelation: relation };
}

function objectMessage({ type, id }: ObjectRef): v1.ObjectReference {
  return { objectType: type, objectId: id };
}

/** What SpiceDB holds, as we write it. */
export function relationshipOf({ resource, relation, subject }: v1.Relationship): Relationship {
  const of = ({ objectType, objectId }: v1.ObjectReference): ObjectRef => ({ type: objectType, id: objectId });
  const userset = subject?.optionalRelation ?? "";
  return {
    resource: of(resource as v1.ObjectReference),
    relation,
    subject: { ...of(subject?.object as v1.ObjectReference), ...(userset === "" ? {} : { relation: userset }) },
  };
}

/** The key of a relationship: two changes with one key are of the same thing. */
export function keyOf({ resource, relation, subject }: Relationship): string {
  return `${resource.type}:${resource.id}#${relation}@${subject.type}:${subject.id}#${subject.relation ?? ""}`;
}

export const FULLY_CONSISTENT: v1.Consistency = {
  requirement: { oneofKind: "fullyConsistent", fullyConsistent: true },
};

export function atLeastAsFresh(revision: Revision): v1.Consistency {
  return revision === ""
    ? { requirement: { oneofKind: "minimizeLatency", minimizeLatency: true } }
    : { requirement: { oneofKind: "atLeastAsFresh", atLeastAsFresh: { token: revision } } };
}

export function exactly(revision: Revision): v1.Consistency {
  return { requirement: { oneofKind: "atExactSnapshot", atExactSnapshot: { token: revision } } };
}
