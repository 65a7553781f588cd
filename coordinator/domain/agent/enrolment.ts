/** How agents come in: an operator makes a one-time token, an agent trades it for an identity bound to its own key. */
import { AiravataError } from "../../../shared/error/error.ts";
import type { AgentId, ProjectId } from "../../../shared/model/ids.ts";
import type { EnrolmentStore, StoredEnrolmentToken } from "../../store/enrolment.ts";
import { type AccessControl, numbersOf, type Visible } from "../access/access.ts";
import type { By } from "../access/by.ts";
import type { Listed } from "../experiment/list.ts";
import type { AgentSources } from "./agents.ts";
import { newEnrolmentToken, parsePublicKey, secretHash } from "./identity.ts";

interface Accessible {
  access: Pick<AccessControl, "settle">;
}

export interface EnrolmentSources {
  enrolment: EnrolmentStore;
}

/**
 * Registers an agent. The same token with the same key and name is answered again, because an answer may be lost.
 * Throws `enrolment_token_invalid`, `enrolment_token_used`, `agent_name_taken`, `request_invalid` for a key that is none.
 */
export async function enrolAgent(
  { dispatcher, agents, access }: AgentSources & Accessible,
  request: { token: string; name: string; publicKey: string },
): Promise<{ agent: AgentId; name: string; timeline: number }> {
  const publicKey = parsePublicKey(request.publicKey);
  const { relationship, ...enrolled } = await agents.enrol({
    secretHash: secretHash(request.token),
    name: request.name,
    publicKey,
  });
  await access.settle(relationship);
  return { ...enrolled, timeline: dispatcher.leadership().timeline };
}

/** The secret is in the answer and nowhere else. */
export async function createEnrolmentToken(
  { enrolment, access }: EnrolmentSources & Accessible,
  request: {
    note: string;
    lifetimeMs: number;
    by: By;
    /** Null: all. */
    project: ProjectId | null;
  },
): Promise<{ record: StoredEnrolmentToken; token: string }> {
  const token = newEnrolmentToken();
  const { stored: record, relationship } = await enrolment.create({
    secretHash: secretHash(token),
    note: request.note,
    serves: request.project,
    computeResource: null,
    by: request.by,
    lastsMs: request.lifetimeMs,
  });
  await access.settle(relationship);
  return { record, token };
}

/** Newest first. Throws `cursor_invalid`. */
export async function listEnrolmentTokens(
  enrolment: EnrolmentStore,
  query: { limit: number; cursor: string | undefined; visible: Visible },
): Promise<Listed<StoredEnrolmentToken>> {
  if (query.cursor !== undefined && !/^\d{1,15}$/.test(query.cursor)) {
    throw new AiravataError("cursor_invalid", "the cursor is not one of this list; leave it out to begin anew");
  }
  const tokens = await enrolment.list(
    query.cursor === undefined ? null : Number(query.cursor),
    query.limit + 1,
    numbersOf(query.visible),
  );
  const items = tokens.slice(0, query.limit);
  return { items, nextCursor: tokens.length > query.limit ? String(items.at(-1)!.id) : null };
}

/** Revoking again is no error. Throws `enrolment_token_not_found`, `enrolment_token_used`. */
export async function revokeEnrolmentToken(enrolment: EnrolmentStore, id: number): Promise<StoredEnrolmentToken> {
  await enrolment.revoke(id);
  const record = await enrolment.find(id);
  if (!record) throw new AiravataError("enrolment_token_not_found", `there is no enrolment token ${id}`);
  if (record.usedAtMs === null) return record;
  throw new AiravataError("enrolment_token_used", `enrolment token ${id} was used: agent ${record.agent} has it`);
}
