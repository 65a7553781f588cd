/** "Why does another project go first?" and "what is kept free for it?", with the numbers of both sides. */
import type { Reason, Seen } from "./contract.ts";
import type { AgentFloor, Core } from "./core.ts";
import type { TaskClass } from "./floor/classes.ts";
import { serves, suits } from "./floor/fit.ts";
import type { ProjectFloor } from "./floor/projects.ts";
import { competition } from "./floor/share.ts";

interface Standing {
  project: string;
  weight: number;
  /** Parts of one: its weight, what it used over the half-life and in the last minutes. */
  share: number;
  used: number;
  used_recently: number;
}

/** A project that is not named. */
export const OTHER = "another project";

export function seesProject({ projects }: Seen, { config }: ProjectFloor): boolean {
  return projects === null || projects.has(String(config.project));
}

/** How a sentence begins that is about an agent, and its number, when both may be known. */
export function namedAgent(floor: AgentFloor, { agents }: Seen): { name: string; data: Record<string, unknown> } {
  if (agents !== null && !agents.has(String(floor.agent))) return { name: "An agent", data: {} };
  return { name: floor.name, data: { agent: floor.agent } };
}

/** Of a class that only lacks room: an agent that is kept free for it, or a project that goes before its own. */
export function shareReasons(core: Core, taskClass: TaskClass, seen: Seen): Reason[] {
  const { reserved } = core;
  if (reserved?.class === taskClass) {
    const { name, data } = namedAgent(reserved.floor, seen);
    const message = `${name} takes nothing else until it has room for it: smaller tasks took all that came.`;
    return [{ code: "room_kept", message, data }];
  }
  const rival = firstBefore(core, taskClass);
  if (!rival) return [];
  const sums = competition(core);
  const own = standing(taskClass.project, sums);
  // What a project that he does not see weighs and used is not his business.
  const first = seesProject(seen, rival.project) ? standing(rival.project, sums) : null;
  const hours = Math.max(1, Math.round(core.projects.halfLifeMs / 3_600_000));
  const message =
    `Project ${own.project} used ${percent(own.used)} of the last ${hours} h ` +
    `(${percent(own.used_recently)} of the last minutes) and its share is ${percent(own.share)}: ` +
    `${first ? `project ${first.project}` : OTHER} goes first.`;
  return [{ code: "fair_share", message, data: first ? { ...own, first } : { ...own } }];
}

/** The class of another project that an agent which could run this one would take before it. */
function firstBefore(core: Core, taskClass: TaskClass): TaskClass | undefined {
  let first: TaskClass | undefined;
  for (const shape of core.classes.ready) {
    const top = shape.classes.top();
    if (!top || top.project === taskClass.project || top.project.key >= taskClass.project.key) continue;
    if (first && first.project.key <= top.project.key) continue;
    if (competesFor(core, top, taskClass)) first = top;
  }
  return first;
}

function competesFor(core: Core, top: TaskClass, taskClass: TaskClass): boolean {
  for (const floor of core.peers.values()) {
    if (!serves(floor, top) || !serves(floor, taskClass)) continue;
    if (suits(floor, top.shape) && suits(floor, taskClass.shape)) return true;
  }
  return false;
}

function standing({ config, usage, recent }: ProjectFloor, sums: ReturnType<typeof competition>): Standing {
  const part = (value: number, of: number): number => (of > 0 ? Math.round((value / of) * 1000) / 1000 : 0);
  return {
    project: config.name,
    weight: config.weight,
    share: part(config.weight, sums.weight),
    used: part(usage, sums.usage),
    used_recently: part(recent, sums.recent),
  };
}

function percent(part: number): string {
  return `${Math.round(part * 100)} %`;
}
