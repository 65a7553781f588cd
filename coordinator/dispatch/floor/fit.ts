/** Which agent may take what, whether it has room now or not: capacity, project, place of the outputs, time that is left. */
import { misfits } from "../../../shared/model/requirement.ts";
import type { AgentFloor } from "../core.ts";
import type { Now } from "../ports.ts";
import type { Shape, TaskClass } from "./classes.ts";

/** Whether a shape would fit this agent when idle; remembered until the agent states its capacity anew. */
export function suits(floor: AgentFloor, shape: Shape): boolean {
  if (shape.root !== null && shape.root !== floor.root) return false;
  let known = floor.suits.get(shape);
  if (known === undefined) {
    known = misfits(shape.requirement, floor.capacity).length === 0;
    floor.suits.set(shape, known);
  }
  return known;
}

/** A task is leased only where its wall time fits into what is left of the agent's life. */
export function lastsLongEnough(floor: AgentFloor, { requirement }: Pick<Shape, "requirement">, now: Now): boolean {
  if (floor.lastsUntilMono === null) return true;
  return requirement.wallSeconds * 1000 <= floor.lastsUntilMono - now.mono;
}

/** One trust domain: an agent that was enrolled for a project sees the tasks of no other. */
export function serves(floor: AgentFloor, { project }: Pick<TaskClass, "project">): boolean {
  return floor.serves === null || floor.serves === project.project;
}
