/** The port to agents' programs: what they run, asking them for another one. The socket room implements it. */
import type { AgentId } from "../../../shared/model/ids.ts";
import type { FromAgent, ToAgent } from "../../../shared/protocol/messages.ts";

export type UpdateState = Extract<FromAgent, { type: "update_state" }>;

export interface AgentPrograms {
  /** What a connected agent said of itself; undefined while it has no session. */
  platform(agent: AgentId): string | null | undefined;
  /** Nothing happens when it has no session. */
  ask(agent: AgentId, message: Extract<ToAgent, { type: "update" }>): void;
}
