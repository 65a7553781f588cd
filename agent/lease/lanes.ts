/**
 * Local admission: which prepared lease starts now, in which lane and on which gpus. What fits is decided here once more,
 * whatever the coordinator thought, and behind a task only short ones of the same template wait in its lane.
 */
import { DEPTH_TWO_MEDIAN_MAX_MS, LANE_AHEAD_MS, LANE_DEPTH_MAX } from "../../shared/model/constants.ts";
import { charge, fits, type Quantities, type Requirement } from "../../shared/model/requirement.ts";
import type { AgentEffect } from "./contract.ts";
import { slotsOf } from "./credit.ts";
import { type AgentState, type HeldTemplate, type Lane, type Lease, LeasePhase } from "./state.ts";

/** So many later ones may start before a lease that does not fit; then room is kept until it does. */
const PASSED_MAX = 16;
/** Prepared beyond twice the slots: what small machines start within one round through the file system. */
const PREPARED_AHEAD = 8;

/** Starts what fits, in order. */
export function admit(state: AgentState, out: AgentEffect[]): void {
  const { ready } = state;
  let kept = 0;
  let refused: HeldTemplate | undefined;
  for (let i = 0; i < ready.length; i++) {
    const lease = ready[i] as Lease;
    const first = ready[0] as Lease;
    const waits = kept > 0 && first.passed >= PASSED_MAX;
    if (waits || lease.of === refused || !place(state, lease)) {
      refused = lease.of;
      ready[kept++] = lease;
      continue;
    }
    if (kept > 0) first.passed++;
    lease.phase = LeasePhase.RUNNING;
    out.push({ type: "run", lease });
  }
  ready.length = kept;
}

/** Has the next ones prepared, so that a slot never waits for the file system. */
export function prepareAhead(state: AgentState, out: AgentEffect[]): void {
  if (state.held.length === 0) return;
  const wanted = 2 * slotsOf(state) + PREPARED_AHEAD;
  // Several at once cost the file system's threads little more than one: filled up when half is used, not one by one.
  if (state.preparing + state.ready.length > wanted / 2) return;
  while (state.heldCount > 0 && state.preparing + state.ready.length < wanted) {
    const lease = state.held[state.heldHead++] as Lease;
    if (lease.phase !== LeasePhase.HELD) continue;
    state.heldCount--;
    state.preparing++;
    lease.phase = LeasePhase.PREPARING;
    out.push({ type: "prepare", lease });
  }
  if (state.heldHead > 1_024 || state.heldCount === 0) {
    state.held = state.held.slice(state.heldHead);
    state.heldHead = 0;
  }
}

/** Trust is lost: what waits behind a running task must not start by itself. */
export function distrust(state: AgentState, out: AgentEffect[]): void {
  for (const { waiting } of state.lanes) {
    for (const lease of waiting) {
      if (lease.recalledFor !== undefined) continue;
      lease.recalledFor = "trust";
      out.push({ type: "recall", key: lease.key, lane: lease.lane });
    }
  }
}

/** An adopted attempt takes its lane, its gpus and its share, whether or not they would be given today. */
export function occupy(state: AgentState, lease: Lease): void {
  while (state.lanes.length <= lease.lane) {
    state.idleLanes.push(state.lanes.length);
    state.lanes.push({ running: undefined, waiting: [] });
  }
  const lane = state.lanes[lease.lane] as Lane;
  if (lane.running !== undefined) {
    // What has not started is what waits.
    const started = lease.startedAtMs > 0 && lane.running.startedAtMs === 0;
    lane.waiting.push(started ? lane.running : lease);
    if (started) lane.running = lease;
    return;
  }
  state.idleLanes = state.idleLanes.filter((idle) => idle !== lease.lane);
  lane.running = lease;
  state.runningCount++;
  charge(state.free, lease.of.need, -1);
  state.devicesFree = state.devicesFree.filter((device) => !lease.devices.includes(device));
}

/** Takes a lease out of its lane; the next one behind it inherits room and gpus. */
export function leaveLane(state: AgentState, lease: Lease): void {
  const lane = state.lanes[lease.lane];
  if (lane === undefined) return;
  if (lane.running !== lease) {
    const at = lane.waiting.indexOf(lease);
    if (at >= 0) lane.waiting.splice(at, 1);
    return;
  }
  lane.running = lane.waiting.shift();
  if (lane.running !== undefined) return;
  state.idleLanes.push(lease.lane);
  state.runningCount--;
  state.devicesFree.push(...lease.devices);
  if (state.runningCount > 0) charge(state.free, lease.of.need, 1);
  // Adding and subtracting fractions drifts; an idle machine is exactly its capacity.
  else restoreFree(state.free, state.options.capacity);
}

function place(state: AgentState, lease: Lease): boolean {
  const { need } = lease.of;
  if (
    state.runningCount < state.options.lanesMax &&
    fits(need, state.free) &&
    devicesFor(need) <= state.devicesFree.length
  ) {
    let number = state.idleLanes.pop();
    if (number === undefined) {
      number = state.lanes.length;
      state.lanes.push({ running: undefined, waiting: [] });
    }
    (state.lanes[number] as Lane).running = lease;
    lease.lane = number;
    lease.devices = state.devicesFree.splice(0, devicesFor(need));
    state.runningCount++;
    charge(state.free, need, -1);
    return true;
  }
  return placeBehind(state, lease);
}

/** Behind the running task of the same template with the fewest waiting. */
function placeBehind(state: AgentState, lease: Lease): boolean {
  const depth = laneDepth(lease.of.medianMs);
  let best: Lane | undefined;
  let number = -1;
  for (let i = 0; i < state.lanes.length && depth > 1; i++) {
    const lane = state.lanes[i] as Lane;
    const { running, waiting } = lane;
    if (running?.of !== lease.of || running.doom !== undefined || waiting.length + 1 >= depth) continue;
    if (best !== undefined && waiting.length >= best.waiting.length) continue;
    best = lane;
    number = i;
  }
  if (best?.running === undefined) return false;
  best.waiting.push(lease);
  lease.lane = number;
  lease.devices = best.running.devices;
  return true;
}

/** Tasks that a lane holds at once: one, two when they are short, more when a round through us would take as long as they. */
function laneDepth(medianMs: number): number {
  if (medianMs === 0 || medianMs >= DEPTH_TWO_MEDIAN_MAX_MS) return 1;
  return Math.min(LANE_DEPTH_MAX, 1 + Math.ceil(LANE_AHEAD_MS / medianMs));
}

function devicesFor(need: Requirement): number {
  return Math.ceil(need.gpus);
}

function restoreFree(free: Quantities, capacity: Quantities): void {
  free.cpus = capacity.cpus;
  free.memoryBytes = capacity.memoryBytes;
  free.gpus = capacity.gpus;
  free.diskBytes = capacity.diskBytes;
  for (const name in free.custom) free.custom[name] = capacity.custom[name] ?? 0;
}
