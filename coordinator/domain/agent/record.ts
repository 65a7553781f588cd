/** Agents and enrolment tokens as people see them. */
import type { AgentId } from "../../../shared/model/ids.ts";
import type { AgentView } from "../../dispatch/contract.ts";

export interface AgentRecord {
  agent: AgentId;
  name: string;
  enrolledAtMs: number;
  /** What the dispatcher knows of its session; null when it has seen none in this reign. */
  view: AgentView | null;
}

export interface EnrolmentTokenRecord {
  id: number;
  note: string;
  createdAtMs: number;
  expiresAtMs: number;
  usedAtMs: number | null;
  revokedAtMs: number | null;
  /** Who used it. */
  agent: AgentId | null;
}
