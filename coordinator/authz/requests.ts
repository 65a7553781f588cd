/**
 * What the adapter asks of SpiceDB, each within its deadline and in calls of a size that SpiceDB takes and that lets others
 * be answered in between.
 */
import { v1 } from "@authzed/authzed-node";
import { AiravataError } from "../../shared/error/error.ts";
import type { ObjectRef, Relationship, RelationshipChange } from "../../shared/model/relationship.ts";
import type { Question, Revision } from "../domain/access/ports.ts";
import { ask, askStream, callFailure, NOT_FOUND } from "./calls.ts";
import type { Link } from "./link.ts";
import { exactly, itemOf, keyOf, relationshipOf, subjectMessage, updateOf } from "./messages.ts";

/** A person waits for it: one question takes 2 ms. */
const CHECK_MS = 2_000;
/** A thousand took 60 ms embedded, 900 ms of a server on PostgreSQL that had not been asked before, and thrice that when busy. */
const CHECK_QUESTION_MS = 3;
/** A thousand changes are a transaction of the server's database: 20 ms where that is quiet, its fsync where it is not. */
const APPLY_MS = 5_000;
/** One stream; 100,000 answers took a second. */
const LOOKUP_MS = 5_000;
/** A page of a thousand relationships, in the background. */
const READ_MS = 10_000;

/** SpiceDB takes 1,000 changes and 10,000 questions in a call. Fewer, so that the engine answers others in between. */
const CHANGES_MAX = 1_000;
export const QUESTIONS_MAX = 1_000;
const PAGE = 1_000;
/** Ids in one answer: 100 bytes each are 10 MB here. Who may see more is asked about by question. */
const LOOKUP_MAX = 100_000;

/** An error is of that question alone. */
export type Answer = boolean | AiravataError;

/** The revision of the last of them; "" when there are none. */
export async function apply(link: Link, changes: readonly RelationshipChange[]): Promise<Revision> {
  let revision: Revision = "";
  for (const batch of batches(changes, CHANGES_MAX)) revision = await applyBatch(link, batch);
  return revision;
}

export async function check(
  link: Link,
  questions: readonly Question[],
  consistency: v1.Consistency,
): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (const batch of batches(questions, QUESTIONS_MAX)) answers.push(...(await checkBatch(link, batch, consistency)));
  return answers;
}

/** The token of the moment that has them. */
async function applyBatch(link: Link, changes: readonly RelationshipChange[]): Promise<Revision> {
  // A call may name a relationship once. Of several changes of one the last decides, as if they were done in order.
  const last = new Map(changes.map((change) => [keyOf(change.relationship), change]));
  const request = v1.WriteRelationshipsRequest.create({ updates: [...last.values()].map(updateOf) });
  const { writtenAt } = await ask<v1.WriteRelationshipsResponse>(link, APPLY_MS, (client, options, done) =>
    client.writeRelationships(request, options, done),
  );
  return writtenAt?.token ?? "";
}

async function checkBatch(link: Link, questions: readonly Question[], consistency: v1.Consistency): Promise<Answer[]> {
  const request = v1.CheckBulkPermissionsRequest.create({ consistency, items: questions.map(itemOf) });
  const { pairs } = await ask<v1.CheckBulkPermissionsResponse>(
    link,
    CHECK_MS + questions.length * CHECK_QUESTION_MS,
    (client, options, done) => client.checkBulkPermissions(request, options, done),
  );
  if (pairs.length !== questions.length) {
    throw unavailable(`${link.where} answered ${pairs.length} of ${questions.length} questions`);
  }
  return pairs.map(({ response }) => {
    if (response.oneofKind === "error") {
      // A permission or type that it does not know: its schema is not ours, or not yet.
      const { code, message } = response.error;
      return unavailable(`${link.where} cannot answer: ${message}`, { grpc_code: code });
    }
    const { HAS_PERMISSION } = v1.CheckPermissionResponse_Permissionship;
    return response.oneofKind === "item" && response.item.permissionship === HAS_PERMISSION;
  });
}

export interface Search {
  type: string;
  permission: string;
  subject: ObjectRef;
}

export async function lookup(
  link: Link,
  { type, permission, subject }: Search,
  consistency: v1.Consistency,
): Promise<string[]> {
  // The same id may come by several ways.
  const found = new Set<string>();
  const request = v1.LookupResourcesRequest.create({
    consistency,
    resourceObjectType: type,
    permission,
    subject: subjectMessage(subject),
  });
  await askStream<v1.LookupResourcesResponse>(
    link,
    LOOKUP_MS,
    (client, options) => client.lookupResources(request, options),
    ({ resourceObjectId, permissionship }) => {
      if (permissionship === v1.LookupPermissionship.HAS_PERMISSION) found.add(resourceObjectId);
      return found.size <= LOOKUP_MAX;
    },
  );
  if (found.size > LOOKUP_MAX) {
    throw new AiravataError(
      "internal",
      `${subject.type}:${subject.id} may ${permission} more than ${LOOKUP_MAX} objects of ${type}: too many for a list`,
    );
  }
  return [...found];
}

/** All of one moment: that of the schema, whose types are asked for one after the other. */
export async function* readAll(link: Link): AsyncGenerator<Relationship[]> {
  const schema = await ask<v1.ReadSchemaResponse>(link, READ_MS, (client, options, done) =>
    client.readSchema({}, options, done),
  ).catch((error) => {
    if (callFailure(error)?.code === NOT_FOUND) return undefined;
    throw error;
  });
  if (schema === undefined) return;
  const consistency = exactly(schema.readAt?.token ?? "");
  for (const [, resourceType = ""] of schema.schemaText.matchAll(/^definition\s+([\w/]+)/gm)) {
    for (let cursor: v1.Cursor | undefined; ; ) {
      const page: Relationship[] = [];
      const request = v1.ReadRelationshipsRequest.create({
        consistency,
        relationshipFilter: v1.RelationshipFilter.create({ resourceType }),
        optionalLimit: PAGE,
        ...(cursor && { optionalCursor: cursor }),
      });
      await askStream<v1.ReadRelationshipsResponse>(
        link,
        READ_MS,
        (client, options) => client.readRelationships(request, options),
        ({ relationship, afterResultCursor }) => {
          page.push(relationshipOf(relationship as v1.Relationship));
          cursor = afterResultCursor;
          return true;
        },
      );
      if (page.length > 0) yield page;
      if (page.length < PAGE) break;
    }
  }
}

function* batches<T>(all: readonly T[], size: number): Generator<readonly T[]> {
  for (let from = 0; from < all.length; from += size) yield all.slice(from, from + size);
}

function unavailable(sentence: string, data: Record<string, unknown> = {}): AiravataError {
  return new AiravataError("authorization_unavailable", sentence, { data });
}
