/**
 * The session with the coordinator: connecting with jitter, hello, trust and its renewal. A lease is counted on only
 * until `renewal sent + ttl − margin` on the monotonic clock, so that this agent stops before another one may start.
 */
import { RECONNECT_FIRST_MS, sessionTiming } from "../../shared/model/constants.ts";
import {
  type HeldGroup,
  PROTOCOL_VERSION,
  PROTOCOL_VERSION_OLDEST,
  type ToAgent,
} from "../../shared/protocol/messages.ts";
import type { AgentEffect, Now } from "./contract.ts";
import { lastsMs } from "./credit.ts";
import { distrust } from "./lanes.ts";
import { reportsDueMono } from "./reports.ts";
import { type AgentState, LeasePhase } from "./state.ts";

type Message<T extends ToAgent["type"]> = Extract<ToAgent, { type: T }>;

/** Whether leases may be counted on now: tasks started, credit stated. */
export function isTrusted(state: AgentState, now: Now): boolean {
  return now.mono < state.trustedUntilMono;
}

/** Delay before a reconnect: uniform up to a second after the first failure, then doubling to the cap, never below half. Exported for tests. */
export function reconnectDelayMs(failures: number, capMs: number, random: number): number {
  const capped = Math.min(capMs, RECONNECT_FIRST_MS * 2 ** Math.min(failures, 20));
  return failures === 0 ? random * Math.min(capMs, RECONNECT_FIRST_MS) : (0.5 + random / 2) * capped;
}

/** Asks for a socket; what an older one still says is ignored from here on. */
export function connect(state: AgentState, now: Now, delayMs: number, out: AgentEffect[]): void {
  state.session = "connecting";
  state.connection++;
  state.heardMono = now.mono + delayMs;
  state.renewDueMono = Number.POSITIVE_INFINITY;
  out.push({ type: "connect", connection: state.connection, delayMs });
}

/** The connection is gone: try again with jitter. Leases live on while they are trusted. */
export function reconnect(state: AgentState, now: Now, out: AgentEffect[]): void {
  connect(state, now, reconnectDelayMs(state.failures, state.timing.reconnectCapMs, state.options.random()), out);
  state.failures++;
}

/** Ends the connection ourselves and tries again. */
export function hangUp(state: AgentState, now: Now, reason: string, out: AgentEffect[]): void {
  out.push({ type: "disconnect", connection: state.connection, reason });
  reconnect(state, now, out);
}

export function onChallenge(state: AgentState, now: Now, message: Message<"challenge">, out: AgentEffect[]): void {
  if (state.session !== "connecting") {
    breach(state, now, "a challenge", out);
    return;
  }
  if (message.version < PROTOCOL_VERSION_OLDEST || message.versionOldest > PROTOCOL_VERSION) {
    const theirs = `${message.versionOldest} to ${message.version}`;
    const ours = `${PROTOCOL_VERSION_OLDEST} to ${PROTOCOL_VERSION}`;
    const sentence = `the coordinator speaks protocol versions ${theirs}, this agent ${ours}: update the older one`;
    out.push({ type: "note", code: "protocol_version_unsupported", message: sentence });
    hangUp(state, now, sentence, out);
    return;
  }
  if (message.timeline < state.timeline) {
    const sentence = `the coordinator is at timeline ${message.timeline}, this agent has seen ${state.timeline}: it was restored from a backup without raising its timeline, or is another one`;
    out.push({ type: "note", code: "timeline_behind", message: sentence });
    hangUp(state, now, sentence, out);
    return;
  }
  const { agent, name, program, platform, hostname, root, capacity } = state.options;
  state.session = "hello";
  state.version = Math.min(PROTOCOL_VERSION, message.version);
  state.challengedTimeline = message.timeline;
  state.helloSentMono = now.mono;
  // What is told as running here need not be told again.
  state.toldStarts.length = 0;
  out.push({
    type: "hello",
    nonce: message.nonce,
    timeline: message.timeline,
    message: {
      type: "hello",
      version: state.version,
      agent,
      name,
      program,
      hostname,
      root,
      capacity,
      lastsMs: lastsMs(state, now),
      draining: state.draining !== null,
      // Attempts of another history are none of this coordinator's; welcome ends them.
      held: message.timeline === state.timeline || state.options.mutations.timelineIgnored ? heldGroups(state) : [],
      ...(message.version >= 2 && { platform }),
    },
  });
}

/** Session, clock and trust of a welcome; the caller looks at what was superseded. False: not now, hung up. */
export function onWelcome(state: AgentState, now: Now, message: Message<"welcome">, out: AgentEffect[]): boolean {
  if (state.session !== "hello" || message.timeline !== state.challengedTimeline) {
    breach(state, now, "a welcome", out);
    return false;
  }
  state.session = "ready";
  state.failures = 0;
  state.epoch = message.epoch;
  state.timing = sessionTiming(message.ttlMs);
  state.templates.clear();
  state.creditSent = Number.NaN;
  const hasSlept = state.helloSentMono <= state.jumpedMono;
  if (!hasSlept) extendTrust(state, state.helloSentMono);
  // The first renewal comes early and jittered: agents that came back together do not stay in step.
  const firstMs = state.timing.heartbeatMs * (0.5 + state.options.random() / 2);
  state.renewDueMono = now.mono + (hasSlept ? 0 : firstMs);
  return true;
}

export function onRenewed(state: AgentState, now: Now, message: Message<"renewed">, out: AgentEffect[]): void {
  // Only what this session sent extends trust: an echo of another one says nothing about this one's leases.
  const isOurs = message.sentAtMs <= state.renewSentMono && message.sentAtMs >= Math.floor(state.helloSentMono);
  // Nor does an answer that waited while the machine slept: by its clock no time has passed since it was asked for.
  if (!isOurs || message.sentAtMs <= state.jumpedMono) {
    const text = `a renewal sent at ${message.sentAtMs} is confirmed, this session has sent none then, or slept since`;
    out.push({ type: "note", code: "renewal_stale", message: text });
    return;
  }
  extendTrust(state, state.options.mutations.trustFromAnswer ? now.mono : message.sentAtMs);
}

/** What time does: renewals, silence that means a dead peer, the end of trust. */
export function onTime(state: AgentState, now: Now, out: AgentEffect[]): void {
  watchClocks(state, now, out);
  if (state.revoked !== null) return;
  const { ttlMs, marginMs } = state.timing;
  if (state.session === "ready") {
    if (now.mono - state.heardMono >= ttlMs - marginMs) hangUp(state, now, "the coordinator is silent", out);
    else if (now.mono >= state.renewDueMono) renew(state, now, out);
  } else if (now.mono - state.heardMono >= ttlMs) hangUp(state, now, "the coordinator does not answer", out);
  if (!state.mistrusted && !isTrusted(state, now)) {
    state.mistrusted = true;
    const text = "no renewal was answered in time: nothing is started until one is";
    out.push({ type: "note", code: "trust_lost", message: text });
    if (!state.options.mutations.lanesNotRecalled) distrust(state, out);
  }
}

/** When `onTime` has something to do next. */
export function nextWake(state: AgentState): number {
  if (state.revoked !== null) return state.revoked.untilMono;
  const { ttlMs, marginMs } = state.timing;
  let wake = state.heardMono + (state.session === "ready" ? ttlMs - marginMs : ttlMs);
  if (state.session === "ready") {
    wake = Math.min(wake, state.renewDueMono, state.creditSentMono + state.options.pollIntervalMs);
  }
  wake = Math.min(wake, reportsDueMono(state));
  return state.mistrusted ? wake : Math.min(wake, state.trustedUntilMono);
}

function renew(state: AgentState, now: Now, out: AgentEffect[]): void {
  // The first one after a sleep must be told from the last one before it, by a millisecond that the margin covers.
  state.renewSentMono = Math.max(Math.floor(now.mono), Math.floor(state.jumpedMono) + 1);
  state.renewDueMono = now.mono + state.timing.heartbeatMs;
  out.push({ type: "send", message: { type: "renew", sentAtMs: state.renewSentMono } });
}

function extendTrust(state: AgentState, sentMono: number): void {
  const { ttlMs, marginMs } = state.timing;
  state.trustedUntilMono = Math.max(state.trustedUntilMono, sentMono + ttlMs - marginMs);
  state.mistrusted = false;
}

/**
 * The monotonic clock stands still while a machine sleeps, the coordinator's does not: when the wall clock gained on it,
 * trust is void until the next renewal. A stepped wall clock looks the same and costs one round trip.
 */
function watchClocks(state: AgentState, now: Now, out: AgentEffect[]): void {
  const offset = now.wall - now.mono;
  const gained = offset - state.clockOffset;
  state.clockOffset = offset;
  if (!(gained > state.timing.stallMs) || state.options.mutations.sleepUnnoticed) return;
  state.trustedUntilMono = Number.NEGATIVE_INFINITY;
  state.jumpedMono = now.mono;
  if (state.session === "ready") state.renewDueMono = now.mono;
  const text = `the wall clock gained ${Math.round(gained)} ms: the machine slept or its clock was set`;
  out.push({ type: "note", code: "clock_jumped", message: text });
}

function breach(state: AgentState, now: Now, what: string, out: AgentEffect[]): void {
  const text = `${what} came while the session is ${state.session}`;
  out.push({ type: "note", code: "message_unexpected", message: text });
  hangUp(state, now, text, out);
}

function heldGroups(state: AgentState): HeldGroup[] {
  const groups = new Map<string, HeldGroup>();
  for (const lease of state.leases.values()) {
    if (lease.doom === "superseded") continue;
    const name = `${lease.experiment}.${lease.template}`;
    let group = groups.get(name);
    if (!group) {
      group = { experiment: lease.experiment, template: lease.template, indexes: [], attempts: [], phases: [] };
      if (state.version >= 2) group.startedAtMs = [];
      groups.set(name, group);
    }
    group.startedAtMs?.push(lease.startedAtMs);
    group.indexes.push(lease.index);
    group.attempts.push(lease.attempt);
    group.phases.push(lease.phase < LeasePhase.RUNNING ? 0 : lease.phase < LeasePhase.ENDED ? 1 : 2);
  }
  return [...groups.values()];
}
