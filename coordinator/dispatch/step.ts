/**
 * The core's one entry: an event in, effects out. After every event placement runs and, when the journal is idle, the
 * first cut becomes the next append.
 */
import { LEADERSHIP_DEADLINE_MS } from "../../shared/model/constants.ts";
import { PHASE_NAMES } from "../../shared/model/states.ts";
import type { AttemptGroup, FromAgent } from "../../shared/protocol/messages.ts";
import { onCommitted } from "./commit.ts";
import type { AgentFloor, Core, CoreEvent, Effect, Peer } from "./core.ts";
import { onEnded } from "./ends.ts";
import { releaseDue } from "./floor/backoff.ts";
import { cutBatch, dropPutOff } from "./floor/gather.ts";
import { setPhase } from "./floor/hold.ts";
import { restoreExperiment } from "./floor/restore.ts";
import { place } from "./placement.ts";
import type { Now } from "./ports.ts";
import { onDecide, onSubmit } from "./requests.ts";
import { expireSessions, extendSessions, forgetUnheld, onHello } from "./sessions.ts";
import { onRevoke } from "./trust.ts";

const RUNNING = PHASE_NAMES.indexOf("RUNNING");

/**
 * The monotonic clock stands still while a machine sleeps, so deadlines would look good long after they passed. A step of
 * the wall clock ahead of it by more than this ends the reign, before anything that waited in the sockets is heard; a new
 * one costs a second at most.
 */
const SLEPT_MS = LEADERSHIP_DEADLINE_MS / 2;

/** Changes `core` by one event. After a `resign` effect, or a thrown BrokenInvariant, the core must be thrown away. */
export function step(core: Core, event: CoreEvent, now: Now): Effect[] {
  const effects: Effect[] = [];
  core.nowMono = now.mono;
  const sleptMs = now.wall - now.mono - core.clockOffsetMs;
  core.clockOffsetMs += sleptMs;
  if (sleptMs > SLEPT_MS && !core.config.mutations.sleepUnnoticed) {
    const text = `the wall clock moved ${Math.round(sleptMs)} ms further than the monotonic one: the machine may have slept`;
    return [{ type: "resign", reason: text }];
  }
  if (event.type === "leadership") core.leadUntilMono = event.untilMono;
  if (now.mono >= core.leadUntilMono && !core.config.mutations.renewAfterDeadline) {
    return [{ type: "resign", reason: "leadership was not renewed before its own deadline" }];
  }
  core.now = now;
  handle(core, event, now, effects);
  place(core, now);
  cutBatch(core, now, effects);
  return effects;
}

function handle(core: Core, event: CoreEvent, now: Now, effects: Effect[]): void {
  switch (event.type) {
    case "submit":
      onSubmit(core, event.request, event.submit, now, effects);
      return;
    case "decide":
      onDecide(core, event.request, event.decision, effects);
      return;
    case "hello":
      onHello(core, event, now, effects);
      return;
    case "message":
      onMessage(core, event.peer, event.message, now, effects);
      return;
    case "disconnected":
      onDisconnected(core, event.peer);
      return;
    case "drain":
      onDrain(core, event, effects);
      return;
    case "revoke":
      onRevoke(core, event, now, effects);
      return;
    case "committed": {
      const later = core.inflight?.later ?? [];
      onCommitted(core, event.seq, now, effects);
      for (const waited of later) handle(core, waited, now, effects);
      return;
    }
    case "revive":
      if (core.ledger.experiments.has(event.experiment.id)) return;
      core.ledger.experiments.set(event.experiment.id, event.experiment);
      restoreExperiment(core, event.experiment, now);
      return;
    case "tick":
      onTick(core, now, effects);
      return;
    case "projects":
      for (const config of event.configs) core.projects.configure(config, now.wall);
      return;
    case "leadership":
      return;
  }
}

/** Messages of a session; those of a connection that is no longer the agent's session are dropped, but for reports. */
function onMessage(core: Core, peer: Peer, message: FromAgent, now: Now, effects: Effect[]): void {
  const floor = core.peers.get(peer);
  if (!floor) return;
  floor.seenAtWall = now.wall;
  switch (message.type) {
    case "renew":
      floor.deadlineMono = now.mono + core.config.timing.ttlMs;
      effects.push({ type: "send", peer, message: { type: "renewed", sentAtMs: message.sentAtMs } });
      return;
    case "free":
      floor.ahead = message.ahead;
      floor.lastsUntilMono = message.lastsMs === null ? null : now.mono + message.lastsMs;
      if (message.draining && floor.state === "READY") floor.state = "DRAINING";
      return;
    case "started":
      for (const group of message.groups) onStarted(core, floor, group);
      return;
    case "ended":
      onEnded(core, peer, floor, message.groups, now, effects);
      return;
    case "goodbye":
      core.peers.delete(peer);
      floor.peer = null;
      floor.state = "GONE";
      for (const held of [...floor.held]) forgetUnheld(core, held, now);
      effects.push({ type: "close", peer, reason: "goodbye" });
      return;
    case "hello":
      effects.push({ type: "close", peer, reason: "a second hello on one connection" });
      return;
    // Answers to the API's own requests, samples and complaints are the shell's business.
    case "chunk":
    case "listed":
    case "metrics":
    case "update_state":
    case "error":
      return;
  }
}

function onStarted(core: Core, floor: AgentFloor, group: AttemptGroup & { startedAtMs: number[] }): void {
  const template = core.ledger.experiments.get(group.experiment)?.templates[group.template];
  if (!template) return;
  for (let i = 0; i < group.indexes.length; i++) {
    const held = core.held.get(template.base + (group.indexes[i] as number));
    if (!held || held.floor !== floor || held.attempt !== group.attempts[i] || held.template !== template) continue;
    setPhase(core, held, RUNNING);
    held.startedAtMs = group.startedAtMs[i] as number;
  }
}

/** The connection is gone; leases live on until they run out, so that a reconnect costs nothing. */
function onDisconnected(core: Core, peer: Peer): void {
  dropPutOff(core, peer);
  const floor = core.peers.get(peer);
  if (!floor) return;
  core.peers.delete(peer);
  floor.peer = null;
}

function onDrain(core: Core, event: Extract<CoreEvent, { type: "drain" }>, effects: Effect[]): void {
  const floor = core.agents.get(event.agent);
  if (!floor || floor.peer === null) return;
  floor.state = "DRAINING";
  effects.push({ type: "send", peer: floor.peer, message: { type: "drain", reason: event.reason } });
}

function onTick(core: Core, now: Now, effects: Effect[]): void {
  const gap = now.mono - core.lastTickMono;
  core.lastTickMono = now.mono;
  if (gap > core.config.timing.stallMs && !core.config.mutations.stallIgnored) extendSessions(core, gap);
  expireSessions(core, now, effects);
  releaseDue(core, now);
}
