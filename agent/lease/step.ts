/**
 * One step of the agent's pure core: what happened goes in, what is to be done comes out. Production, the unit tests that
 * assert exact effects, and the simulation run this very function.
 */
import { KILL_GRACE_MS } from "../../shared/model/constants.ts";
import { parseAttemptKey } from "../../shared/model/ids.ts";
import type { Requirement } from "../../shared/model/requirement.ts";
import type { AgentEffect, AgentEvent, CoreMessage, Now } from "./contract.ts";
import { stateCredit } from "./credit.ts";
import {
  cancel,
  end,
  forEachLease,
  giveBack,
  giveBackUnstarted,
  newLease,
  onAck,
  onExited,
  onPrepared,
  onRecalled,
  onStarted,
  supersede,
  takeOn,
} from "./holding.ts";
import { admit, distrust, occupy, prepareAhead } from "./lanes.ts";
import { persistEnds, sendReports, tellAllEnds } from "./reports.ts";
import {
  connect,
  hangUp,
  isTrusted,
  nextWake,
  onChallenge,
  onRenewed,
  onTime,
  onWelcome,
  reconnect,
} from "./session.ts";
import { type AgentState, type HeldTemplate, type Lease, LeasePhase } from "./state.ts";

/**
 * A session keeps every template it was sent, at 2 to 70 KB each; beyond this it is begun anew, which forgets them while
 * leases live on.
 */
const TEMPLATES_MAX = 2_048;
/** TERM, grace and KILL of what a revoked agent runs, and as much again for a process that hangs in the kernel. */
const REVOKED_LEAVE_MS = 2 * KILL_GRACE_MS;
/** What most steps come to. */
const NOTHING: readonly AgentEffect[] = [];

/** Changes the state and returns what the shell has to do, in order. After an `exit` nothing comes out any more. */
export function step(state: AgentState, event: AgentEvent, now: Now): readonly AgentEffect[] {
  if (state.session === "over") return NOTHING;
  const out: AgentEffect[] = [];
  apply(state, event, now, out);
  state.wakeAtMono = nextWake(state);
  return out.length === 0 ? NOTHING : out;
}

function apply(state: AgentState, event: AgentEvent, now: Now, out: AgentEffect[]): void {
  switch (event.type) {
    case "adopted":
      adopt(state, now, event, out);
      return;
    case "connected":
      if (event.connection === state.connection) state.heardMono = now.mono;
      return;
    case "disconnected":
      if (event.connection !== state.connection) return;
      out.push({ type: "note", code: "disconnected", message: event.reason });
      if (state.revoked === null) reconnect(state, now, out);
      return;
    case "received":
      if (event.connection !== state.connection) return;
      state.heardMono = now.mono;
      receive(state, now, event.message, out);
      return;
    case "prepared":
      onPrepared(state, now, event.key, undefined, out);
      return;
    case "prepare_failed":
      onPrepared(state, now, event.end.key, event.end, out);
      return;
    case "started":
      onStarted(state, event.key, event.startedAtMs);
      return;
    case "recalled":
      onRecalled(state, now, event.key, out);
      return;
    case "exited":
      onExited(state, event.key);
      return;
    case "ended":
      end(state, event.end, out);
      return;
    case "hold":
      state.hold = event.reason;
      // Nobody knows how long it lasts, and another agent may be idle.
      if (event.reason !== null) giveBackUnstarted(state, now, out);
      return;
    case "drain":
      drain(state, now, event.reason, out);
      return;
    case "tick":
      onTime(state, now, out);
      return;
    case "turn":
      turn(state, now, event.writable, out);
      return;
  }
}

/** Closes a loop turn: starts what may start, then persists and sends what has gathered. */
function turn(state: AgentState, now: Now, writable: boolean, out: AgentEffect[]): void {
  onTime(state, now, out);
  if (state.hold === null && isTrusted(state, now)) {
    admit(state, out);
    prepareAhead(state, out);
  }
  if (state.former !== undefined) leavePast(state, state.former, out);
  persistEnds(state, out);
  state.congested = !writable;
  if (state.session === "ready" && writable) {
    sendReports(state, now, out);
    if (state.draining === null || state.leases.size > 0) stateCredit(state, now, out);
  }
  if (state.revoked !== null) leaveRevoked(state, now, state.revoked, out);
  else if (state.draining !== null && state.leases.size === 0) leave(state, out);
  else if (state.session === "ready" && state.templates.size > TEMPLATES_MAX) {
    hangUp(state, now, "so many templates were sent that a new session is begun", out);
  }
}

/** A process that died with some of it would take that for the new history's, did it know of the new one only. */
function leavePast(state: AgentState, former: Set<string>, out: AgentEffect[]): void {
  for (const key of former) if (state.leases.get(key)?.doom !== "superseded") former.delete(key);
  if (former.size > 0) return;
  state.former = undefined;
  out.push({ type: "remember", timeline: state.timeline });
}

function receive(state: AgentState, now: Now, message: CoreMessage, out: AgentEffect[]): void {
  if (message.type === "error") {
    onError(state, now, message, out);
    return;
  }
  if (message.type === "challenge") {
    onChallenge(state, now, message, out);
    return;
  }
  if (message.type === "welcome") {
    welcome(state, now, message, out);
    return;
  }
  if (state.session !== "ready") {
    const text = `"${message.type}" came before the welcome and is ignored`;
    out.push({ type: "note", code: "message_unexpected", message: text });
    return;
  }
  switch (message.type) {
    case "leases": {
      const missing = takeOn(state, now, message.groups, out);
      if (missing === undefined) return;
      // A new session sends every definition again, and its hello does not name what could not be taken on.
      out.push({ type: "note", code: "lease_unusable", message: missing });
      hangUp(state, now, missing, out);
      return;
    }
    case "ack":
      onAck(state, message, out);
      return;
    case "recall":
      if (state.options.mutations.recallIgnored) return;
      forEachLease(state, message.groups, (lease) => giveBack(state, now, lease, out));
      return;
    case "cancel":
      cancel(state, now, message, out);
      return;
    case "drain":
      drain(state, now, message.reason, out);
      return;
    case "renewed":
      onRenewed(state, now, message, out);
      return;
  }
}

function welcome(
  state: AgentState,
  now: Now,
  message: Extract<CoreMessage, { type: "welcome" }>,
  out: AgentEffect[],
): void {
  if (!onWelcome(state, now, message, out)) return;
  if (message.timeline !== state.timeline && !state.options.mutations.timelineIgnored) {
    // The coordinator was restored: what is held belongs to a future that it does not have.
    for (const lease of [...state.leases.values()]) supersede(state, now, lease, "the history was restored", out);
    state.timeline = message.timeline;
    state.former = new Set(state.leases.keys());
  }
  forEachLease(state, message.superseded, (lease) => supersede(state, now, lease, "superseded", out));
  tellAllEnds(state);
}

function adopt(state: AgentState, now: Now, event: Extract<AgentEvent, { type: "adopted" }>, out: AgentEffect[]): void {
  state.clockOffset = now.wall - now.mono;
  // Reports are grouped by template, so adopted attempts of one template share one too.
  const templates = new Map<string, HeldTemplate>();
  for (const { key, need, lane, devices, startedAtMs } of event.running) {
    const lease = adoptLease(state, templates, key, need, LeasePhase.RUNNING);
    if (lease === undefined) continue;
    lease.lane = lane;
    lease.devices = devices;
    lease.startedAtMs = startedAtMs;
    occupy(state, lease);
  }
  // This process trusts nothing yet, and what waits in lanes would start by itself.
  if (!state.options.mutations.lanesNotRecalled) distrust(state, out);
  const { need } = state.typical;
  for (const key of event.collecting) adoptLease(state, templates, key, need, LeasePhase.EXITED);
  for (const report of event.ended) {
    const lease = adoptLease(state, templates, report.key, need, LeasePhase.ENDED);
    if (lease === undefined) continue;
    lease.end = report;
    state.endedCount++;
  }
  connect(state, now, 0, out);
}

function adoptLease(
  state: AgentState,
  templates: Map<string, HeldTemplate>,
  name: string,
  need: Requirement,
  phase: LeasePhase,
): Lease | undefined {
  const key = parseAttemptKey(name);
  if (key === undefined || state.leases.has(name)) return undefined;
  const template = `${key.experiment}.${key.template}`;
  let of = templates.get(template);
  if (of === undefined) {
    of = { leased: undefined, need, medianMs: 0 };
    templates.set(template, of);
  }
  const lease = newLease(key, of, name, key.index, key.attempt);
  lease.phase = phase;
  state.leases.set(name, lease);
  return lease;
}

function drain(state: AgentState, now: Now, reason: string, out: AgentEffect[]): void {
  if (state.draining !== null) return;
  state.draining = reason;
  giveBackUnstarted(state, now, out);
}

function leave(state: AgentState, out: AgentEffect[]): void {
  const reason = state.draining ?? "";
  if (state.session === "ready") out.push({ type: "send", message: { type: "goodbye", reason } });
  exit(state, "drained", reason, out);
}

/**
 * Its identity is worth nothing any more, so whatever it holds is given to others: that is ended here, and nothing of it is
 * reported. It leaves when all of it is gone, or when a process outlives even that.
 */
function onRevoked(state: AgentState, now: Now, message: string, out: AgentEffect[]): void {
  if (state.revoked !== null) return;
  state.revoked = { message, untilMono: now.mono + REVOKED_LEAVE_MS };
  state.draining ??= message;
  state.session = "connecting";
  out.push({ type: "disconnect", connection: state.connection, reason: message });
  state.connection++;
  state.trustedUntilMono = Number.NEGATIVE_INFINITY;
  for (const lease of [...state.leases.values()]) supersede(state, now, lease, "the agent was revoked", out);
}

function leaveRevoked(
  state: AgentState,
  now: Now,
  { message, untilMono }: NonNullable<AgentState["revoked"]>,
  out: AgentEffect[],
): void {
  if (state.leases.size === 0 || now.mono >= untilMono) exit(state, "revoked", message, out);
}

function onError(
  state: AgentState,
  now: Now,
  message: Extract<CoreMessage, { type: "error" }>,
  out: AgentEffect[],
): void {
  // It reconnected itself, and the coordinator had not noticed that the former connection was dead.
  if (message.code === "agent_identity_shared" && message.reaction === "none" && state.epoch > 0) return;
  out.push({ type: "note", code: message.code, message: message.message });
  if (message.code === "agent_revoked") {
    onRevoked(state, now, message.message, out);
    return;
  }
  switch (message.reaction) {
    case "none":
      return;
    case "reconnect":
      hangUp(state, now, message.message, out);
      return;
    case "stop":
    case "enrol":
      exit(state, message.reaction, message.message, out);
      return;
  }
}

function exit(
  state: AgentState,
  reason: Extract<AgentEffect, { type: "exit" }>["reason"],
  message: string,
  out: AgentEffect[],
): void {
  out.push({ type: "disconnect", connection: state.connection, reason: message });
  out.push({ type: "exit", reason, message });
  state.session = "over";
}
