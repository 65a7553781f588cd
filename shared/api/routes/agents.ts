/** Routes of agents and their enrolment. */
import * as agent from "../agent.ts";
import * as figures from "../figures.ts";
import { API_PREFIX, json, type Route } from "./route.ts";

export const agentRoutes = {
  listAgents: {
    method: "GET",
    path: `${API_PREFIX}/agents`,
    summary: "List enrolled agents",
    tag: "agents",
    query: agent.listAgentsQuery,
    answers: { 200: json("One page", agent.AgentPage) },
  },
  getAgent: {
    method: "GET",
    path: `${API_PREFIX}/agents/{agent}`,
    summary: "Show an agent",
    tag: "agents",
    params: agent.agentParams,
    answers: { 200: json("The agent", agent.Agent) },
  },
  getAgentMetrics: {
    method: "GET",
    path: `${API_PREFIX}/agents/{agent}/metrics`,
    summary: "An hour of what an agent measured of its node, from the memory of the coordinator that leads",
    tag: "agents",
    params: agent.agentParams,
    query: figures.agentMetricsQuery,
    answers: { 200: json("The samples", figures.AgentMetrics) },
  },
  drainAgent: {
    method: "POST",
    path: `${API_PREFIX}/agents/{agent}/drain`,
    summary: "Let an agent finish what it holds and give it nothing new",
    tag: "agents",
    params: agent.agentParams,
    body: agent.DrainAgent,
    bodyOptional: true,
    answers: { 200: json("Told to drain", agent.Agent) },
  },
  createEnrolmentToken: {
    method: "POST",
    path: `${API_PREFIX}/enrolment-tokens`,
    summary: "Create a one-time token with which one agent may enrol",
    tag: "agents",
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
    query: agent.listEnrolmentTokensQuery,
    answers: { 200: json("One page", agent.EnrolmentTokenPage) },
  },
  revokeEnrolmentToken: {
    method: "DELETE",
    path: `${API_PREFIX}/enrolment-tokens/{id}`,
    summary: "Revoke an enrolment token that was not used",
    tag: "agents",
    params: agent.enrolmentTokenParams,
    answers: { 200: json("Revoked", agent.EnrolmentToken) },
  },
  enrolAgent: {
    method: "POST",
    path: `${API_PREFIX}/agent/enrol`,
    summary: "Trade an enrolment token for an agent's identity; the same token with the same key is answered again",
    tag: "agents",
    body: agent.EnrolAgent,
    answers: { 201: json("Enrolled, now or before with the same token, name and key", agent.Enrolled) },
  },
  agentSession: {
    method: "GET",
    path: `${API_PREFIX}/agent/session`,
    summary: "The agents' WebSocket: MessagePack frames, opened by a challenge that the agent's key must answer",
    tag: "agents",
    webSocket: true,
    answers: { 101: { description: "Switching protocols" } },
  },
} as const satisfies Record<string, Route>;
