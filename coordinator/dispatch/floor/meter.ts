/**
 * What a project has with agents and what it uses. A task that is known to run is counted second by second; when it ends
 * its report settles the difference, so that in the end every attempt counts for what it ran. A task that is held and has
 * not started counts for what it is expected to run, a minute at most, only for as long as it is held.
 */
import type { Core, Held } from "../core.ts";
import type { ProjectFloor } from "./projects.ts";

/** Counts a task that goes to an agent. */
export function countHeld(core: Core, held: Held): void {
  const { project, requirement, expectedS } = held.class;
  held.expected = requirement.cpus * expectedS;
  project.held++;
  project.cpus += requirement.cpus;
  project.expected += held.expected;
  core.projects.touch(project);
}

/** Counts one that left it. */
export function countLeft(core: Core, held: Held): void {
  const { project, requirement } = held.class;
  stopMeter(core, held);
  project.held--;
  project.cpus -= requirement.cpus;
  project.expected -= held.expected;
  // Sums of fractions drift: with nothing held they are nothing.
  if (project.held === 0) project.cpus = project.expected = project.runningCpus = 0;
  project.freed = true;
  core.projects.touch(project);
}

/** From now on it runs. What it ran under a former reign after that one's last checkpoint is added. */
export function startMeter(core: Core, held: Held): void {
  if (held.ending || held.meteredMono !== null) return;
  const { project, requirement } = held.class;
  const { mono, wall } = core.now;
  integrate(project, mono);
  const since = held.template.leases.get(held.index)?.sinceMs ?? wall;
  const { beganMs, countedFromMs } = core.projects;
  const before = since < beganMs && !held.ghost ? Math.max(0, wall - Math.max(since, countedFromMs)) : 0;
  held.meteredMono = mono - before;
  project.runningCpus += requirement.cpus;
  if (before > 0) use(core, project, (requirement.cpus * before) / 1000);
}

export function stopMeter(core: Core, held: Held): void {
  if (held.meteredMono === null) return;
  const { project, requirement } = held.class;
  integrate(project, core.now.mono);
  project.runningCpus = Math.max(0, project.runningCpus - requirement.cpus);
  held.meteredMono = null;
}

/** Its agent says how long it ran, in wall-clock ms of that agent; 0: it never started. */
export function settleUsage(core: Core, held: Held, startedAtMs: number, endedAtMs: number): void {
  const { project, requirement } = held.class;
  const { mono, wall } = core.now;
  const metered = held.meteredMono === null ? 0 : mono - held.meteredMono;
  stopMeter(core, held);
  // What was taken for lost counts from when its agent came back: nobody knows what it used before.
  if (held.ghost) return;
  const ran = ranMs(startedAtMs, endedAtMs, core.projects.countedFromMs);
  // No attempt ran for longer than it was leased, whatever a clock says.
  const leased = ran > 1_000 ? wall - (held.template.leases.get(held.index)?.sinceMs ?? 0) : ran;
  use(core, project, (requirement.cpus * (Math.max(0, Math.min(ran, leased)) - metered)) / 1000);
}

/** The part of a run that is not in the usage of the checkpoint yet. */
export function ranMs(startedAtMs: number, endedAtMs: number, countedFromMs: number): number {
  return startedAtMs > 0 ? Math.max(0, endedAtMs - Math.max(startedAtMs, countedFromMs)) : 0;
}

function use(core: Core, project: ProjectFloor, cpuSeconds: number): void {
  if (cpuSeconds === 0) return;
  add(project, cpuSeconds);
  core.projects.touch(project);
}

/** Counts what runs up to now. */
export function integrate(project: ProjectFloor, mono: number): void {
  if (project.runningCpus > 0) add(project, (project.runningCpus * (mono - project.countedMono)) / 1000);
  project.countedMono = mono;
}

function add(project: ProjectFloor, cpuSeconds: number): void {
  project.usage = Math.max(0, project.usage + cpuSeconds);
  project.recent = Math.max(0, project.recent + cpuSeconds);
  project.periodUsed = Math.max(0, project.periodUsed + cpuSeconds);
}
