/** An agent as people see it. */
import type { AgentId } from "../../../shared/model/ids.ts";
import type { AgentView } from "../../dispatch/contract.ts";
import type { StoredTarget, UpdatePolicy } from "../../store/rollouts.ts";
import type { NodeSample } from "./node-sample.ts";
import type { AgentNotice } from "./notices.ts";

export interface AgentRecord {
  agent: AgentId;
  name: string;
  enrolledAtMs: number;
  keyChangedAtMs: number;
  /** The one that it serves; null: all. */
  project: string | null;
  /** By its enrolment token. */
  computeResource: string | null;
  /** Where its session comes from, or the last one came from; null when this process has seen none. */
  address: string | null;
  notice: AgentNotice | null;
  /** What the dispatcher knows of its session; null when it has seen none in this reign. */
  view: AgentView | null;
  /** What it measured last; null when nothing came. */
  sample: NodeSample | null;
  /** Its part in the latest rollout that it belongs to. */
  target: StoredTarget | null;
  /** What the operator allows; null: every update. */
  policy: UpdatePolicy | null;
}
