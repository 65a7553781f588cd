/** How agents come in: an operator makes a token, an agent trades it for an identity bound to its own key. */
import { AiravataError } from "../../../shared/error/error.ts";
import type { AgentId, ProjectId } from "../../../shared/model/ids.ts";
import type { EnrolmentStore, StoredEnrolmentToken, TokenUse } from "../../store/enrolment.ts";
import { type AccessControl, numbersOf, type Visible } from "../access/access.ts";
import type { By } from "../access/by.ts";
import type { Listed } from "../experiment/list.ts";
import type { AgentSources } from "./agents.ts";
import { newEnrolmentToken, parsePublicKey, secretHash } from "./identity.ts";

export interface EnrolmentSources {
  enrolment: EnrolmentStore;
}

type Settling = { access: Pick<AccessControl, "settle"> };

/** Uses that are shown with a token; the audit has all. */
const USES_SHOWN_MAX = 500;

/**
 * Registers an agent. The same token with the same key and name is answered again, because an answer may be lost.
 * Throws `enrolment_token_invalid`, `enrolment_token_used`, `enrolment_elsewhere`, `agent_name_taken`, `request_invalid` for a
 * key that is none.
 */
export async function enrolAgent(
  { dispatcher, agents, access }: Pick<AgentSources, "dispatcher" | "agents"> & Settling,
  request: { token: string; name: string; publicKey: string; computeResource: string | undefined },
  by: By,
): Promise<{ agent: AgentId; name: string; computeResource: string | null; timeline: number }> {
  const publicKey = parsePublicKey(request.publicKey);
  const { name, computeResource: claimed } = request;
  const claim = { secretHash: secretHash(request.token), name, publicKey, computeResource: claimed };
  const { agent, computeResource, relationship } = await agents.enrol(claim, { ...by, via: "enrolment_token" });
  await access.settle(relationship);
  return { agent, name, computeResource, timeline: dispatcher.leadership().timeline };
}

/** The secret is in the answer and nowhere else. */
export async function createEnrolmentToken(
  { enrolment, access }: EnrolmentSources & Settling,
  request: {
    note: string;
    lifetimeMs: number;
    /** Null: all. */
    project: ProjectId | null;
    computeResource: string | null;
    usesMax: number;
  },
  by: By,
): Promise<{ record: StoredEnrolmentToken; token: string }> {
  const token = newEnrolmentToken();
  const { note, project: serves, computeResource, usesMax, lifetimeMs: lastsMs } = request;
  const created = await enrolment.create(
    { secretHash: secretHash(token), note, serves, computeResource, usesMax, lastsMs },
    by,
  );
  await access.settle(created.relationship);
  return { record: created.stored, token };
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

/** With who used it. Throws `enrolment_token_not_found`. */
export async function findEnrolmentToken(
  enrolment: EnrolmentStore,
  id: number,
): Promise<{ record: StoredEnrolmentToken; uses: TokenUse[] }> {
  const record = await enrolment.find(id);
  if (!record) throw new AiravataError("enrolment_token_not_found", `there is no enrolment token ${id}`);
  return { record, uses: await enrolment.uses(id, USES_SHOWN_MAX) };
}

/** Agents that came in by it stay. Revoking again is no error. Throws `enrolment_token_not_found`, `enrolment_token_used`. */
export async function revokeEnrolmentToken(
  enrolment: EnrolmentStore,
  id: number,
  by: By,
): Promise<StoredEnrolmentToken> {
  await enrolment.revoke(id, by);
  const record = await enrolment.find(id);
  if (!record) throw new AiravataError("enrolment_token_not_found", `there is no enrolment token ${id}`);
  if (record.usedAtMs === null) return record;
  throw new AiravataError(
    "enrolment_token_used",
    `enrolment token ${id} is used up: agent ${record.agent} was its last`,
  );
}
