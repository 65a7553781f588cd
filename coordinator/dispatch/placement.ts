/**
 * Placement: which queued tasks go to which agent, in which order. It runs after every event, over agents with room ×
 * classes with work, never over tasks. First what fits at once on every agent, then what is held ahead.
 */
import { AHEAD_MEDIAN_MAX_MS, FRAME_TASKS_MAX } from "../../shared/model/constants.ts";
import { fits, misfits } from "../../shared/model/requirement.ts";
import type { AgentFloor, Core, Held } from "./core.ts";
import { type TaskClass, type TemplateQueue, takeNext } from "./floor/classes.ts";
import { gatherLeases, roomForLeases } from "./floor/gather.ts";
import { hold } from "./floor/hold.ts";
import type { Now } from "./ports.ts";

/** Decides leases until nothing more fits or the cut is full. */
export function place(core: Core, now: Now): void {
  if (core.classes.ready.size === 0 || core.peers.size === 0) return;
  for (const ahead of [false, true]) {
    for (const floor of core.peers.values()) {
      while (core.classes.ready.size > 0 && roomForLeases(core) > 0 && serve(core, floor, ahead, now));
    }
  }
}

/** Leases tasks of the best class to one agent; false when none of the ready ones is for it now. */
function serve(core: Core, floor: AgentFloor, ahead: boolean, now: Now): boolean {
  // Credit −1: not even what fits.
  if (floor.state !== "READY" || floor.ahead < 0) return false;
  if (ahead && floor.aheadUsed >= floor.ahead) return false;
  const best = bestClass(core, floor, ahead, now);
  if (!best) return false;
  const queue = best.heap.top() as TemplateQueue;
  const { template } = queue;
  const { experiment } = template;
  const leases: Held[] = [];
  const isTaken = (number: number): boolean => core.held.has(number) || core.backing.has(number);
  const room = Math.min(FRAME_TASKS_MAX, roomForLeases(core));
  while (leases.length < room && hasRoom(core, floor, best, ahead)) {
    const index = takeNext(queue, isTaken);
    if (index < 0) {
      core.classes.dropTop(best);
      break;
    }
    const attempt = (template.attempts[index] as number) + 1;
    const held: Held = {
      template,
      index,
      attempt,
      floor,
      class: best,
      ahead,
      committed: false,
      ending: false,
      reported: false,
      ghost: false,
      phase: 0,
      startedAtMs: 0,
    };
    hold(core, held);
    leases.push(held);
  }
  if (leases.length === 0) return true;
  gatherLeases(core, floor, template, leases);
  core.figures.leases += leases.length;
  if (experiment.pinned && experiment.rootDecided === null) {
    // Decided here, durable with the lease: from now on its other tasks go only to this root.
    experiment.rootDecided = floor.root;
    core.classes.relist(experiment.templates);
  }
  return true;
}

function hasRoom(core: Core, floor: AgentFloor, taskClass: TaskClass, ahead: boolean): boolean {
  if (core.config.mutations.leaseAboveCapacity && floor.held.size < 3) return true;
  return ahead ? floor.aheadUsed < floor.ahead : fits(taskClass.requirement, floor.free);
}

/** The ready class whose first template comes first of those that this agent can take now. */
function bestClass(core: Core, floor: AgentFloor, ahead: boolean, now: Now): TaskClass | undefined {
  let best: TaskClass | undefined;
  for (const candidate of core.classes.ready) {
    if (candidate.root !== null && candidate.root !== floor.root) continue;
    if (!suits(floor, candidate) || !lastsLongEnough(floor, candidate, now)) continue;
    if (ahead && candidate.medianMs > AHEAD_MEDIAN_MAX_MS) continue;
    if (!ahead && !fits(candidate.requirement, floor.free)) continue;
    if (!parkBlocked(core, candidate)) continue;
    if (!best || comesFirst(candidate, best)) best = candidate;
  }
  return best;
}

/** Takes templates that may not be leased now off the top; false when nothing is left. They are listed again on resume. */
function parkBlocked(core: Core, taskClass: TaskClass): boolean {
  for (let top = taskClass.heap.top(); top; top = taskClass.heap.top()) {
    const { experiment } = top.template;
    if (!experiment.paused && !core.deciding.has(experiment.id)) return true;
    core.classes.dropTop(taskClass);
  }
  return false;
}

function comesFirst(a: TaskClass, b: TaskClass): boolean {
  const left = (a.heap.top() as TemplateQueue).template.experiment;
  const right = (b.heap.top() as TemplateQueue).template.experiment;
  return left.priority !== right.priority ? left.priority > right.priority : left.id < right.id;
}

/** Whether the class would fit this agent when idle; remembered until the agent states its capacity anew. */
function suits(floor: AgentFloor, taskClass: TaskClass): boolean {
  let known = floor.suits.get(taskClass);
  if (known === undefined) {
    known = misfits(taskClass.requirement, floor.capacity).length === 0;
    floor.suits.set(taskClass, known);
  }
  return known;
}

/** A task is leased only where its wall time fits into what is left of the agent's life. */
export function lastsLongEnough(floor: AgentFloor, taskClass: TaskClass, now: Now): boolean {
  if (floor.lastsUntilMono === null) return true;
  return taskClass.requirement.wallSeconds * 1000 <= floor.lastsUntilMono - now.mono;
}
