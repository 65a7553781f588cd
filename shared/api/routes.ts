/**
 * Every route of the coordinator, once. The server registers exactly this table, the OpenAPI document is rendered from
 * it, and tests walk it; a route that is not here does not exist.
 */
import type { z } from "zod";
import * as agent from "./agent.ts";
import * as experiment from "./experiment.ts";
import * as figures from "./figures.ts";
import * as health from "./health.ts";
import * as project from "./project.ts";
import * as release from "./release.ts";
import * as task from "./task.ts";

export const API_PREFIX = "/api/v1";

/** Who may call: anyone, holders of a token, holders of a token or a caller on loopback. */
export type Access = "open" | "token" | "token_or_loopback";

export interface Answer {
  description: string;
  /** Absent: no body, or not JSON (then `contentType` says what). */
  schema?: z.ZodType;
  contentType?: string;
}

export interface Route {
  method: "GET" | "POST" | "DELETE";
  /** With `{parameter}`; `{path}` is the rest of the URL with its slashes. */
  path: string;
  summary: string;
  tag: "experiments" | "tasks" | "projects" | "agents" | "events" | "service";
  access: Access;
  params?: Record<string, z.ZodType>;
  query?: Record<string, z.ZodType>;
  body?: z.ZodType;
  /** The body may be left out. */
  bodyOptional?: boolean;
  /** Takes `Idempotency-Key`. */
  idempotent?: boolean;
  /** Takes `Range`. */
  ranges?: boolean;
  /** Answers with 101 and speaks WebSocket. */
  webSocket?: boolean;
  answers: Record<number, Answer>;
}

// Generic so that the client's types can be read off the table.
const json = <T extends z.ZodType>(description: string, schema: T) => ({ description, schema });
const bytes = (description: string) => ({ description, contentType: "application/octet-stream" });

const decision = (verb: string) =>
  ({
    method: "POST",
    path: `${API_PREFIX}/experiments/{experiment}/${verb}`,
    summary: `${verb[0]?.toUpperCase()}${verb.slice(1)} an experiment`,
    tag: "experiments",
    access: "token",
    params: experiment.experimentParams,
    body: experiment.DecideExperiment,
    bodyOptional: true,
    answers: { 200: json("Decided and durable", experiment.Decided) },
  }) as const satisfies Route;

export const routes = {
  submitExperiment: {
    method: "POST",
    path: `${API_PREFIX}/experiments`,
    summary: "Submit an experiment",
    tag: "experiments",
    access: "token",
    body: experiment.SubmitExperiment,
    idempotent: true,
    answers: {
      200: json("The same request was answered before; this is its experiment", experiment.Experiment),
      201: json("Accepted and durable", experiment.Experiment),
    },
  },
  listExperiments: {
    method: "GET",
    path: `${API_PREFIX}/experiments`,
    summary: "List experiments, newest first",
    tag: "experiments",
    access: "token",
    query: experiment.listExperimentsQuery,
    answers: { 200: json("One page", experiment.ExperimentPage) },
  },
  getExperiment: {
    method: "GET",
    path: `${API_PREFIX}/experiments/{experiment}`,
    summary: "Show an experiment",
    tag: "experiments",
    access: "token",
    params: experiment.experimentParams,
    query: experiment.experimentQuery,
    answers: { 200: json("The experiment", experiment.ExperimentDetail) },
  },
  listTasks: {
    method: "GET",
    path: `${API_PREFIX}/experiments/{experiment}/tasks`,
    summary: "List the tasks of an experiment, in the order of templates and indexes",
    tag: "experiments",
    access: "token",
    params: experiment.experimentParams,
    query: task.listTasksQuery,
    answers: { 200: json("One page", task.TaskPage) },
  },
  cancelExperiment: decision("cancel"),
  pauseExperiment: decision("pause"),
  resumeExperiment: decision("resume"),
  retryExperiment: decision("retry"),
  retireExperiment: {
    method: "POST",
    path: `${API_PREFIX}/experiments/{experiment}/retire`,
    summary: "Archive an ended experiment now: its summary stays, its tasks and attempts go",
    tag: "experiments",
    access: "token",
    params: experiment.experimentParams,
    answers: { 200: json("Archived, now or before", experiment.Experiment) },
  },
  explainExperiment: {
    method: "GET",
    path: `${API_PREFIX}/experiments/{experiment}/explain`,
    summary: "Why it is where it is: what its tasks wait for, and failures grouped by cause",
    tag: "experiments",
    access: "token",
    params: experiment.experimentParams,
    answers: { 200: json("The explanation", experiment.ExperimentExplanation) },
  },
  experimentTimeline: {
    method: "GET",
    path: `${API_PREFIX}/experiments/{experiment}/timeline`,
    summary: "What was decided about an experiment, in order",
    tag: "experiments",
    access: "token",
    params: experiment.experimentParams,
    query: experiment.timelineQuery,
    answers: { 200: json("One page", experiment.TimelinePage) },
  },
  listOutputs: {
    method: "GET",
    path: `${API_PREFIX}/experiments/{experiment}/outputs`,
    summary: "List output files of completed tasks",
    tag: "experiments",
    access: "token",
    params: experiment.experimentParams,
    query: experiment.listOutputsQuery,
    answers: { 200: json("One page", experiment.OutputPage) },
  },
  readOutput: {
    method: "GET",
    path: `${API_PREFIX}/experiments/{experiment}/outputs/{path}`,
    summary: "Read an output file",
    tag: "experiments",
    access: "token",
    params: experiment.outputParams,
    ranges: true,
    answers: { 200: bytes("The whole file"), 206: bytes("The range asked for") },
  },
  getTask: {
    method: "GET",
    path: `${API_PREFIX}/tasks/{task}`,
    summary: "Show a task",
    tag: "tasks",
    access: "token",
    params: task.taskParams,
    answers: { 200: json("The task", task.TaskDetail) },
  },
  listAttempts: {
    method: "GET",
    path: `${API_PREFIX}/tasks/{task}/attempts`,
    summary: "List the attempts of a task",
    tag: "tasks",
    access: "token",
    params: task.taskParams,
    query: task.listAttemptsQuery,
    answers: { 200: json("One page", task.AttemptPage) },
  },
  readLog: {
    method: "GET",
    path: `${API_PREFIX}/tasks/{task}/logs`,
    summary: "Read or follow standard output or error of an attempt",
    tag: "tasks",
    access: "token",
    params: task.taskParams,
    query: task.logQuery,
    answers: {
      200: bytes("The bytes; `Airavata-Attempt` names the attempt, `Airavata-Total-Bytes` the size known at the start"),
    },
  },
  explainTask: {
    method: "GET",
    path: `${API_PREFIX}/tasks/{task}/explain`,
    summary: "Why a task is where it is",
    tag: "tasks",
    access: "token",
    params: task.taskParams,
    answers: { 200: json("The explanation", task.TaskExplanation) },
  },
  cancelTask: {
    method: "POST",
    path: `${API_PREFIX}/tasks/{task}/cancel`,
    summary: "Cancel a task",
    tag: "tasks",
    access: "token",
    params: task.taskParams,
    body: task.CancelTask,
    bodyOptional: true,
    answers: { 200: json("Decided and durable", task.TaskDetail) },
  },
  listProjects: {
    method: "GET",
    path: `${API_PREFIX}/projects`,
    summary: "List projects with how they stand",
    tag: "projects",
    access: "token",
    answers: { 200: json("All of them", project.ProjectList) },
  },
  createProject: {
    method: "POST",
    path: `${API_PREFIX}/projects`,
    summary: "Make a project",
    tag: "projects",
    access: "token",
    body: project.CreateProject,
    answers: { 201: json("Made", project.Project) },
  },
  getProject: {
    method: "GET",
    path: `${API_PREFIX}/projects/{project}`,
    summary: "Show a project, by its name",
    tag: "projects",
    access: "token",
    params: project.projectParams,
    answers: { 200: json("The project", project.Project) },
  },
  changeProject: {
    method: "POST",
    path: `${API_PREFIX}/projects/{project}`,
    summary: "Change weight or limits; what is left out stays, and nothing that runs is ended",
    tag: "projects",
    access: "token",
    params: project.projectParams,
    body: project.ChangeProject,
    answers: { 200: json("Changed; it holds from now on", project.Project) },
  },
  listAgents: {
    method: "GET",
    path: `${API_PREFIX}/agents`,
    summary: "List enrolled agents",
    tag: "agents",
    access: "token",
    query: agent.listAgentsQuery,
    answers: { 200: json("One page", agent.AgentPage) },
  },
  getAgent: {
    method: "GET",
    path: `${API_PREFIX}/agents/{agent}`,
    summary: "Show an agent",
    tag: "agents",
    access: "token",
    params: agent.agentParams,
    answers: { 200: json("The agent", agent.Agent) },
  },
  getAgentMetrics: {
    method: "GET",
    path: `${API_PREFIX}/agents/{agent}/metrics`,
    summary: "An hour of what an agent measured of its node, from the memory of the coordinator that leads",
    tag: "agents",
    access: "token",
    params: agent.agentParams,
    query: figures.agentMetricsQuery,
    answers: { 200: json("The samples", figures.AgentMetrics) },
  },
  drainAgent: {
    method: "POST",
    path: `${API_PREFIX}/agents/{agent}/drain`,
    summary: "Let an agent finish what it holds and give it nothing new",
    tag: "agents",
    access: "token",
    params: agent.agentParams,
    body: agent.DrainAgent,
    bodyOptional: true,
    answers: { 200: json("Told to drain", agent.Agent) },
  },
  setUpdatePolicy: {
    method: "POST",
    path: `${API_PREFIX}/agents/{agent}/update-policy`,
    summary: "Pin an agent to a version of its program, refuse updates of it, or allow them again",
    tag: "agents",
    access: "token",
    params: agent.agentParams,
    body: release.UpdatePolicy,
    answers: { 200: json("What holds now", release.UpdatePolicy) },
  },
  listReleases: {
    method: "GET",
    path: `${API_PREFIX}/agent-releases`,
    summary: "List the releases of the agent program that this coordinator gives out, newest first",
    tag: "agents",
    access: "token",
    query: release.listReleasesQuery,
    answers: { 200: json("One page", release.ReleasePage) },
  },
  beginRollout: {
    method: "POST",
    path: `${API_PREFIX}/agent-rollouts`,
    summary: "Update agents: one first, then more at once; takes the place of the rollout before",
    tag: "agents",
    access: "token",
    body: release.BeginRollout,
    bodyOptional: true,
    answers: { 201: json("Begun", release.RolloutDetail) },
  },
  listRollouts: {
    method: "GET",
    path: `${API_PREFIX}/agent-rollouts`,
    summary: "List rollouts, newest first",
    tag: "agents",
    access: "token",
    query: release.listRolloutsQuery,
    answers: { 200: json("One page", release.RolloutPage) },
  },
  getRollout: {
    method: "GET",
    path: `${API_PREFIX}/agent-rollouts/{rollout}`,
    summary: "Show a rollout and how far each of its agents is",
    tag: "agents",
    access: "token",
    params: release.rolloutParams,
    answers: { 200: json("The rollout", release.RolloutDetail) },
  },
  stopRollout: {
    method: "POST",
    path: `${API_PREFIX}/agent-rollouts/{rollout}/stop`,
    summary: "Update nobody else; who is under way goes on",
    tag: "agents",
    access: "token",
    params: release.rolloutParams,
    body: release.StopRollout,
    bodyOptional: true,
    answers: { 200: json("Stopped", release.RolloutDetail) },
  },
  downloadAgent: {
    method: "GET",
    path: `${API_PREFIX}/agent/download/{platform}`,
    summary: "The agent program for a platform, such as linux-x64",
    tag: "agents",
    access: "open",
    params: release.downloadParams,
    query: release.downloadQuery,
    ranges: true,
    answers: { 200: bytes("The whole program"), 206: bytes("The range asked for") },
  },
  downloadAgentSum: {
    method: "GET",
    path: `${API_PREFIX}/agent/download/{platform}/sha256`,
    summary: "Its checksum, as sha256sum reads it",
    tag: "agents",
    access: "open",
    params: release.downloadParams,
    query: release.downloadQuery,
    answers: { 200: { description: "One line: checksum and file name", contentType: "text/plain" } },
  },
  createEnrolmentToken: {
    method: "POST",
    path: `${API_PREFIX}/enrolment-tokens`,
    summary: "Create a one-time token with which one agent may enrol",
    tag: "agents",
    access: "token",
    body: agent.CreateEnrolmentToken,
    bodyOptional: true,
    idempotent: true,
    answers: {
      200: json("The same request was answered before; this is its token", agent.CreatedEnrolmentToken),
      201: json("Created; the token is shown this once", agent.CreatedEnrolmentToken),
    },
  },
  listEnrolmentTokens: {
    method: "GET",
    path: `${API_PREFIX}/enrolment-tokens`,
    summary: "List enrolment tokens, newest first",
    tag: "agents",
    access: "token",
    query: agent.listEnrolmentTokensQuery,
    answers: { 200: json("One page", agent.EnrolmentTokenPage) },
  },
  revokeEnrolmentToken: {
    method: "DELETE",
    path: `${API_PREFIX}/enrolment-tokens/{id}`,
    summary: "Revoke an enrolment token that was not used",
    tag: "agents",
    access: "token",
    params: agent.enrolmentTokenParams,
    answers: { 200: json("Revoked", agent.EnrolmentToken) },
  },
  enrolAgent: {
    method: "POST",
    path: `${API_PREFIX}/agent/enrol`,
    summary: "Trade an enrolment token for an agent's identity; the same token with the same key is answered again",
    tag: "agents",
    access: "open",
    body: agent.EnrolAgent,
    answers: { 201: json("Enrolled, now or before with the same token, name and key", agent.Enrolled) },
  },
  agentSession: {
    method: "GET",
    path: `${API_PREFIX}/agent/session`,
    summary: "The agents' WebSocket: MessagePack frames, opened by a challenge that the agent's key must answer",
    tag: "agents",
    access: "open",
    webSocket: true,
    answers: { 101: { description: "Switching protocols" } },
  },
  events: {
    method: "GET",
    path: `${API_PREFIX}/events`,
    summary: "Events as a WebSocket of JSON text: send Subscribe, receive WatchMessage",
    tag: "events",
    access: "token",
    webSocket: true,
    answers: { 101: { description: "Switching protocols; the subprotocol is airavata.events.1" } },
  },
  currentUser: {
    method: "GET",
    path: `${API_PREFIX}/user`,
    summary: "Who the caller is",
    tag: "service",
    access: "token",
    answers: { 200: json("The caller", health.CurrentUser) },
  },
  health: {
    method: "GET",
    path: `${API_PREFIX}/health`,
    summary: "The process answers; `leading` says whether it is the one that decides",
    tag: "service",
    access: "open",
    answers: { 200: json("Alive", health.Health) },
  },
  healthDatabase: {
    method: "GET",
    path: `${API_PREFIX}/health/db`,
    summary: "The database answers",
    tag: "service",
    access: "open",
    answers: { 200: json("It does", health.HealthDatabase) },
  },
  healthReady: {
    method: "GET",
    path: `${API_PREFIX}/health/ready`,
    summary: "This process takes work: it leads, or it reaches the coordinator that does, whose answer this is",
    tag: "service",
    access: "open",
    answers: { 200: json("It does", health.HealthReady) },
  },
  openapi: {
    method: "GET",
    path: `${API_PREFIX}/openapi.json`,
    summary: "This document",
    tag: "service",
    access: "token",
    answers: { 200: { description: "OpenAPI 3.1", contentType: "application/json" } },
  },
  metrics: {
    method: "GET",
    path: "/metrics",
    summary: "Figures for Prometheus",
    tag: "service",
    access: "token_or_loopback",
    answers: { 200: { description: "Prometheus text format", contentType: "text/plain" } },
  },
  index: {
    method: "GET",
    path: "/",
    summary: "A page that says what this is",
    tag: "service",
    access: "open",
    answers: { 200: { description: "Text", contentType: "text/plain" } },
  },
} as const satisfies Record<string, Route>;

export type RouteId = keyof typeof routes;
