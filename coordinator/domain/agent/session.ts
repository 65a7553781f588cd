/**
 * Opens agent sessions: a challenge goes out, a proven hello comes in, the dispatcher takes over. The socket room brings
 * frames, the dispatcher gives leases, and neither knows the other. What an identity is changed or ended by holds at once,
 * also for a hello whose key was looked up before.
 */
import { randomBytes } from "node:crypto";
import { AiravataError } from "../../../shared/error/error.ts";
import { COMPUTE_RESOURCE_LABEL } from "../../../shared/model/constants.ts";
import type { AgentId } from "../../../shared/model/ids.ts";
import { PROTOCOL_VERSION, PROTOCOL_VERSION_OLDEST, type ToAgent } from "../../../shared/protocol/messages.ts";
import type { AgentPeer, AgentSession, Dispatcher } from "../../dispatch/contract.ts";
import type { AgentIdentity } from "../../store/identities.ts";
import { checkHello, type Hello } from "./identity.ts";

export type { AgentSession };

export interface AgentSessions {
  /** First message on a new socket. Throws `not_leading`. */
  challenge(): Extract<ToAgent, { type: "challenge" }>;
  /** Throws `hello_refused`, `agent_revoked`, `agent_key_changed`, `protocol_version_unsupported` or `not_leading`. */
  attach(hello: Hello, challenge: { nonce: string; timeline: number }, peer: AgentPeer): Promise<AgentSession>;
  /** Another key counts: a session that was opened with a former one ends, and its agent comes back with the new one. */
  keyChanged(agent: AgentId, publicKey: Buffer): void;
  /** Calls when this process no longer leads: every socket must go. Returns the function that stops it. */
  onDeposed(listener: () => void): () => void;
}

const KEY_CHANGED = "agent_key_changed";

export function createAgentSessions(options: {
  dispatcher: Dispatcher;
  /** Also of an agent that was revoked. */
  identity(agent: AgentId): Promise<AgentIdentity | undefined>;
}): AgentSessions {
  const { dispatcher } = options;
  const open = new Map<AgentId, { publicKey: Buffer; peer: AgentPeer }>();
  /** How often an agent's key was changed while this process runs. */
  const changes = new Map<AgentId, number>();
  return {
    challenge() {
      const { timeline } = leading(dispatcher);
      return {
        type: "challenge",
        version: PROTOCOL_VERSION,
        versionOldest: PROTOCOL_VERSION_OLDEST,
        nonce: randomBytes(32).toString("base64url"),
        timeline,
      };
    },
    async attach(hello, { nonce, timeline }, peer) {
      const { agent } = hello;
      const before = changes.get(agent);
      const known = await options.identity(agent);
      const proven = await checkHello(hello, nonce, timeline, known);
      // Another history may have begun while the key was looked up: what this agent holds would be taken for its own.
      if (leading(dispatcher).timeline !== timeline) {
        throw new AiravataError("not_leading", "another timeline began meanwhile; connect again");
      }
      if (changes.get(agent) !== before) {
        throw new AiravataError(KEY_CHANGED, "the agent's key was changed meanwhile; connect again with the new one");
      }
      const entry = { publicKey: proven.publicKey, peer };
      open.set(agent, entry);
      const session = dispatcher.attach(placed(hello, proven.computeResource), peer, proven.serves);
      return {
        receive: (message) => session.receive(message),
        disconnected() {
          if (open.get(agent) === entry) open.delete(agent);
          session.disconnected();
        },
      };
    },
    keyChanged(agent, publicKey) {
      const session = open.get(agent);
      if (session?.publicKey.equals(publicKey)) return;
      changes.set(agent, (changes.get(agent) ?? 0) + 1);
      if (!session) return;
      const message = "the agent's key was changed; connect again with the new one";
      session.peer.send({ type: "error", code: KEY_CHANGED, message, reaction: "reconnect" });
      session.peer.close(message);
    },
    onDeposed(listener) {
      return dispatcher.onLeadership((leadership) => {
        if (!leadership.leading) listener();
      });
    },
  };
}

/** Where an agent is says its enrolment, and nothing that it says itself. */
function placed(hello: Hello, computeResource: string | null): Hello {
  const { [COMPUTE_RESOURCE_LABEL]: _claimed, ...labels } = hello.capacity.labels;
  if (computeResource !== null) labels[COMPUTE_RESOURCE_LABEL] = computeResource;
  return { ...hello, capacity: { ...hello.capacity, labels } };
}

function leading(dispatcher: Dispatcher): { timeline: number } {
  const leadership = dispatcher.leadership();
  if (leadership.leading) return leadership;
  throw new AiravataError("not_leading", `this coordinator does not lead: ${leadership.detail}`);
}
