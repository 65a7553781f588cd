/**
 * What an agent may touch, and its end by decree. Whoever proves an agent's key may be a thief of it: such a one sees and
 * changes nothing but what that agent may, in the one project that it serves, and of that only its own attempts.
 */
import { Blame, Outcome } from "../../shared/model/attempt.ts";
import type { AgentId } from "../../shared/model/ids.ts";
import type { AgentFloor, Core, CoreEvent, Effect, Held, Peer } from "./core.ts";
import { letGo, offerAgain } from "./floor/hold.ts";
import type { ExperimentLedger, TemplateLedger } from "./ledger/ledger.ts";
import type { Now } from "./ports.ts";
import { giveBack } from "./sessions.ts";

/** The template that an agent names, unless it is of a project that it does not serve: then there is none for it. */
export function templateFor(
  core: Core,
  floor: AgentFloor,
  group: { experiment: ExperimentLedger["id"]; template: number },
): TemplateLedger | undefined {
  const experiment = core.ledger.experiments.get(group.experiment);
  return experiment && isServed(floor, experiment) ? experiment.templates[group.template] : undefined;
}

/** Whether an agent names work of a project that it was never given anything of. */
export function isForeign(core: Core, floor: AgentFloor, experiment: ExperimentLedger["id"]): boolean {
  const known = core.ledger.experiments.get(experiment);
  return known !== undefined && !isServed(floor, known);
}

function isServed(floor: AgentFloor, experiment: ExperimentLedger): boolean {
  return floor.serves === null || floor.serves === experiment.project;
}

/** Says that an agent claims what it cannot have come by honestly. */
export function tellForged(floor: AgentFloor, core: Core, message: string, effects: Effect[]): void {
  core.figures.forged++;
  effects.push({ type: "forged", agent: floor.agent, message });
}

/**
 * Remembers whose a lost attempt was, while its report may still come: the journal's lease is closed by then, and another
 * agent must not report it. Of a former reign's losses nobody knows it; then any agent of the same project may.
 */
export function rememberLost(core: Core, { template, index, floor }: Held): void {
  let lost = core.lost.get(template);
  if (!lost) {
    lost = new Map();
    core.lost.set(template, lost);
  }
  lost.set(index, floor.agent);
}

export function forgetLost(core: Core, template: TemplateLedger, index: number): void {
  core.lost.get(template)?.delete(index);
}

/** The other agent that a task without a lease was lost with; undefined when it was this one, or nobody knows. */
export function lostWithAnother(
  core: Core,
  floor: AgentFloor,
  template: TemplateLedger,
  index: number,
): AgentId | undefined {
  const agent = core.lost.get(template)?.get(index);
  return agent === floor.agent ? undefined : agent;
}

/** For good: whoever proves this identity again is told so. Its reaction is for programs that do not know the code. */
const REVOKED = { type: "error", code: "agent_revoked", reaction: "enrol" } as const;

/** Ends the session at once; what it held is queued again at nobody's expense, and no report of it counts any more. */
export function onRevoke(
  core: Core,
  { agent, message }: Extract<CoreEvent, { type: "revoke" }>,
  now: Now,
  effects: Effect[],
): void {
  if (core.revoked.has(agent)) return;
  core.revoked.add(agent);
  const floor = core.agents.get(agent);
  if (!floor) return;
  if (floor.peer !== null) {
    core.peers.delete(floor.peer);
    refuseRevoked(floor.peer, message, effects);
    floor.peer = null;
  }
  // A lease that is on its way into the journal finds this at its commit and is given back.
  floor.state = "GONE";
  floor.awaySinceWall = null;
  for (const held of [...floor.held]) {
    if (held.ending || !held.committed) continue;
    if (held.ghost) {
      letGo(core, held);
      offerAgain(core, held.template, held.index);
    } else giveBack(core, held, Outcome.LOST, Blame.NOT_HELD, now, `agent ${floor.name} was revoked`);
  }
}

export function refuseRevoked(peer: Peer, message: string, effects: Effect[]): void {
  effects.push({ type: "send", peer, message: { ...REVOKED, message } });
  effects.push({ type: "close", peer, reason: "the agent was revoked" });
}
