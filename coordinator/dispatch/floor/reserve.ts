/**
 * Room for large tasks. A class that comes first but never fits, because smaller ones take every bit of room that comes,
 * is passed over for ten seconds; then one agent takes nothing else until it has room for it. One such reservation at a
 * time: what it can cost is one agent's idle room, and everybody who waits for room gets it in turn.
 */
import { fits } from "../../../shared/model/requirement.ts";
import { TaskState } from "../../../shared/model/states.ts";
import type { AgentFloor, Core } from "../core.ts";
import type { Now } from "../ports.ts";
import type { TaskClass } from "./classes.ts";
import { lastsLongEnough, serves, suits } from "./fit.ts";
import { comesFirst } from "./share.ts";

export interface Reservation {
  readonly class: TaskClass;
  readonly floor: AgentFloor;
}

/** Passed over for this long, it gets a reservation. */
const PASSED_OVER_MS = 10_000;
/** A task that is expected to run for less frees its room soon. */
const SOON_S = 60;

/** What this agent is kept free for; null when it is not. Drops a reservation that nobody can use any more. */
export function reservedFor(core: Core, floor: AgentFloor, now: Now): TaskClass | null {
  const { reserved } = core;
  if (reserved === null || reserved.floor !== floor) return null;
  if (hasTask(reserved.class) && mayTake(reserved.floor, reserved.class, now)) return reserved.class;
  core.reserved = null;
  return null;
}

/** Drops a reservation whose agent or tasks are gone, also when its agent is not asked any more. */
export function checkReservation(core: Core, now: Now): void {
  if (core.reserved !== null) reservedFor(core, core.reserved.floor, now);
}

/** Tasks of `chosen` go to this agent although others come first: those that only lack the room now are passed over. */
export function notePassedOver(core: Core, floor: AgentFloor, chosen: TaskClass, now: Now): void {
  for (const shape of core.classes.ready) {
    if (shape === chosen.shape || !suits(floor, shape) || fits(shape.requirement, floor.free)) continue;
    const waiting = shape.classes.top();
    if (!waiting || !hasTask(waiting) || !serves(floor, waiting) || !comesFirst(waiting, chosen)) continue;
    if (waiting.passedMono === null) waiting.passedMono = now.mono;
    else if (core.reserved === null && now.mono - waiting.passedMono >= PASSED_OVER_MS) reserve(core, waiting, now);
  }
}

/** It got what it waited for, here or elsewhere. */
export function noteServed(core: Core, taskClass: TaskClass): void {
  taskClass.passedMono = null;
  if (core.reserved?.class === taskClass) core.reserved = null;
}

/** The agent on which there will soon be the most room. */
function reserve(core: Core, waiting: TaskClass, now: Now): void {
  let most = Number.NEGATIVE_INFINITY;
  for (const floor of core.peers.values()) {
    if (!mayTake(floor, waiting, now)) continue;
    let soon = floor.free.cpus;
    for (const held of floor.held) if (held.class.expectedS < SOON_S) soon += held.class.requirement.cpus;
    if (soon <= most) continue;
    most = soon;
    core.reserved = { class: waiting, floor };
  }
}

/** A class may stand in line with nothing but canceled or paused tasks until somebody looks at them. */
function hasTask(waiting: TaskClass): boolean {
  const first = waiting.place >= 0 ? waiting.heap.top()?.template : undefined;
  return first !== undefined && !first.experiment.paused && (first.counts[TaskState.QUEUED] as number) > 0;
}

function mayTake(floor: AgentFloor, waiting: TaskClass, now: Now): boolean {
  if (floor.peer === null || floor.state !== "READY" || floor.ahead < 0) return false;
  return serves(floor, waiting) && suits(floor, waiting.shape) && lastsLongEnough(floor, waiting, now);
}
