/** The port to the durable record of agents and enrolment tokens; `coordinator/store` implements it. */
import type { ActorId, AgentId } from "../../../shared/model/ids.ts";
import type { EnrolmentTokenRecord } from "./record.ts";

export interface StoredAgent {
  agent: AgentId;
  name: string;
  publicKey: Buffer;
  enrolledAtMs: number;
}

/** What came of an enrolment; decided in one transaction. */
export type EnrolOutcome =
  /** `again`: the same token and key as before, whose answer was lost. */
  { outcome: "enrolled"; agent: AgentId; again: boolean } | { outcome: "token_invalid" } | { outcome: "name_taken" };

export interface AgentRegistry {
  /** Not revoked, by number, beginning after `after`. */
  agents(after: AgentId | null, limit: number): Promise<StoredAgent[]>;
  /** Not revoked. */
  agent(id: AgentId): Promise<StoredAgent | undefined>;
  /** Whatever became of them: the history names revoked ones too. */
  names(ids: readonly AgentId[]): Promise<Map<AgentId, string>>;
  enrol(request: { tokenHash: Buffer; name: string; publicKey: Buffer }): Promise<EnrolOutcome>;
  createToken(request: {
    secretHash: Buffer;
    note: string;
    lifetimeMs: number;
    actor: ActorId;
  }): Promise<EnrolmentTokenRecord>;
  /** Newest first, beginning before `before`. */
  tokens(before: number | null, limit: number): Promise<EnrolmentTokenRecord[]>;
  /** Revokes it unless it was used; what it is afterwards. */
  revokeToken(id: number): Promise<EnrolmentTokenRecord | undefined>;
}
