/**
 * Placement: which queued tasks go to which agent, in which order. It runs after every event, over agents with room ×
 * shapes with work, never over tasks. First what fits at once on every agent, then what is held ahead. Between projects the
 * fair share decides, within one the priority, then age.
 */
import { FRAME_TASKS_MAX } from "../../shared/model/constants.ts";
import { fits } from "../../shared/model/requirement.ts";
import type { AgentFloor, Core, Held } from "./core.ts";
import { type Shape, type TaskClass, type TemplateQueue, takeNext } from "./floor/classes.ts";
import { lastsLongEnough, suits } from "./floor/fit.ts";
import { gatherLeases, roomForLeases } from "./floor/gather.ts";
import { hold } from "./floor/hold.ts";
import { allowance } from "./floor/limits.ts";
import { checkReservation, notePassedOver, noteServed, reservedFor } from "./floor/reserve.ts";
import { comesFirst, refreshShares, settleShares, turnOf } from "./floor/share.ts";
import type { Now } from "./ports.ts";

/** Decides leases until nothing more fits or the cut is full. */
export function place(core: Core, now: Now): void {
  refreshShares(core, now);
  settleShares(core);
  checkReservation(core, now);
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
  const { best, rival } = chooseClass(core, floor, ahead, now);
  if (!best) return false;
  const queue = best.heap.top() as TemplateQueue;
  const { template } = queue;
  const { experiment } = template;
  if (!ahead && core.classes.ready.size > 1) notePassedOver(core, floor, best, now);
  const leases: Held[] = [];
  const isTaken = (number: number): boolean => core.held.has(number) || core.backing.has(number);
  const turn = rival === Number.POSITIVE_INFINITY ? rival : turnOf(best, rival);
  const room = Math.min(FRAME_TASKS_MAX, roomForLeases(core), allowance(best), turn);
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
      expected: 0,
      meteredMono: null,
    };
    hold(core, held);
    leases.push(held);
  }
  if (leases.length === 0) return true;
  noteServed(core, best);
  settleShares(core);
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

interface Choice {
  best: TaskClass | undefined;
  /** Key of the project that would come next; infinite when there is no other. */
  rival: number;
}

/** The class that comes first of those that this agent can take now. */
function chooseClass(core: Core, floor: AgentFloor, ahead: boolean, now: Now): Choice {
  const choice: Choice = { best: undefined, rival: Number.POSITIVE_INFINITY };
  const reserved = reservedFor(core, floor, now);
  if (reserved !== null) {
    if (!ahead && canTake(floor, reserved.shape, ahead, now) && mayLease(core, reserved)) choice.best = reserved;
    return choice;
  }
  if (floor.serves !== null) {
    for (const own of core.projects.get(floor.serves).ready) {
      if (canTake(floor, own.shape, ahead, now) && mayLease(core, own)) consider(choice, own);
    }
    return choice;
  }
  for (const shape of core.classes.ready) {
    if (!canTake(floor, shape, ahead, now)) continue;
    let top = shape.classes.top();
    while (top && !mayLease(core, top)) top = shape.classes.top();
    if (!top) continue;
    consider(choice, top);
    const second = core.projects.competing > 1 ? shape.classes.second() : undefined;
    if (second) consider(choice, second);
  }
  return choice;
}

function consider(choice: Choice, candidate: TaskClass): void {
  const { best } = choice;
  if (!best) choice.best = candidate;
  else if (comesFirst(candidate, best)) {
    if (candidate.project !== best.project) choice.rival = Math.min(choice.rival, best.project.key);
    choice.best = candidate;
  } else if (candidate.project !== best.project) choice.rival = Math.min(choice.rival, candidate.project.key);
}

function canTake(floor: AgentFloor, shape: Shape, ahead: boolean, now: Now): boolean {
  if (!suits(floor, shape) || !lastsLongEnough(floor, shape, now)) return false;
  return ahead ? !shape.long : fits(shape.requirement, floor.free);
}

/** Whether a class has something to lease; if not it is taken out, so that the next one of its shape comes up. */
function mayLease(core: Core, candidate: TaskClass): boolean {
  if (!parkBlocked(core, candidate)) return false;
  if (allowance(candidate) > 0) return true;
  core.classes.block(candidate);
  return false;
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
