/** Routes of the agent program's releases. */
import * as agent from "../agent.ts";
import * as release from "../release.ts";
import { API_PREFIX, bytes, json, type Route } from "./route.ts";

export const releaseRoutes = {
  setUpdatePolicy: {
    method: "POST",
    path: `${API_PREFIX}/agents/{agent}/update-policy`,
    summary: "Pin an agent to a version of its program, refuse updates of it, or allow them again",
    tag: "agents",
    params: agent.agentParams,
    body: release.UpdatePolicy,
    answers: { 200: json("What holds now", release.UpdatePolicy) },
  },
  listReleases: {
    method: "GET",
    path: `${API_PREFIX}/agent-releases`,
    summary: "List the releases of the agent program that this coordinator gives out, newest first",
    tag: "agents",
    query: release.listReleasesQuery,
    answers: { 200: json("One page", release.ReleasePage) },
  },
  beginRollout: {
    method: "POST",
    path: `${API_PREFIX}/agent-rollouts`,
    summary: "Update agents: one first, then more at once; takes the place of the rollout before",
    tag: "agents",
    body: release.BeginRollout,
    bodyOptional: true,
    answers: { 201: json("Begun", release.RolloutDetail) },
  },
  listRollouts: {
    method: "GET",
    path: `${API_PREFIX}/agent-rollouts`,
    summary: "List rollouts, newest first",
    tag: "agents",
    query: release.listRolloutsQuery,
    answers: { 200: json("One page", release.RolloutPage) },
  },
  getRollout: {
    method: "GET",
    path: `${API_PREFIX}/agent-rollouts/{rollout}`,
    summary: "Show a rollout and how far each of its agents is",
    tag: "agents",
    params: release.rolloutParams,
    answers: { 200: json("The rollout", release.RolloutDetail) },
  },
  stopRollout: {
    method: "POST",
    path: `${API_PREFIX}/agent-rollouts/{rollout}/stop`,
    summary: "Update nobody else; who is under way goes on",
    tag: "agents",
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
    params: release.downloadParams,
    query: release.downloadQuery,
    answers: { 200: { description: "One line: checksum and file name", contentType: "text/plain" } },
  },
} as const satisfies Record<string, Route>;
