/** How agents come in: an operator makes a one-time token, an agent trades it for an identity bound to its own key. */
import { AiravataError } from "../../../shared/error/error.ts";
import type { ActorId, AgentId } from "../../../shared/model/ids.ts";
import type { Listed } from "../experiment/list.ts";
import type { AgentSources } from "./agents.ts";
import { newEnrolmentToken, parsePublicKey, secretHash } from "./identity.ts";
import type { EnrolmentTokenRecord } from "./record.ts";
import type { AgentRegistry } from "./registry.ts";

/**
 * Registers an agent. The same token with the same key and name is answered again, because an answer may be lost.
 * Throws `enrolment_token_invalid`, `agent_name_taken`, `request_invalid` for a key that is none.
 */
export async function enrolAgent(
  { dispatcher, registry }: AgentSources,
  request: { token: string; name: string; publicKey: string },
): Promise<{ agent: AgentId; again: boolean; timeline: number }> {
  const publicKey = parsePublicKey(request.publicKey);
  const result = await registry.enrol({ tokenHash: secretHash(request.token), name: request.name, publicKey });
  if (result.outcome === "enrolled") return { ...result, timeline: dispatcher.leadership().timeline };
  if (result.outcome === "name_taken") {
    const text = `an agent "${request.name}" is enrolled with another key; choose another name or use that one's state`;
    throw new AiravataError("agent_name_taken", text);
  }
  throw new AiravataError("enrolment_token_invalid", "the enrolment token is unknown, used, revoked or expired");
}

/** The secret is in the answer and nowhere else. */
export async function createEnrolmentToken(
  registry: AgentRegistry,
  request: { note: string; lifetimeMs: number; actor: ActorId },
): Promise<{ record: EnrolmentTokenRecord; token: string }> {
  const token = newEnrolmentToken();
  return { record: await registry.createToken({ ...request, secretHash: secretHash(token) }), token };
}

/** Newest first. Throws `cursor_invalid`. */
export async function listEnrolmentTokens(
  registry: AgentRegistry,
  query: { limit: number; cursor: string | undefined },
): Promise<Listed<EnrolmentTokenRecord>> {
  if (query.cursor !== undefined && !/^\d{1,15}$/.test(query.cursor)) {
    throw new AiravataError("cursor_invalid", "the cursor is not one of this list; leave it out to begin anew");
  }
  const tokens = await registry.tokens(query.cursor === undefined ? null : Number(query.cursor), query.limit + 1);
  const items = tokens.slice(0, query.limit);
  return { items, nextCursor: tokens.length > query.limit ? String(items.at(-1)!.id) : null };
}

/** Throws `enrolment_token_not_found`, `enrolment_token_used`. */
export async function revokeEnrolmentToken(registry: AgentRegistry, id: number): Promise<EnrolmentTokenRecord> {
  const record = await registry.revokeToken(id);
  if (!record) throw new AiravataError("enrolment_token_not_found", `there is no enrolment token ${id}`);
  if (record.revokedAtMs !== null) return record;
  throw new AiravataError("enrolment_token_used", `enrolment token ${id} was used: agent ${record.agent} has it`);
}
