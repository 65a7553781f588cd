/**
 * The end of an agent's identity, and another key for it. Both are durable first and hold in the next turn of the loop: the
 * live session ends. What was decided while another coordinator led is found by the reconciler.
 */
import { AiravataError } from "../../../shared/error/error.ts";
import { rotationText } from "../../../shared/identity/identity.ts";
import type { AgentId } from "../../../shared/model/ids.ts";
import type { Dispatcher } from "../../dispatch/contract.ts";
import type { AgentStore, StoredAgent } from "../../store/agents.ts";
import type { AccessControl } from "../access/access.ts";
import type { By } from "../access/by.ts";
import { isSignedBy, parsePublicKey, revokedSentence } from "./identity.ts";
import type { AgentSessions } from "./session.ts";

export interface RevocationSources {
  dispatcher: Dispatcher;
  agents: AgentStore;
  sessions: Pick<AgentSessions, "keyChanged">;
  access: Pick<AccessControl, "settle">;
}

/** Revoking again is an error: its number names nobody any more. Throws `agent_not_found`. */
export async function revokeAgent(
  { dispatcher, agents, access }: RevocationSources,
  id: AgentId,
  reason: string,
  by: By,
): Promise<StoredAgent> {
  const revoked = await agents.revoke(id, reason, by);
  const stored = await agents.find(id);
  if (!revoked || !stored) throw new AiravataError("agent_not_found", `no agent ${id} is enrolled`);
  dispatcher.revoke(id, revokedSentence(stored.name));
  await access.settle(revoked.relationship);
  return stored;
}

export interface KeyRotation {
  agent: AgentId;
  name: string;
  /** Both as they are enrolled: SPKI in DER, base64. */
  previousKey: string;
  publicKey: string;
  /** Signatures of `rotationText` by the previous key and by the new one. */
  proof: string;
  newProof: string;
}

/**
 * Makes the new key the one that counts. Asked again, because an answer may be lost, it is answered again; the statement is
 * worth nothing once the previous key is not the agent's any more. Throws `hello_refused`, also for an unknown agent,
 * `agent_revoked` for one whose key it is, `request_invalid`.
 */
export async function rotateAgentKey(
  { agents, sessions }: RevocationSources,
  rotation: KeyRotation,
  by: By,
): Promise<{ agent: AgentId; name: string }> {
  const { agent, name } = rotation;
  const before = parsePublicKey(rotation.previousKey, "previous_key");
  const after = parsePublicKey(rotation.publicKey);
  const text = Buffer.from(rotationText(rotation));
  const known = await agents.identity(agent);
  const isOwn = known?.name === name && (known.publicKey.equals(before) || known.publicKey.equals(after));
  const signed =
    isOwn &&
    (await isSignedBy(before, text, Buffer.from(rotation.proof, "base64"))) &&
    (await isSignedBy(after, text, Buffer.from(rotation.newProof, "base64")));
  if (!signed) {
    throw new AiravataError(
      "hello_refused",
      `agent ${agent} is not enrolled here under this name and key; enrol it with a new token`,
    );
  }
  if (known.revoked) throw new AiravataError("agent_revoked", revokedSentence(name));
  if (!known.publicKey.equals(after) && !(await agents.changeKey({ agent, before, after }, by))) {
    throw new AiravataError("agent_key_changed", `the key of agent ${name} was changed meanwhile by another request`);
  }
  sessions.keyChanged(agent, after);
  return { agent, name };
}

/** Ends sessions whose identity was revoked or changed by a coordinator that does not lead, or no longer did. */
export async function endStaleSessions({ dispatcher, agents, sessions }: Omit<RevocationSources, "access">) {
  for (const { agent, name, publicKey, revoked } of await agents.identitiesChanged()) {
    if (revoked) dispatcher.revoke(agent, revokedSentence(name));
    else sessions.keyChanged(agent, publicKey);
  }
}
