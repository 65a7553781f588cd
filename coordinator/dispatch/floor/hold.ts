/**
 * Holding: which task is with which agent, what that takes from the agent's room, and letting go.
 */

import type { AgentId } from "../../../shared/model/ids.ts";
import { type Capacity, charge, fits, type Quantities } from "../../../shared/model/requirement.ts";
import { PHASE_NAMES, TaskState } from "../../../shared/model/states.ts";
import type { AgentFloor, Core, Held } from "../core.ts";
import { stateOf, type TemplateLedger } from "../ledger/ledger.ts";
import { countHeld, countLeft, startMeter, stopMeter } from "./meter.ts";

const RUNNING = PHASE_NAMES.indexOf("RUNNING");

const NOTHING: Capacity = {
  cpus: 0,
  memoryBytes: 0,
  gpus: 0,
  vramBytes: 0,
  diskBytes: 0,
  custom: {},
  labels: {},
};

/** The floor entry of an agent, made when it is first heard of (or found in the journal). */
export function floorOf(core: Core, agent: AgentId, root: string, deadlineMono: number): AgentFloor {
  let floor = core.agents.get(agent);
  if (!floor) {
    floor = {
      agent,
      name: `agent ${agent}`,
      program: "",
      hostname: "",
      root,
      state: "LOST",
      epoch: 0,
      peer: null,
      peerLast: -1,
      deadlineMono,
      awaySinceWall: null,
      seenAtWall: 0,
      capacity: NOTHING,
      free: quantitiesOf(NOTHING),
      ahead: 0,
      aheadUsed: 0,
      lastsUntilMono: null,
      held: new Set(),
      aheadQueue: [],
      sent: new WeakSet(),
      suits: new WeakMap(),
      serves: null,
    };
    core.agents.set(agent, floor);
  }
  return floor;
}

function quantitiesOf(capacity: Quantities): Quantities {
  const { cpus, memoryBytes, gpus, vramBytes, diskBytes, custom } = capacity;
  return { cpus, memoryBytes, gpus, vramBytes, diskBytes, custom: { ...custom } };
}

/** Puts a task with an agent; counts it against the room unless it is held ahead. */
export function hold(core: Core, held: Held): void {
  core.held.set(held.template.base + held.index, held);
  held.floor.held.add(held);
  countHeld(core, held);
  if (held.phase === RUNNING) countRunning(core, held, 1);
  if (held.ahead) {
    held.floor.aheadUsed++;
    held.floor.aheadQueue.push(held);
  } else charge(held.floor.free, held.class.requirement, -1);
}

/** What the agent says that it does with a held task. */
export function setPhase(core: Core, held: Held, phase: number): void {
  const before = held.phase;
  held.phase = phase;
  if (held.floor.held.has(held)) countRunning(core, held, Number(phase === RUNNING) - Number(before === RUNNING));
}

function countRunning(core: Core, held: Held, change: number): void {
  if (change > 0) startMeter(core, held);
  else if (change < 0) stopMeter(core, held);
  const { id } = held.template.experiment;
  const count = (core.running.get(id) ?? 0) + change;
  if (count === 0) core.running.delete(id);
  else core.running.set(id, count);
}

/** Takes a task from its agent; what was held ahead moves into the room that this leaves. */
export function letGo(core: Core, held: Held): void {
  const { floor } = held;
  const number = held.template.base + held.index;
  if (core.held.get(number) === held) core.held.delete(number);
  if (!floor.held.delete(held)) return;
  if (held.phase === RUNNING) countRunning(core, held, -1);
  countLeft(core, held);
  if (held.ahead) floor.aheadUsed--;
  else charge(floor.free, held.class.requirement, 1);
  promote(floor);
}

function promote(floor: AgentFloor): void {
  const queue = floor.aheadQueue;
  let from = 0;
  while (from < queue.length) {
    const next = queue[from] as Held;
    const gone = !next.ahead || !floor.held.has(next);
    if (!gone && !fits(next.class.requirement, floor.free)) break;
    from++;
    if (gone) continue;
    next.ahead = false;
    floor.aheadUsed--;
    charge(floor.free, next.class.requirement, -1);
  }
  if (from > 0) queue.splice(0, from);
}

/**
 * After a hello stated the capacity anew: what is held is charged again from the start, first what runs. What does not fit
 * beside it is held ahead as before, or each reconnect would give the agent as much again.
 */
export function recharge(floor: AgentFloor, capacity: Capacity): void {
  floor.capacity = capacity;
  floor.free = quantitiesOf(capacity);
  floor.aheadQueue.length = 0;
  floor.aheadUsed = 0;
  const begun = [...floor.held].sort((a, b) => Number(b.phase === RUNNING) - Number(a.phase === RUNNING));
  for (const held of begun) {
    // What waits behind another one in its lane is told as running, too.
    held.ahead = !fits(held.class.requirement, floor.free);
    if (!held.ahead) {
      charge(floor.free, held.class.requirement, -1);
      continue;
    }
    floor.aheadUsed++;
    floor.aheadQueue.push(held);
  }
  floor.suits = new WeakMap();
}

/** Offers a QUEUED task that nobody holds any more. */
export function offerAgain(core: Core, template: TemplateLedger, index: number): void {
  if (stateOf(template, index) === TaskState.QUEUED) core.classes.offer(template, index);
}
