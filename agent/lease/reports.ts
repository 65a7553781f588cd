/** Puts what has gathered into messages: starts and ends in columns, one group per template, frames well below the limit. */
import { FRAME_BYTES_MAX, FRAME_TASKS_MAX } from "../../shared/model/constants.ts";
import type { AttemptGroup, EndGroup } from "../../shared/protocol/messages.ts";
import type { AttemptEnd } from "../report/end.ts";
import type { AgentEffect, Now } from "./contract.ts";
import { type AgentState, type HeldTemplate, type Lease, LeasePhase } from "./state.ts";

type StartGroup = AttemptGroup & { startedAtMs: number[] };

/**
 * Least time between two frames of reports while work goes on. A frame costs an append, about 0.5 ms of the processors
 * in all, as much as a short task itself; a tenth of the 200 ms of work that are held ahead delays nothing.
 */
const GATHER_MS = 20;
/**
 * Where so many have gathered by then, which is a thousand a second, frames are what such small tasks cost most: the next
 * one takes twice as long. It is sent well before the outbox would write down what is not acknowledged.
 */
const GATHER_MANY_TASKS = 20;
const GATHER_MANY_MS = 40;
/** So many go at once. */
const GATHER_TASKS = 100;
/** An end's numbers take at most 9 bytes in each of 12 columns. */
const END_BYTES = 108;
/** UTF-8 takes at most three bytes for what is one character of a JavaScript string. */
const CHARACTER_BYTES = 3;
/** Half a frame: estimates may be wrong, and a frame that is too large would never get through. */
const REPORT_BYTES = FRAME_BYTES_MAX / 2;

/** Hands gathered ends to the outbox. */
export function persistEnds(state: AgentState, out: AgentEffect[]): void {
  if (state.toPersist.length === 0) return;
  out.push({ type: "persist", ends: state.toPersist });
  state.toPersist = [];
}

/**
 * Sends gathered ends. The first end after a pause goes at once, and so does the last one of all that is held: nobody
 * waits for others that will not come. Starts go along, or by themselves when they have waited; one that ended meanwhile
 * is told by its end alone.
 */
export function sendReports(state: AgentState, now: Now, out: AgentEffect[]): void {
  const endsDue = areEndsDue(state, now);
  if (state.toldStarts.length > 0 && (endsDue || now.mono >= state.startsSentMono + GATHER_MS)) {
    state.startsSentMono = now.mono;
    sendStarts(state, out);
  }
  if (!endsDue) return;
  state.endsSentMono = now.mono;
  sendEnds(state, out);
}

function areEndsDue(state: AgentState, now: Now): boolean {
  const told = state.toldEnds.length;
  if (told === 0) return false;
  const unfinished = state.leases.size - state.endedCount;
  return unfinished === 0 || told >= GATHER_TASKS || now.mono >= endsDueMono(state);
}

function endsDueMono(state: AgentState): number {
  return state.endsSentMono + (state.toldEnds.length < GATHER_MANY_TASKS ? GATHER_MS : GATHER_MANY_MS);
}

/** When reports that gather must be sent at the latest. */
export function reportsDueMono(state: AgentState): number {
  if (state.session !== "ready" || state.congested) return Number.POSITIVE_INFINITY;
  const ends = state.toldEnds.length > 0 ? endsDueMono(state) : Number.POSITIVE_INFINITY;
  return state.toldStarts.length > 0 ? Math.min(ends, state.startsSentMono + GATHER_MS) : ends;
}

/** After a welcome every end that is not acknowledged is told again. */
export function tellAllEnds(state: AgentState): void {
  state.endsSentMono = Number.NEGATIVE_INFINITY;
  state.toldEnds.length = 0;
  for (const lease of state.leases.values()) if (lease.phase === LeasePhase.ENDED) state.toldEnds.push(lease);
}

function sendStarts(state: AgentState, out: AgentEffect[]): void {
  let groups = new Map<HeldTemplate, StartGroup>();
  let tasks = 0;
  const send = (): void => {
    if (tasks > 0) out.push({ type: "send", message: { type: "started", groups: [...groups.values()] } });
    groups = new Map();
    tasks = 0;
  };
  for (const lease of state.toldStarts) {
    // What has ended meanwhile is told by its end.
    if (lease.phase >= LeasePhase.ENDED) continue;
    let group = groups.get(lease.of);
    if (group === undefined) {
      group = { ...emptyGroup(lease), startedAtMs: [] };
      groups.set(lease.of, group);
    }
    addAttempt(group, lease);
    group.startedAtMs.push(lease.startedAtMs);
    if (++tasks === FRAME_TASKS_MAX) send();
  }
  send();
  state.toldStarts.length = 0;
}

function sendEnds(state: AgentState, out: AgentEffect[]): void {
  let groups = new Map<HeldTemplate, EndGroup>();
  let tasks = 0;
  let bytes = 0;
  const send = (): void => {
    if (tasks > 0) out.push({ type: "send", message: { type: "ended", groups: [...groups.values()] } });
    groups = new Map();
    tasks = 0;
    bytes = 0;
  };
  for (const lease of state.toldEnds) {
    if (lease.phase !== LeasePhase.ENDED) continue;
    const report = lease.end as AttemptEnd;
    const size = END_BYTES + CHARACTER_BYTES * ((report.tail?.length ?? 0) + (report.detail?.length ?? 0));
    if (bytes + size > REPORT_BYTES) send();
    let group = groups.get(lease.of);
    if (group === undefined) {
      group = emptyEnds(lease);
      groups.set(lease.of, group);
    }
    addEnd(group, lease, report);
    if (state.version >= 2) addStorage(group, report);
    if (state.options.mutations.outboxTruncatedEarly) out.push({ type: "forget", keys: [lease.key] });
    bytes += size;
    if (++tasks === FRAME_TASKS_MAX) send();
  }
  send();
  state.toldEnds.length = 0;
}

function addEnd(group: EndGroup, lease: Lease, report: AttemptEnd): void {
  const at = group.indexes.length;
  addAttempt(group, lease);
  group.outcomes.push(report.outcome);
  group.blames.push(report.blame);
  group.exitCodes.push(report.exitCode);
  group.signals.push(report.signal);
  group.startedAtMs.push(report.startedAtMs);
  group.endedAtMs.push(report.endedAtMs);
  group.cpuMs.push(report.cpuMs);
  group.memoryMaxBytes.push(report.memoryMaxBytes);
  if (report.tail) {
    group.tails ??= {};
    group.tails[at] = report.tail;
  }
  if (report.detail) {
    group.details ??= {};
    group.details[at] = report.detail;
  }
}

/** Most tasks touch no storage, and then there is no column. */
function addStorage(group: EndGroup, { readBytes = 0, writtenBytes = 0 }: AttemptEnd): void {
  if (group.readBytes === undefined || group.writtenBytes === undefined) {
    if (readBytes === 0 && writtenBytes === 0) return;
    const before = group.indexes.length - 1;
    group.readBytes = new Array<number>(before).fill(0);
    group.writtenBytes = new Array<number>(before).fill(0);
  }
  group.readBytes.push(readBytes);
  group.writtenBytes.push(writtenBytes);
}

function addAttempt(group: AttemptGroup, lease: Lease): void {
  group.indexes.push(lease.index);
  group.attempts.push(lease.attempt);
}

function emptyGroup(lease: Lease): AttemptGroup {
  return { experiment: lease.experiment, template: lease.template, indexes: [], attempts: [] };
}

function emptyEnds(lease: Lease): EndGroup {
  return {
    ...emptyGroup(lease),
    outcomes: [],
    blames: [],
    exitCodes: [],
    signals: [],
    startedAtMs: [],
    endedAtMs: [],
    cpuMs: [],
    memoryMaxBytes: [],
  };
}
