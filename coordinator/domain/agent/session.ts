/**
 * Opens agent sessions: a challenge goes out, a proven hello comes in, the dispatcher takes over. The socket room brings
 * frames, the dispatcher gives leases, and neither knows the other.
 */
import { randomBytes } from "node:crypto";
import { AiravataError } from "../../../shared/error/error.ts";
import type { AgentId, ProjectId } from "../../../shared/model/ids.ts";
import { PROTOCOL_VERSION, PROTOCOL_VERSION_OLDEST, type ToAgent } from "../../../shared/protocol/messages.ts";
import type { AgentPeer, AgentSession, Dispatcher } from "../../dispatch/contract.ts";
import { checkHello, type Hello } from "./identity.ts";

export type { AgentSession };

interface AgentIdentity {
  name: string;
  publicKey: Buffer;
  /** The one project that it serves; null: all. */
  serves: ProjectId | null;
}

export interface AgentSessions {
  /** First message on a new socket. Throws `not_leading`. */
  challenge(): Extract<ToAgent, { type: "challenge" }>;
  /** Throws `hello_refused`, `protocol_version_unsupported` or `not_leading`. */
  attach(hello: Hello, challenge: { nonce: string; timeline: number }, peer: AgentPeer): Promise<AgentSession>;
  /** Calls when this process no longer leads: every socket must go. Returns the function that stops it. */
  onDeposed(listener: () => void): () => void;
}

export function createAgentSessions(options: {
  dispatcher: Dispatcher;
  /** An agent that was not revoked. */
  identity(agent: AgentId): Promise<AgentIdentity | undefined>;
}): AgentSessions {
  const { dispatcher } = options;
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
      const known = await options.identity(hello.agent);
      await checkHello(hello, nonce, timeline, known);
      // Another history may have begun while the key was looked up: what this agent holds would be taken for its own.
      if (leading(dispatcher).timeline !== timeline) {
        throw new AiravataError("not_leading", "another timeline began meanwhile; connect again");
      }
      return dispatcher.attach(hello, peer, known?.serves ?? null);
    },
    onDeposed(listener) {
      return dispatcher.onLeadership((leadership) => {
        if (!leadership.leading) listener();
      });
    },
  };
}

function leading(dispatcher: Dispatcher): { timeline: number } {
  const leadership = dispatcher.leadership();
  if (leadership.leading) return leadership;
  throw new AiravataError("not_leading", `this coordinator does not lead: ${leadership.detail}`);
}
