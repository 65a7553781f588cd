/** Who answers which route while another coordinator leads. A route that does not stand here does not compile. */
import type { RouteId } from "../../../shared/api/routes.ts";

/**
 * `here`: needs no dispatcher. `history`: answered here for what has ended, forwarded when that finds out that the
 * dispatcher has to be asked. `dispatcher`: what only its memory or its agents' sockets know, every decision, and every change
 * of who may do what: so that what the dispatcher remembers of that is always right.
 */
export type Served = "here" | "history" | "dispatcher";

export const SERVED: Record<RouteId, Served> = {
  submitExperiment: "dispatcher",
  listExperiments: "history",
  getExperiment: "history",
  listTasks: "history",
  cancelExperiment: "dispatcher",
  pauseExperiment: "dispatcher",
  resumeExperiment: "dispatcher",
  retryExperiment: "dispatcher",
  retireExperiment: "dispatcher",
  explainExperiment: "history",
  experimentTimeline: "history",
  listOutputs: "dispatcher",
  readOutput: "dispatcher",
  getTask: "history",
  listAttempts: "history",
  readLog: "dispatcher",
  explainTask: "history",
  cancelTask: "dispatcher",
  listProjects: "dispatcher",
  createProject: "dispatcher",
  getProject: "dispatcher",
  changeProject: "dispatcher",
  listAgents: "dispatcher",
  getAgent: "dispatcher",
  getAgentMetrics: "dispatcher",
  drainAgent: "dispatcher",
  downloadAgent: "here",
  downloadAgentSum: "here",
  listReleases: "here",
  // Only the dispatcher knows who is connected, and carries rollouts on.
  beginRollout: "dispatcher",
  listRollouts: "here",
  getRollout: "here",
  stopRollout: "dispatcher",
  setUpdatePolicy: "dispatcher",
  createEnrolmentToken: "dispatcher",
  listEnrolmentTokens: "here",
  revokeEnrolmentToken: "dispatcher",
  enrolAgent: "dispatcher",
  agentSession: "dispatcher",
  events: "dispatcher",
  currentUser: "here",
  health: "here",
  healthDatabase: "here",
  // Whoever reaches the dispatcher takes work as well as the dispatcher does.
  healthReady: "dispatcher",
  openapi: "here",
  metrics: "here",
  index: "here",
};
