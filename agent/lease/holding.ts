/**
 * What becomes of leases: taken on, ended, acknowledged, given back, canceled, superseded. Every lease leaves by exactly
 * one end that the coordinator acknowledges, or because the coordinator said that it is no longer ours.
 */
import { Blame, Outcome } from "../../shared/model/attempt.ts";
import { KILL_GRACE_MS } from "../../shared/model/constants.ts";
import type { AttemptGroup, LeaseGroup, ToAgent } from "../../shared/protocol/messages.ts";
import type { AttemptEnd } from "../report/end.ts";
import type { AgentEffect, Now } from "./contract.ts";
import { countEnd } from "./credit.ts";
import { leaveLane } from "./lanes.ts";
import { type AgentState, type Doom, type HeldTemplate, type Lease, LeasePhase } from "./state.ts";
import { learnRunTime, refusalOf, templateOf } from "./template.ts";

/**
 * Takes leases on. Returns why not, when a new session must be begun: a template that was never sent, or an attempt whose
 * namesake of a former history is still being ended.
 */
export function takeOn(state: AgentState, now: Now, groups: LeaseGroup[], out: AgentEffect[]): string | undefined {
  for (const group of groups) {
    const of = templateOf(state, group);
    if (of === undefined) return `leases of template ${group.experiment}.${group.template} came without its definition`;
    state.typical = of;
    const refusal = refusalOf(state, of.need);
    for (let i = 0; i < group.indexes.length; i++) {
      const index = group.indexes[i] as number;
      const attempt = group.attempts[i] as number;
      const key = `${group.experiment}.${group.template}.${index}.${attempt}`;
      const known = state.leases.get(key);
      if (known?.doom === "superseded") return `attempt ${key} of a former history is still being ended`;
      if (known !== undefined) {
        out.push({ type: "note", code: "lease_repeated", message: `attempt ${key} was leased to this session twice` });
        continue;
      }
      const lease = newLease(group, of, key, index, attempt);
      lease.values = group.values?.[i];
      lease.parents = group.parents?.[i];
      state.leases.set(key, lease);
      state.held.push(lease);
      state.heldCount++;
      if (state.draining !== null || state.hold !== null) giveBack(state, now, lease, out);
      else if (refusal !== undefined)
        end(state, { ...unstarted(now, key, Outcome.FAILED, Blame.AGENT), detail: refusal }, out);
    }
  }
  return undefined;
}

export function newLease(
  task: Pick<AttemptGroup, "experiment" | "template">,
  of: HeldTemplate,
  key: string,
  index: number,
  attempt: number,
): Lease & { values: Lease["values"]; parents: Lease["parents"] } {
  return {
    key,
    experiment: task.experiment,
    template: task.template,
    index,
    attempt,
    of,
    leased: of.leased,
    values: undefined,
    parents: undefined,
    lane: -1,
    devices: [],
    phase: LeasePhase.HELD,
    doom: undefined,
    recalledFor: undefined,
    startedAtMs: 0,
    passed: 0,
    end: undefined,
  };
}

/** The preparation came to its end, well (`failed` undefined) or not. */
export function onPrepared(
  state: AgentState,
  now: Now,
  key: string,
  failed: AttemptEnd | undefined,
  out: AgentEffect[],
): void {
  const lease = state.leases.get(key);
  if (lease?.phase !== LeasePhase.PREPARING) return;
  if (lease.doom !== undefined) {
    if (failed === undefined) out.push({ type: "discard", lease });
    leaveUnstarted(state, now, lease, lease.doom, out);
  } else if (failed !== undefined) end(state, failed, out);
  else {
    state.preparing--;
    lease.phase = LeasePhase.PREPARED;
    state.ready.push(lease);
  }
}

export function onStarted(state: AgentState, key: string, startedAtMs: number): void {
  const lease = state.leases.get(key);
  if (lease?.phase !== LeasePhase.RUNNING || lease.startedAtMs > 0) return;
  lease.startedAtMs = startedAtMs;
  lease.recalledFor = undefined;
  state.toldStarts.push(lease);
}

/** The runner gave it back unstarted: because it was asked to, or because a kill came before the start. */
export function onRecalled(state: AgentState, now: Now, key: string, out: AgentEffect[]): void {
  const lease = state.leases.get(key);
  if (lease?.phase !== LeasePhase.RUNNING) return;
  const { doom, recalledFor } = lease;
  leaveLane(state, lease);
  lease.phase = LeasePhase.PREPARED;
  lease.recalledFor = undefined;
  lease.lane = -1;
  lease.devices = [];
  state.ready.unshift(lease);
  if (doom !== undefined) leaveUnstarted(state, now, lease, doom, out);
  // What a former process prepared only that one could have run.
  else if (recalledFor === "released" || state.draining !== null || lease.of.leased === undefined)
    giveBack(state, now, lease, out);
}

export function onExited(state: AgentState, key: string): void {
  const lease = state.leases.get(key);
  if (lease?.phase !== LeasePhase.RUNNING) return;
  leaveLane(state, lease);
  lease.phase = LeasePhase.EXITED;
}

/** What an attempt came to. An end that nobody waits for is stale and named. */
export function end(state: AgentState, report: AttemptEnd, out: AgentEffect[]): void {
  const lease = state.leases.get(report.key);
  if (lease === undefined || lease.phase >= LeasePhase.ENDED) {
    out.push({ type: "note", code: "end_stale", message: `attempt ${report.key} ended and is not held any more` });
    if (lease === undefined) out.push({ type: "forget", keys: [report.key] });
    return;
  }
  const started = lease.phase >= LeasePhase.RUNNING;
  detach(state, lease);
  if (lease.doom === "superseded") {
    state.leases.delete(lease.key);
    out.push({ type: "forget", keys: [lease.key] });
    return;
  }
  if (lease.doom === "canceled") {
    report.outcome = Outcome.CANCELED;
    report.blame = Blame.CANCELED;
  }
  lease.phase = LeasePhase.ENDED;
  lease.end = report;
  state.endedCount++;
  state.toldEnds.push(lease);
  // Given back or canceled unstarted: without this report the coordinator finds the lease not held, which says the same.
  if (!started && report.outcome !== Outcome.FAILED) return;
  state.toPersist.push(report);
  if (!started) return;
  countEnd(state);
  learnRunTime(lease.of, report);
}

/** Ends it as RELEASED if it has not started; what is in its lane is asked for. */
export function giveBack(state: AgentState, now: Now, lease: Lease, out: AgentEffect[]): void {
  if (lease.phase === LeasePhase.RUNNING) {
    // Only what waits behind another one can still be had: an idle runner starts at once.
    if (!state.lanes[lease.lane]?.waiting.includes(lease) || lease.recalledFor !== undefined) return;
    lease.recalledFor = "released";
    out.push({ type: "recall", key: lease.key, lane: lease.lane });
  } else if (lease.phase === LeasePhase.PREPARING) lease.doom ??= "released";
  else if (lease.phase < LeasePhase.PREPARING || lease.phase === LeasePhase.PREPARED) {
    leaveUnstarted(state, now, lease, "released", out);
  }
}

/** Gives back whatever has not started. */
export function giveBackUnstarted(state: AgentState, now: Now, out: AgentEffect[]): void {
  for (const lease of [...state.leases.values()]) {
    if (lease.phase <= LeasePhase.RUNNING) giveBack(state, now, lease, out);
  }
}

export function cancel(
  state: AgentState,
  now: Now,
  message: Extract<ToAgent, { type: "cancel" }>,
  out: AgentEffect[],
): void {
  forEachLease(state, message.groups, (lease) => {
    if (lease.phase === LeasePhase.RUNNING) {
      lease.doom ??= "canceled";
      const { graceMs, reason } = message;
      out.push({ type: "kill", key: lease.key, lane: lease.lane, graceMs, reason });
    } else if (lease.phase === LeasePhase.PREPARING)
      lease.doom = lease.doom === "superseded" ? "superseded" : "canceled";
    else if (lease.phase < LeasePhase.RUNNING) leaveUnstarted(state, now, lease, "canceled", out);
  });
}

/** It is no longer ours: ended if it runs, never reported, forgotten. */
export function supersede(state: AgentState, now: Now, lease: Lease, reason: string, out: AgentEffect[]): void {
  switch (lease.phase) {
    case LeasePhase.PREPARING:
    case LeasePhase.EXITED:
      lease.doom = "superseded";
      return;
    case LeasePhase.RUNNING:
      lease.doom = "superseded";
      out.push({ type: "kill", key: lease.key, lane: lease.lane, graceMs: KILL_GRACE_MS, reason });
      return;
    case LeasePhase.ENDED:
      forget(state, lease);
      out.push({ type: "forget", keys: [lease.key] });
      return;
    default:
      leaveUnstarted(state, now, lease, "superseded", out);
  }
}

/** The coordinator's final answer to reports. */
export function onAck(state: AgentState, message: Extract<ToAgent, { type: "ack" }>, out: AgentEffect[]): void {
  const keys: string[] = [];
  for (const { group, code, message: text } of message.refused ?? []) {
    forEachLease(state, [group], (lease) => {
      if (lease.phase !== LeasePhase.ENDED) return;
      out.push({ type: "note", code, message: `the end of attempt ${lease.key} does not count: ${text}` });
      forget(state, lease);
      keys.push(lease.key);
    });
  }
  forEachLease(state, message.groups, (lease) => {
    if (lease.phase !== LeasePhase.ENDED) return;
    forget(state, lease);
    keys.push(lease.key);
    if ((lease.end?.startedAtMs ?? 0) === 0) return;
    const { experiment, template, index, attempt } = lease;
    out.push({ type: "publish", attempt: { experiment, template, index, attempt } });
  });
  if (keys.length > 0) out.push({ type: "forget", keys });
}

/** Calls `action` for each attempt of the groups that is held here. */
export function forEachLease(state: AgentState, groups: AttemptGroup[], action: (lease: Lease) => void): void {
  for (const { experiment, template, indexes, attempts } of groups) {
    for (let i = 0; i < indexes.length; i++) {
      const lease = state.leases.get(`${experiment}.${template}.${indexes[i]}.${attempts[i]}`);
      if (lease !== undefined) action(lease);
    }
  }
}

/** Leaves without ever having been started: with an end that says why, or, when superseded, without a word. */
function leaveUnstarted(state: AgentState, now: Now, lease: Lease, why: Doom, out: AgentEffect[]): void {
  if (lease.phase === LeasePhase.PREPARED) out.push({ type: "discard", lease });
  lease.doom = why === "released" ? undefined : why;
  const [outcome, blame] = why === "released" ? [Outcome.RELEASED, Blame.RELEASED] : [Outcome.CANCELED, Blame.CANCELED];
  end(state, unstarted(now, lease.key, outcome, blame), out);
}

function unstarted(now: Now, key: string, outcome: Outcome, blame: Blame): AttemptEnd {
  const endedAtMs = Math.floor(now.wall);
  return { key, outcome, blame, exitCode: -1, signal: 0, startedAtMs: 0, endedAtMs, cpuMs: 0, memoryMaxBytes: 0 };
}

/** Takes it out of whatever it stands in. */
function detach(state: AgentState, lease: Lease): void {
  switch (lease.phase) {
    case LeasePhase.HELD:
      // Its entry in `held` is skipped by its phase.
      state.heldCount--;
      break;
    case LeasePhase.PREPARING:
      state.preparing--;
      break;
    case LeasePhase.PREPARED:
      state.ready.splice(state.ready.indexOf(lease), 1);
      break;
    case LeasePhase.RUNNING:
      leaveLane(state, lease);
      break;
  }
  lease.phase = LeasePhase.OVER;
}

function forget(state: AgentState, lease: Lease): void {
  lease.phase = LeasePhase.OVER;
  state.leases.delete(lease.key);
  state.endedCount--;
}
