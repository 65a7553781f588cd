/**
 * Rollouts: begun by an operator, carried on step by step by a reconciler, told by agents. What is wished and how far it is
 * stands in the database; what agents run is what their sessions say.
 */
import { API_PREFIX } from "../../../shared/api/routes.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import type { Logger } from "../../../shared/log/log.ts";
import type { AgentId } from "../../../shared/model/ids.ts";
import type { TargetState, UpdatePhase } from "../../../shared/model/update.ts";
import type { Dispatcher } from "../../dispatch/contract.ts";
import type { StoredRollout, StoredTarget, UpdatePolicy } from "../../store/rollouts.ts";
import type { By } from "../access/by.ts";
import { type AgentSources, findAgent } from "../agent/agents.ts";
import type { Listed } from "../experiment/list.ts";
import { decideRollout, type UpdatePeer } from "./decide.ts";
import type { ReleaseDirectory } from "./directory.ts";
import type { AgentPrograms, UpdateState } from "./programs.ts";

export interface RolloutSources extends AgentSources {
  releases: ReleaseDirectory;
}

export interface RolloutRecord extends StoredRollout {
  targets: StoredTarget[];
}

/** What an agent's word makes of it in its rollout. */
const STATE_OF: Record<UpdatePhase, TargetState> = {
  DOWNLOADING: "DOWNLOADING",
  HANDING_OVER: "HANDING_OVER",
  HEALTHY: "PROVING",
  FAILED: "FAILED",
  REFUSED: "SKIPPED",
  ROLLED_BACK: "ROLLED_BACK",
};

/**
 * Begins a rollout and ends the one before. `agents` null: all that have a session now. Throws `release_not_found`,
 * `agent_not_found`, `rollout_empty`, `not_leading`.
 */
export async function beginRollout(
  sources: RolloutSources,
  request: { version: string | undefined; agents: AgentId[] | null; by: By },
): Promise<RolloutRecord> {
  const { version } = await sources.releases.find(request.version);
  const chosen = request.agents ?? connected(sources.dispatcher);
  if (chosen.length === 0) {
    throw new AiravataError("rollout_empty", "no agent is connected, so there is none to update");
  }
  const agents = [...new Set(chosen)];
  for (const agent of agents) await findAgent(sources, agent);
  return findRollout(sources, await sources.rollouts.create({ version, agents, by: request.by }));
}

/** Throws `rollout_not_found`. */
export async function findRollout({ rollouts }: RolloutSources, id: number): Promise<RolloutRecord> {
  const stored = await rollouts.find(id);
  if (!stored) throw new AiravataError("rollout_not_found", `there is no rollout ${id}`);
  return { ...stored, targets: await rollouts.targets(id) };
}

/** Newest first. Throws `cursor_invalid`. */
export async function listRollouts(
  { rollouts }: RolloutSources,
  query: { limit: number; cursor: string | undefined },
): Promise<Listed<StoredRollout>> {
  if (query.cursor !== undefined && !/^\d{1,15}$/.test(query.cursor)) {
    throw new AiravataError("cursor_invalid", "the cursor is not one of this list; leave it out to begin anew");
  }
  const stored = await rollouts.list(query.cursor === undefined ? null : Number(query.cursor), query.limit + 1);
  const items = stored.slice(0, query.limit);
  return { items, nextCursor: stored.length > query.limit ? String(items.at(-1)?.rollout) : null };
}

/** Nobody else is asked; who is under way goes on. Throws `rollout_not_found`, `rollout_ended`. */
export async function stopRollout(sources: RolloutSources, id: number, reason: string, by: By): Promise<RolloutRecord> {
  if (!(await sources.rollouts.end(id, "STOPPED", reason, by))) {
    const { state } = await findRollout(sources, id);
    throw new AiravataError("rollout_ended", `rollout ${id} is ${state} but must be ACTIVE to be stopped`);
  }
  return findRollout(sources, id);
}

/** Throws `agent_not_found`. */
export async function setUpdatePolicy(sources: RolloutSources, policy: UpdatePolicy, by: By): Promise<void> {
  await findAgent(sources, policy.agent);
  await sources.rollouts.setPolicy(policy, by);
}

/** Takes an agent's word; true when it changed something. */
export function reportUpdate({ rollouts }: RolloutSources, agent: AgentId, state: UpdateState): Promise<boolean> {
  const { rollout, phase, message } = state;
  return rollouts.report({ rollout, agent, to: STATE_OF[phase], message });
}

/** One step of the active rollout, if there is one; true when there is more to do at once. */
export async function advanceRollout(
  sources: RolloutSources,
  ports: { programs: AgentPrograms; settleMs: number; log: Logger },
): Promise<boolean> {
  const { rollouts, releases } = sources;
  const active = await rollouts.active();
  if (active === undefined) return false;
  const { rollout, version } = active;
  const [targets, release] = await Promise.all([rollouts.targets(rollout), releases.find(version).catch(gone)]);
  if (release === undefined) {
    const reason = `version ${version} is not published on the coordinator that leads any more`;
    return rollouts.end(rollout, "STOPPED", reason, null);
  }
  const ids = targets.map(({ agent }) => agent);
  const policies = new Map((await rollouts.policies(ids)).map((policy) => [policy.agent, policy]));
  const peers = peersOf(sources.dispatcher, ports.programs);
  const platforms = new Set(release.files.map(({ platform }) => platform));
  const { settleMs } = ports;
  const { moves, ask, end } = decideRollout({ version, platforms, targets, peers, policies, settleMs });
  for (const move of moves) await rollouts.move({ rollout, ...move });
  for (const agent of ask) {
    const file = release.files.find(({ platform }) => platform === peers.get(agent)?.platform);
    if (file === undefined) continue;
    const path = `${API_PREFIX}/agent/download/${file.platform}?version=${encodeURIComponent(version)}`;
    const { sha256, sizeBytes } = file;
    ports.programs.ask(agent, { type: "update", rollout, version, sha256, sizeBytes, path });
  }
  if (end !== null && (await rollouts.end(rollout, end.state, end.reason, null))) {
    ports.log[end.state === "DONE" ? "info" : "warn"]("a rollout has ended", { rollout, version, ...end });
  }
  return end === null && moves.some(({ to }) => to === "UPDATED" || to === "SKIPPED");
}

function gone(error: unknown): undefined {
  if (error instanceof AiravataError && error.code === "release_not_found") return undefined;
  throw error;
}

function connected(dispatcher: Dispatcher): AgentId[] {
  return dispatcher
    .agents()
    .filter(({ state }) => state === "READY" || state === "DRAINING")
    .map(({ agent }) => agent);
}

function peersOf(dispatcher: Dispatcher, programs: AgentPrograms): Map<AgentId, UpdatePeer> {
  const peers = new Map<AgentId, UpdatePeer>();
  for (const { agent, program, state } of dispatcher.agents()) {
    const platform = programs.platform(agent);
    if (platform !== undefined) peers.set(agent, { program, platform, ready: state === "READY" });
  }
  return peers;
}
