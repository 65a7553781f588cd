/**
 * Fair share: which project goes first. Usage is cpus × seconds and decays twice over: over minutes it orders the projects,
 * over the half-life it bends their weights, between half and double. So who comes back after a pause is favoured, but
 * never for longer than the short memory, and nobody is starved: who gets nothing sinks to the front.
 */
import type { Core } from "../core.ts";
import type { Now } from "../ports.ts";
import type { TaskClass, TemplateQueue } from "./classes.ts";
import { integrate } from "./meter.ts";
import type { ProjectFloor } from "./projects.ts";

/** Half-life of the short memory: what others used in the last minutes is all the head start that anyone can have. */
const RECENT_HALF_LIFE_MS = 10 * 60_000;
/** How far usage bends a weight: two projects of equal weight stand at most at 2 : ½, four fifths to one. */
const FACTOR_MAX = 2;
/** Cpu-seconds per weight below which usage bends nothing: shares of almost nothing are noise. */
const USAGE_NOISE = 10;
/** Decay and weights are brought up to date once a second; keys change at once. */
const REFRESH_MS = 1_000;
/** A turn goes on for so many cpu-seconds beyond the next project's place: short tasks go out by the hundred, not singly. */
const TURN_SLACK = 0.1;

/** The place of a project: what it used lately and is about to use, over its weight. */
function keyOf(project: ProjectFloor): number {
  return (project.recent + project.expected) / (project.config.weight * project.factor);
}

/** The order of classes with equal requirements. */
export function projectFirst(a: TaskClass, b: TaskClass): boolean {
  const left = a.project;
  const right = b.project;
  return left.key !== right.key ? left.key < right.key : left.project < right.project;
}

/** The order of ready classes of any kind: between projects by their places, within one by priority and age. */
export function comesFirst(a: TaskClass, b: TaskClass): boolean {
  if (a.project !== b.project) return projectFirst(a, b);
  const left = (a.heap.top() as TemplateQueue).template.experiment;
  const right = (b.heap.top() as TemplateQueue).template.experiment;
  return left.priority !== right.priority ? left.priority > right.priority : left.id < right.id;
}

/** How many tasks of a class one turn takes before the project whose key is `rival` would come first. */
export function turnOf({ project, requirement, expectedS }: TaskClass, rival: number): number {
  const ahead = (rival - project.key) * project.config.weight * project.factor + TURN_SLACK;
  return Math.max(1, Math.floor(ahead / (requirement.cpus * expectedS)));
}

/** Puts the projects whose key changed where they belong, and lets those try again that a limit kept back. */
export function settleShares(core: Core): void {
  const { moved } = core.projects;
  if (moved.length === 0) return;
  for (const project of moved) {
    project.moved = false;
    project.key = keyOf(project);
    if (project.freed) {
      project.freed = false;
      core.classes.unblock(project);
    }
    for (const ready of project.ready) core.classes.move(ready);
  }
  moved.length = 0;
}

/** Decay, periods and weights, at most once a second. */
export function refreshShares(core: Core, now: Now): void {
  const { projects } = core;
  const elapsed = now.mono - projects.refreshedMono;
  if (elapsed < REFRESH_MS) return;
  const first = projects.refreshedMono === Number.NEGATIVE_INFINITY;
  projects.refreshedMono = now.mono;
  const long = first ? 1 : 2 ** (-elapsed / projects.halfLifeMs);
  const short = first ? 1 : 2 ** (-elapsed / RECENT_HALF_LIFE_MS);
  for (const project of projects.all()) {
    integrate(project, now.mono);
    project.usage *= long;
    project.recent *= short;
    projects.beginPeriod(project, now.wall);
  }
  bendWeights(core);
  for (const project of projects.all()) {
    project.freed = project.blocked.size > 0;
    project.key = keyOf(project);
  }
  core.classes.rebuild();
  for (const project of projects.all()) if (project.freed) projects.touch(project);
}

/** A weight counts by the square of what its project was due over what it used, within the bounds. */
function bendWeights(core: Core): void {
  const { usage, weight } = competition(core);
  const mean = weight > 0 ? usage / weight : 0;
  for (const project of core.projects.all()) {
    const own = project.usage / project.config.weight;
    const factor = ((mean + USAGE_NOISE) / (own + USAGE_NOISE)) ** 2;
    project.factor = hasWork(project) ? Math.min(FACTOR_MAX, Math.max(1 / FACTOR_MAX, factor)) : 1;
  }
}

export function hasWork(project: ProjectFloor): boolean {
  return project.held > 0 || project.ready.size > 0 || project.blocked.size > 0;
}

/** Sums over the projects that have work: a share is a weight over `weight`, a used part a usage over `usage`. */
export function competition(core: Core): { usage: number; recent: number; weight: number } {
  const sum = { usage: 0, recent: 0, weight: 0 };
  for (const project of core.projects.all()) {
    if (!hasWork(project)) continue;
    sum.usage += project.usage;
    sum.recent += project.recent;
    sum.weight += project.config.weight;
  }
  return sum;
}

/** Usage of `cpuSeconds` that ended `agoMs` ago, as it counts now; for what is restored. */
export function decayed(cpuSeconds: number, agoMs: number, halfLifeMs: number): { usage: number; recent: number } {
  const age = Math.max(0, agoMs);
  return {
    usage: cpuSeconds * 2 ** (-age / halfLifeMs),
    recent: cpuSeconds * 2 ** (-age / RECENT_HALF_LIFE_MS),
  };
}
