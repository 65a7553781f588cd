/** Agents as people see them: who is enrolled, from the registry, with what the dispatcher knows of their sessions. */
import { AiravataError } from "../../../shared/error/error.ts";
import type { AgentId } from "../../../shared/model/ids.ts";
import type { Dispatcher } from "../../dispatch/contract.ts";
import type { AgentStore, StoredAgent } from "../../store/agents.ts";
import type { AuditLog } from "../../store/audit-log.ts";
import type { RolloutStore } from "../../store/rollouts.ts";
import { numbersOf, type Visible } from "../access/access.ts";
import type { By } from "../access/by.ts";
import type { Listed } from "../experiment/list.ts";
import type { AgentFigures } from "./figures.ts";
import type { HistoryRow } from "./node-history.ts";
import type { AgentNotices } from "./notices.ts";
import type { AgentRecord } from "./record.ts";

export interface AgentSources {
  dispatcher: Dispatcher;
  agents: AgentStore;
  figures: AgentFigures;
  rollouts: RolloutStore;
  notices: AgentNotices;
}

/** By number. Throws `cursor_invalid`. */
export async function listAgents(
  sources: AgentSources,
  query: { limit: number; cursor: string | undefined; visible: Visible },
): Promise<Listed<AgentRecord>> {
  if (query.cursor !== undefined && !/^\d{1,15}$/.test(query.cursor)) {
    throw new AiravataError("cursor_invalid", "the cursor is not one of this list; leave it out to begin anew");
  }
  const stored = await sources.agents.list(Number(query.cursor ?? 0), query.limit + 1, numbersOf(query.visible));
  const items = await withViews(sources, stored.slice(0, query.limit));
  return { items, nextCursor: stored.length > query.limit ? String(items.at(-1)!.agent) : null };
}

/** Throws `agent_not_found`. */
export async function findAgent(sources: AgentSources, id: AgentId): Promise<AgentRecord> {
  const stored = await sources.agents.find(id);
  if (!stored || stored.revokedAtMs !== null) throw new AiravataError("agent_not_found", `no agent ${id} is enrolled`);
  return (await withViews(sources, [stored]))[0]!;
}

/**
 * Asks an agent to take nothing new and to leave when it is done. Throws `agent_not_found`, `agent_offline` (it would
 * come back READY, so there is nothing to be told), `not_leading`.
 */
export async function drainAgent(
  sources: AgentSources & { audit: Pick<AuditLog, "append"> },
  id: AgentId,
  reason: string,
  by: By,
): Promise<AgentRecord> {
  const { view } = await findAgent(sources, id);
  if (!view || (view.state !== "READY" && view.state !== "DRAINING")) {
    throw new AiravataError(
      "agent_offline",
      `agent ${id} is ${view?.state ?? "OFFLINE"} and must be READY to be drained`,
    );
  }
  // Nothing of it is in the database: told before it is done, so that it is never done untold.
  const { serves: project = null } = (await sources.agents.find(id)) ?? {};
  await sources.audit.append([
    { by, action: "agent.drain", resource: { type: "agent", id }, project, after: { reason } },
  ]);
  sources.dispatcher.drain(id, reason);
  return findAgent(sources, id);
}

/** What an agent measured in the last hour, oldest first. Throws `agent_not_found`. */
export async function agentHistory(sources: AgentSources, id: AgentId, sinceMs: number): Promise<HistoryRow[]> {
  await findAgent(sources, id);
  return sources.figures.history(id, sinceMs);
}

/** Agents that measure, by number, with their names. */
export function measuredAgents({ dispatcher, figures }: Pick<AgentSources, "dispatcher" | "figures">) {
  const names = new Map(dispatcher.agents().map(({ agent, name }) => [agent, name]));
  return figures.agents().flatMap((agent) => {
    const sample = figures.latest(agent);
    const name = names.get(agent);
    return sample === undefined || name === undefined ? [] : { name, sample };
  });
}

async function withViews(
  { dispatcher, figures, rollouts, notices }: AgentSources,
  stored: StoredAgent[],
): Promise<AgentRecord[]> {
  const ids = stored.map(({ agent }) => agent);
  const [latest, policies] = await Promise.all([rollouts.latest(ids), rollouts.policies(ids)]);
  const targets = new Map(latest.map((target) => [target.agent, target]));
  const allowed = new Map(policies.map((policy) => [policy.agent, policy]));
  const views = new Map(dispatcher.agents().map((view) => [view.agent, view]));
  return stored.map(({ agent, name, enrolledAtMs, keyChangedAtMs, project, computeResource }) => ({
    agent,
    name,
    enrolledAtMs,
    keyChangedAtMs,
    project,
    computeResource,
    address: notices.address(agent),
    notice: notices.latest(agent) ?? null,
    view: views.get(agent) ?? null,
    sample: figures.latest(agent) ?? null,
    target: targets.get(agent) ?? null,
    policy: allowed.get(agent) ?? null,
  }));
}

/** Names of agents, also of revoked ones: the history has them. */
export async function agentNames(agents: AgentStore, ids: readonly AgentId[]): Promise<Map<AgentId, string>> {
  const found = await Promise.all([...new Set(ids)].map((id) => agents.find(id)));
  return new Map(found.flatMap((agent) => (agent ? [[agent.agent, agent.name]] : [])));
}
