/**
 * Agent sessions: hello, renewal, credit, drain, loss. All leases of a session live or run out together; nothing here is
 * ever written to the journal but the ends of what was lost.
 */
import { Blame, Outcome } from "../../shared/model/attempt.ts";
import { KILL_GRACE_MS } from "../../shared/model/constants.ts";
import { isFinal, TaskState } from "../../shared/model/states.ts";
import type { AttemptGroup, FromAgent, HeldGroup } from "../../shared/protocol/messages.ts";
import type { AgentFloor, Core, CoreEvent, Effect, Held, Peer } from "./core.ts";
import { decideEnd } from "./ends.ts";
import { gatherEnd, putOff } from "./floor/gather.ts";
import { floorOf, hold, letGo, offerAgain, recharge, setPhase } from "./floor/hold.ts";
import { CANCELING, isMarked, SETTLED, stateOf, type TemplateLedger } from "./ledger/ledger.ts";
import type { Now } from "./ports.ts";
import { isForeign, lostWithAnother, refuseRevoked, tellForged, templateFor } from "./trust.ts";

type Hello = Extract<FromAgent, { type: "hello" }>;

/** Phase of a held attempt in hello: ended, its report still to come. */
const HELD_ENDED = 2;

/** Registers a session: a new epoch; settles what the agent still has against what the ledger says. */
export function onHello(
  core: Core,
  { peer, hello, serves }: Extract<CoreEvent, { type: "hello" }>,
  now: Now,
  effects: Effect[],
): void {
  const { timing } = core.config;
  if (core.revoked.has(hello.agent)) {
    refuseRevoked(peer, `agent ${hello.name} was revoked`, effects);
    return;
  }
  const floor = floorOf(core, hello.agent, hello.root, now.mono + timing.ttlMs);
  if (peer < floor.peerLast) {
    effects.push(stopTwin(peer, hello.name));
    effects.push({ type: "close", peer, reason: `agent ${hello.name} has opened a later connection than this one` });
    return;
  }
  if (worksElsewhere(core, floor, hello, now)) {
    refuseSecond(floor, peer, hello, effects);
    return;
  }
  floor.peerLast = peer;
  if (namesLostOnItsWay(core, hello)) {
    putOff(core, { type: "hello", peer, hello, serves });
    return;
  }
  if (floor.peer !== null) {
    core.peers.delete(floor.peer);
    effects.push(stopTwin(floor.peer, hello.name));
    effects.push({ type: "close", peer: floor.peer, reason: `agent ${hello.name} opened another session` });
    effects.push({ type: "send", peer, message: { type: "error", ...TWIN, reaction: "none" } });
  }
  // What the other machine had is lost, not disowned: should it come back, its reports still count.
  const blame = isAnotherMachine(floor, hello) ? Blame.AGENT_LOST : Blame.NOT_HELD;
  floor.name = hello.name;
  floor.program = hello.program;
  floor.hostname = hello.hostname;
  floor.root = hello.root;
  floor.serves = serves ?? null;
  floor.state = hello.draining ? "DRAINING" : "READY";
  floor.epoch = ++core.epochLast;
  floor.peer = peer;
  floor.deadlineMono = now.mono + timing.ttlMs;
  floor.awaySinceWall = null;
  floor.seenAtWall = now.wall;
  floor.ahead = 0;
  floor.lastsUntilMono = hello.lastsMs === null ? null : now.mono + hello.lastsMs;
  floor.sent = new WeakSet();
  core.peers.set(peer, floor);
  const kept = new Set<Held>();
  const superseded: AttemptGroup[] = [];
  for (const group of hello.held) settleHeld(core, floor, group, kept, superseded, effects);
  for (const held of [...floor.held]) if (!kept.has(held)) forgetUnheld(core, held, now, blame);
  recharge(floor, hello.capacity);
  const { epoch } = floor;
  effects.push({
    type: "send",
    peer,
    message: { type: "welcome", epoch, timeline: core.config.timeline, ttlMs: timing.ttlMs, superseded },
  });
  sendCancels(floor, [...kept], "it was canceled", effects);
}

/** To who takes the identity over; a process that had a session before knows that it was its own, and says nothing of it. */
const TWIN = {
  code: "agent_identity_shared",
  message:
    "another session with this agent's identity was open until now and has been ended; unless a former process of this agent was killed a moment ago, its state directory was copied: enrol the other one anew",
};

/**
 * For the one that came first, on the same machine or unknown to this reign. A process that opened the later connection
 * itself has left this one and hears nothing of it; so whoever does hear it is another process with the same identity.
 */
function stopTwin(peer: Peer, name: string): Effect {
  const message = `another process opened a later session as agent ${name}: its state directory was copied; the later one has the identity, and this one stops. To run both, start this one with a new --output-dir and enrolment token`;
  return { type: "send", peer, message: { type: "error", code: TWIN.code, message, reaction: "stop" } };
}

/**
 * Whether another machine works under the same identity (a copied key or state directory): what it says that it does not
 * hold the other one may hold, so it is let in only once the other one's leases have run out. After a takeover the root is
 * all that is known of the other one.
 */
function worksElsewhere(core: Core, floor: AgentFloor, hello: Hello, now: Now): boolean {
  // A stall of ours is no silence of theirs, also before the tick that extends all sessions by it.
  const gapMs = now.mono - core.lastTickMono;
  const deadlineMono = floor.deadlineMono + (gapMs > core.config.timing.stallMs ? gapMs : 0);
  if (floor.state === "GONE" || deadlineMono <= now.mono || (floor.held.size === 0 && floor.peer === null))
    return false;
  if (core.config.mutations.identityShared) return false;
  return isAnotherMachine(floor, hello);
}

function isAnotherMachine(floor: AgentFloor, hello: Hello): boolean {
  return floor.root !== hello.root || (floor.epoch > 0 && floor.hostname !== hello.hostname);
}

function refuseSecond(floor: AgentFloor, peer: Peer, hello: Hello, effects: Effect[]): void {
  const other = floor.epoch > 0 ? floor.hostname : "another machine";
  const message =
    `agent ${hello.name} works on ${other} at present, and ${hello.hostname} has the same identity: ` +
    "enrol each machine by itself, or stop the other one";
  effects.push({
    type: "send",
    peer,
    message: { type: "error", code: TWIN.code, message, reaction: "reconnect" },
  });
  effects.push({ type: "close", peer, reason: message });
}

/** Whether it holds a task whose loss is not durable yet: what it may go on with is known only after that commit. */
function namesLostOnItsWay(core: Core, hello: Hello): boolean {
  return hello.held.some((group) => {
    const template = core.ledger.experiments.get(group.experiment)?.templates[group.template];
    return group.indexes.some((index, i) => {
      const held = template && core.held.get(template.base + index);
      return held?.ending === true && !held.reported && held.attempt === group.attempts[i];
    });
  });
}

/** Sorts one group of what the agent holds into kept and superseded. */
function settleHeld(
  core: Core,
  floor: AgentFloor,
  group: HeldGroup,
  kept: Set<Held>,
  superseded: AttemptGroup[],
  effects: Effect[],
): void {
  const template = templateFor(core, floor, group);
  if (isForeign(core, floor, group.experiment)) {
    const claim = `says that it holds attempts of experiment ${group.experiment}, whose project it does not serve`;
    tellForged(floor, core, claim, effects);
  }
  const lost: AttemptGroup = { experiment: group.experiment, template: group.template, indexes: [], attempts: [] };
  for (let i = 0; i < group.indexes.length; i++) {
    const index = group.indexes[i] as number;
    const attempt = group.attempts[i] as number;
    const held = template && index < template.count ? stillHeld(core, floor, template, index, attempt) : undefined;
    if (held) {
      setPhase(core, held, group.phases[i] === 0 ? 0 : 3);
      held.startedAtMs = group.startedAtMs?.[i] ?? held.startedAtMs;
      kept.add(held);
    } else if (group.phases[i] !== HELD_ENDED) {
      // What has ended is reported next and answered by name; everything else is over for this agent.
      lost.indexes.push(index);
      lost.attempts.push(attempt);
    }
  }
  if (lost.indexes.length > 0) superseded.push(lost);
}

/** The entry of an attempt that this agent may go on with; a lease that ran out is picked up again as a ghost. */
function stillHeld(
  core: Core,
  floor: AgentFloor,
  template: TemplateLedger,
  index: number,
  attempt: number,
): Held | undefined {
  if (attempt !== template.attempts[index]) return undefined;
  const state = stateOf(template, index);
  const known = core.held.get(template.base + index);
  if (known) {
    if (known.attempt !== attempt || known.floor !== floor) return undefined;
    if (known.ending && known.ghost && !floor.held.has(known)) return undefined;
    return known;
  }
  if (state !== TaskState.QUEUED || isMarked(template, index, SETTLED)) return undefined;
  if (lostWithAnother(core, floor, template, index) !== undefined) return undefined;
  const ghost: Held = {
    template,
    index,
    attempt,
    floor,
    class: core.classes.queueOf(template).class,
    ahead: false,
    committed: true,
    ending: false,
    reported: false,
    ghost: true,
    phase: 3,
    startedAtMs: 0,
    expected: 0,
    meteredMono: null,
  };
  hold(core, ghost);
  return ghost;
}

/** A lease of this agent that it does not have, as its hello or goodbye says: it never arrived, or its state is gone. */
export function forgetUnheld(core: Core, held: Held, now: Now, blame: Blame = Blame.NOT_HELD): void {
  if (held.ending) return;
  // Not durable yet: the commit finds another epoch and gives it back.
  if (!held.committed) return;
  if (held.ghost) {
    letGo(core, held);
    offerAgain(core, held.template, held.index);
    return;
  }
  giveBack(core, held, Outcome.LOST, blame, now);
}

/** Ends an attempt that its agent did not report. */
export function giveBack(core: Core, held: Held, outcome: Outcome, blame: Blame, now: Now, detail?: string): void {
  const end = decideEnd(core, held, outcome, blame, now);
  end.detail = detail;
  end.endedAtMs = now.wall;
  gatherEnd(core, held, end);
}

/** Asks an agent to end those of `held` that were canceled. */
export function sendCancels(floor: AgentFloor, held: Held[], reason: string, effects: Effect[]): void {
  if (floor.peer === null) return;
  const groups = new Map<TemplateLedger, AttemptGroup>();
  for (const entry of held) {
    const canceled = isMarked(entry.template, entry.index, CANCELING) || isFinal(stateOf(entry.template, entry.index));
    if (!canceled || entry.ending) continue;
    let group = groups.get(entry.template);
    if (!group) {
      const { experiment, ordinal } = entry.template;
      group = { experiment: experiment.id, template: ordinal, indexes: [], attempts: [] };
      groups.set(entry.template, group);
    }
    group.indexes.push(entry.index);
    group.attempts.push(entry.attempt);
  }
  if (groups.size === 0) return;
  const message = { type: "cancel" as const, groups: [...groups.values()], graceMs: KILL_GRACE_MS, reason };
  effects.push({ type: "send", peer: floor.peer, message });
}

/** Extends every session by a stall of this process: nobody is lost because we slept. */
export function extendSessions(core: Core, gapMs: number): void {
  for (const floor of core.agents.values()) floor.deadlineMono += gapMs;
}

/** Takes back the leases of sessions that ran out. */
export function expireSessions(core: Core, now: Now, effects: Effect[]): void {
  for (const floor of core.agents.values()) {
    if (floor.deadlineMono > now.mono || (floor.peer === null && floor.held.size === 0 && isAway(floor))) continue;
    if (floor.peer !== null) {
      core.peers.delete(floor.peer);
      effects.push({ type: "close", peer: floor.peer, reason: "the session was not renewed in time" });
      floor.peer = null;
    }
    if (!isAway(floor)) floor.state = "LOST";
    floor.awaySinceWall ??= now.wall;
    for (const held of [...floor.held]) loseHeld(core, held, now);
  }
}

function isAway(floor: AgentFloor): boolean {
  return floor.state === "GONE" || floor.state === "LOST";
}

function loseHeld(core: Core, held: Held, now: Now): void {
  if (held.ending || !held.committed) return;
  if (held.ghost) {
    letGo(core, held);
    offerAgain(core, held.template, held.index);
    return;
  }
  // `wait`: the work is kept for its agent as long as was asked; explain says so.
  if (waitsUntilWall(held) > now.wall && !isMarked(held.template, held.index, CANCELING)) return;
  core.figures.expired++;
  giveBack(core, held, Outcome.LOST, Blame.AGENT_LOST, now);
}

/** Wall-clock ms until which a held task of a lost agent is kept for it; in the past when it is not kept at all. */
export function waitsUntilWall({ template, floor }: Held): number {
  const { onDisconnect, waitMs } = template.experiment.definition;
  if (onDisconnect !== "wait" || floor.awaySinceWall === null) return Number.NEGATIVE_INFINITY;
  return waitMs === undefined ? Number.POSITIVE_INFINITY : floor.awaySinceWall + waitMs;
}
