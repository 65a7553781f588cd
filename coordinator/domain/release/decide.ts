/**
 * What a rollout does next, as a pure function: one agent first; while that one proves itself nobody else; then as many at
 * once as have proven themselves, up to a bound; and nobody any more once one failed or rolled back. Ages come from the
 * database's clock, what agents run comes from their sessions: whoever leads decides the same.
 */
import type { AgentId } from "../../../shared/model/ids.ts";
import type { RolloutState, TargetState } from "../../../shared/model/update.ts";
import type { StoredTarget, UpdatePolicy } from "../../store/rollouts.ts";

/** An agent's present session. */
export interface UpdatePeer {
  /** Version of the program that it runs. */
  program: string;
  /** It takes work. */
  ready: boolean;
  /** As releases name it; null when its program does not know updates. */
  platform: string | null;
}

export interface RolloutFacts {
  version: string;
  /** Those that the release has a file for. */
  platforms: ReadonlySet<string>;
  targets: readonly StoredTarget[];
  peers: ReadonlyMap<AgentId, UpdatePeer>;
  policies: ReadonlyMap<AgentId, UpdatePolicy>;
  /** How long an agent must stay READY with the new program. */
  settleMs: number;
}

export interface RolloutMove {
  agent: AgentId;
  from: TargetState;
  to: TargetState;
  message: string;
}

export interface RolloutDecision {
  moves: RolloutMove[];
  /** To be asked, for the first time or again; those that are new also stand in `moves`. */
  ask: AgentId[];
  end: { state: Exclude<RolloutState, "ACTIVE">; reason: string } | null;
}

/** A site of a hundred agents shares its line to us: 50 × 110 MB take a minute at 1 Gbit/s. */
const AT_ONCE_MAX = 50;
/** Who says nothing for so long is asked again; downloads tell their progress far more often. */
const ASK_AGAIN_MS = 30_000;
/** Longer than the trial of a program that finds no coordinator (30 min) and its download. */
const GIVEN_UP_MS = 60 * 60_000;
/** An agent that is away when its turn comes is waited for this long. */
const AWAY_MS = 60 * 60_000;

const UNDER_WAY: ReadonlySet<TargetState> = new Set(["ASKED", "DOWNLOADING", "HANDING_OVER", "PROVING"]);
const FAILED: ReadonlySet<TargetState> = new Set(["FAILED", "ROLLED_BACK"]);

export function decideRollout(facts: RolloutFacts): RolloutDecision {
  const decision: RolloutDecision = { moves: [], ask: [], end: null };
  const states = new Map<StoredTarget, TargetState>();
  const turns: StoredTarget[] = [];
  for (const target of facts.targets) {
    const move = UNDER_WAY.has(target.state) ? whileUnderWay(facts, target) : beforeItsTurn(facts, target);
    if (move === "ask") decision.ask.push(target.agent);
    else if (move === "turn") turns.push(target);
    else if (move !== null) {
      decision.moves.push({ agent: target.agent, from: target.state, ...move });
      states.set(target, move.to);
    }
  }
  const now = facts.targets.map((target) => states.get(target) ?? target.state);
  const failed = facts.targets.find((_, i) => FAILED.has(now[i] as TargetState));
  if (failed !== undefined) {
    const why = decision.moves.find(({ agent }) => agent === failed.agent)?.message ?? failed.message;
    return { ...decision, ask: [], end: { state: "STOPPED", reason: `${failed.name}: ${why}` } };
  }
  const updated = now.filter((state) => state === "UPDATED").length;
  const underWay = now.filter((state) => UNDER_WAY.has(state)).length;
  const room = Math.min(AT_ONCE_MAX, Math.max(1, updated)) - underWay;
  for (const { agent, state } of turns.slice(0, Math.max(0, room))) {
    decision.moves.push({ agent, from: state, to: "ASKED", message: "" });
    decision.ask.push(agent);
  }
  if (underWay === 0 && !now.includes("WAITING")) {
    const skipped = now.length - updated;
    decision.end = { state: "DONE", reason: `${updated} updated, ${skipped} skipped` };
  }
  return decision;
}

type Move = { to: TargetState; message: string };

function beforeItsTurn(facts: RolloutFacts, target: StoredTarget): Move | "turn" | null {
  if (target.state !== "WAITING") return null;
  const { version } = facts;
  const policy = facts.policies.get(target.agent);
  if (policy?.refused) return skip("the operator refuses updates of it");
  if (policy?.pinnedVersion && policy.pinnedVersion !== version) {
    return skip(`it is pinned to version ${policy.pinnedVersion}`);
  }
  const peer = facts.peers.get(target.agent);
  if (peer === undefined) {
    return target.changedAgoMs < AWAY_MS ? null : skip(`it was away for ${AWAY_MS / 60_000} minutes`);
  }
  if (peer.program === version) return { to: "UPDATED", message: "it ran this version already" };
  if (peer.platform === null) return skip(`its program, version ${peer.program}, cannot update itself yet`);
  if (!facts.platforms.has(peer.platform)) return skip(`version ${version} was not published for ${peer.platform}`);
  return peer.ready ? "turn" : null;
}

function whileUnderWay(facts: RolloutFacts, target: StoredTarget): Move | "ask" | null {
  const { version, settleMs } = facts;
  const peer = facts.peers.get(target.agent);
  if (target.state === "PROVING") {
    if (peer === undefined) return { to: "HANDING_OVER", message: "it lost its session after the update" };
    if (peer.program !== version) {
      return { to: "FAILED", message: `it had version ${version} and runs ${peer.program} again` };
    }
    if (!peer.ready || target.changedAgoMs < settleMs) return null;
    return { to: "UPDATED", message: "" };
  }
  if (peer?.program === version) return { to: "PROVING", message: "" };
  if (target.begunAgoMs >= GIVEN_UP_MS) {
    return { to: "FAILED", message: `it was not updated within ${GIVEN_UP_MS / 60_000} minutes` };
  }
  return peer !== undefined && target.changedAgoMs >= ASK_AGAIN_MS ? "ask" : null;
}

function skip(message: string): Move {
  return { to: "SKIPPED", message };
}
