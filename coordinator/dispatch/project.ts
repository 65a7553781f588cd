/**
 * What is configured for a project and what it used, as the database keeps both and the core is told: the weight of its
 * share, its limits, its usage. Decisions rest on them, the journal does not: replay never needs a project.
 */
import type { ProjectId } from "../../shared/model/ids.ts";

/** null: no limit. Lowering one ends nothing that runs. */
export interface ProjectLimits {
  /** Tasks with agents at once, those held ahead among them. */
  runningTasks: number | null;
  /** Cpus of those tasks together. */
  cpus: number | null;
  /** Cpu-hours per period. */
  cpuHours: number | null;
  /** Length of a period. */
  periodMs: number;
  /** Wall-clock ms at which a period began; all others follow from it. */
  periodFromMs: number;
}

export interface ProjectConfig {
  project: ProjectId;
  name: string;
  /** Above 0; shares are proportional to it. */
  weight: number;
  limits: ProjectLimits;
  /** Grows with each change: what is told late does not undo what is newer. */
  version: number;
}

/** What a project used, as a checkpoint keeps it: ends in later batches and what still runs are not in it. */
export interface ProjectUsage {
  project: ProjectId;
  /** Wall-clock ms up to which the decay has been applied. */
  atMs: number;
  /** Cpu-seconds that decay with the half-life of fair share, and those that decay with the short one. */
  usage: number;
  recent: number;
  /** Wall-clock ms at which the counted period began, and cpu-seconds used in it. */
  periodMs: number;
  periodUsed: number;
}

const NO_LIMITS: ProjectLimits = {
  runningTasks: null,
  cpus: null,
  cpuHours: null,
  periodMs: 30 * 86_400_000,
  periodFromMs: 0,
};

/** A project of which nothing was told yet. */
export function unknownProject(project: ProjectId): ProjectConfig {
  return { project, name: `project ${project}`, weight: 1, limits: NO_LIMITS, version: -1 };
}

/** When the period that contains `wallMs` began. */
export function periodStart({ periodMs, periodFromMs }: ProjectLimits, wallMs: number): number {
  return periodFromMs + Math.floor((wallMs - periodFromMs) / periodMs) * periodMs;
}

/** A project as it stands now. */
export interface ProjectView {
  config: ProjectConfig;
  /** Tasks that could be leased now or soon, and tasks with agents. */
  queued: number;
  running: number;
  cpus: number;
  /** Its weight over the weights of all projects that have work now; 0 when it has none. */
  share: number;
  /** Its part of what the projects that have work used, long and short memory; 0 when nothing was used. */
  used: number;
  usedRecently: number;
  /** Cpu-hours, decayed with the half-life. */
  usageCpuHours: number;
  periodCpuHours: number;
  /** When the period of its cpu-hours ends. */
  periodEndsMs: number;
}
