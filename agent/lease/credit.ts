/**
 * How many leases the agent asks for beyond what fits at once: enough that no slot idles for a round trip, little enough
 * that nothing waits here while another agent idles.
 */
import { AHEAD_MAX, AHEAD_MEDIAN_MAX_MS, AHEAD_MS, OUTBOX_ATTEMPTS_MAX } from "../../shared/model/constants.ts";
import type { Quantities, Requirement } from "../../shared/model/requirement.ts";
import type { AgentEffect, Now } from "./contract.ts";
import type { AgentState } from "./state.ts";

/** The rate is looked at this often; a shorter window would count single ends. */
const RATE_WINDOW_MS = 200;
/** Weight of the newest window: after five of them (a second) five sixths of the old rate are forgotten. */
const RATE_WEIGHT = 0.3;

/**
 * Leases ahead: `AHEAD_MS` of work at `ratePerSecond`, at least one per slot, at most `AHEAD_MAX`; none when the usual
 * run time is known to be above `AHEAD_MEDIAN_MAX_MS`. Exported for tests.
 */
export function creditAhead(slots: number, ratePerSecond: number, medianMs: number): number {
  if (medianMs > AHEAD_MEDIAN_MAX_MS) return 0;
  return Math.min(AHEAD_MAX, Math.max(slots, Math.ceil((ratePerSecond * AHEAD_MS) / 1_000)));
}

/** How many tasks of this need fit into what there is, at most `most`. Exported for tests. */
export function fitCount(need: Requirement, have: Quantities, most: number): number {
  let count = most;
  const bound = (needed: number, available: number): void => {
    // A thousandth of slack: 0.1 cpus ten times are a whole one.
    if (needed > 0) count = Math.min(count, Math.floor(available / needed + 0.001));
  };
  bound(need.cpus, have.cpus);
  bound(need.memoryBytes, have.memoryBytes);
  bound(need.gpus, have.gpus);
  bound(need.diskBytes, have.diskBytes);
  for (const name in need.custom) bound(need.custom[name] ?? 0, have.custom[name] ?? 0);
  return Math.max(0, count);
}

/** Tasks of the latest kind that this machine runs at once, at least one. */
export function slotsOf(state: AgentState): number {
  const { capacity, lanesMax } = state.options;
  return Math.max(1, fitCount(state.typical.need, capacity, lanesMax));
}

export function countEnd(state: AgentState): void {
  state.rateEnds++;
}

/** Sends the credit when it says something new, or when the poll interval is over. The session is ready. */
export function stateCredit(state: AgentState, now: Now, out: AgentEffect[]): void {
  measureRate(state, now);
  const draining = state.draining !== null;
  const ahead = creditOf(state);
  const silentMs = now.mono - state.creditSentMono;
  const news = draining !== state.creditDrainingSent || isNews(ahead, state.creditSent);
  if (!news && silentMs < state.options.pollIntervalMs) return;
  if (ahead < 0 && state.hold === null && state.creditSent !== ahead) {
    const text = `${state.endedCount} ended attempts are not acknowledged: nothing more is asked for until they are`;
    out.push({ type: "note", code: "outbox_full", message: text });
  }
  state.creditSent = ahead;
  state.creditSentMono = now.mono;
  state.creditDrainingSent = draining;
  out.push({ type: "send", message: { type: "free", ahead, lastsMs: lastsMs(state, now), draining } });
}

/** Milliseconds until the allocation ends; null when nothing bounds it. */
export function lastsMs(state: AgentState, now: Now): number | null {
  const { lastsUntilMs } = state.options;
  return lastsUntilMs === null ? null : Math.max(0, Math.floor(lastsUntilMs - now.wall));
}

function creditOf(state: AgentState): number {
  if (state.draining !== null) return 0;
  const room = OUTBOX_ATTEMPTS_MAX - state.endedCount;
  if (state.hold !== null || room <= 0) return -1;
  return Math.min(room, creditAhead(slotsOf(state), state.rate, state.typical.medianMs));
}

/** A change by less than an eighth is noise of the measured rate and not worth a frame. */
function isNews(ahead: number, sent: number): boolean {
  if (Number.isNaN(sent) || ahead <= 0 || sent <= 0) return ahead !== sent;
  return Math.abs(ahead - sent) >= Math.max(1, sent / 8);
}

function measureRate(state: AgentState, now: Now): void {
  if (Number.isNaN(state.rateSinceMono)) state.rateSinceMono = now.mono;
  const elapsedMs = now.mono - state.rateSinceMono;
  if (elapsedMs < RATE_WINDOW_MS) return;
  const current = (state.rateEnds * 1_000) / elapsedMs;
  state.rate = state.rate === 0 ? current : state.rate + (current - state.rate) * RATE_WEIGHT;
  state.rateEnds = 0;
  state.rateSinceMono = now.mono;
}
