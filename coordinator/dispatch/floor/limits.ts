/**
 * Limits of projects, where they hold: at the lease. What is allowed is counted before anything is decided, with all that
 * is decided and not durable yet, so that no number of agents that ask at once goes above it.
 */
import type { Requirement } from "../../../shared/model/requirement.ts";
import type { Reason } from "../contract.ts";
import type { TaskClass } from "./classes.ts";
import type { ProjectFloor } from "./projects.ts";

/** Sums of fractions of a cpu may be off by this much. */
const ROUNDING = 1e-9;

/** How many more tasks of a class its project may have with agents now. */
export function allowance({ project, requirement, expectedS }: TaskClass): number {
  const { runningTasks, cpus, cpuHours } = project.config.limits;
  let allowed = Number.POSITIVE_INFINITY;
  if (runningTasks !== null) allowed = runningTasks - project.held;
  if (requirement.cpus > 0) {
    if (cpus !== null) allowed = Math.min(allowed, Math.floor((cpus - project.cpus + ROUNDING) / requirement.cpus));
    if (cpuHours !== null) {
      // What is with agents counts as expected: a thousand short tasks leased at once would not be seen otherwise.
      const left = cpuHours * 3600 - project.periodUsed - project.expected;
      allowed = Math.min(allowed, Math.ceil(left / (requirement.cpus * expectedS)));
    }
  }
  return Math.max(0, allowed);
}

/** What keeps tasks of this requirement back, with both sides; empty when no limit does. */
export function limitReasons(project: ProjectFloor, requirement: Requirement): Reason[] {
  const { name, limits } = project.config;
  const { runningTasks, cpus, cpuHours } = limits;
  const reasons: Reason[] = [];
  const data = { project: name };
  if (runningTasks !== null && project.held >= runningTasks) {
    const message = `Project ${name} has ${project.held} of ${runningTasks} running tasks.`;
    reasons.push({
      code: "project_limit_running",
      message,
      data: { ...data, running: project.held, limit: runningTasks },
    });
  }
  if (cpus !== null && project.cpus + requirement.cpus > cpus + ROUNDING) {
    const message = `Project ${name} has ${rounded(project.cpus)} of ${cpus} cpus, and the task needs ${requirement.cpus}.`;
    const numbers = { cpus: rounded(project.cpus), limit: cpus, needed: requirement.cpus };
    reasons.push({ code: "project_limit_cpus", message, data: { ...data, ...numbers } });
  }
  if (cpuHours !== null && requirement.cpus > 0 && project.periodUsed + project.expected >= cpuHours * 3600) {
    const used = rounded(project.periodUsed / 3600);
    const ends = new Date(project.periodMs + limits.periodMs).toISOString();
    const message = `Project ${name} has used ${used} of ${cpuHours} cpu-hours; the next period begins at ${ends}.`;
    const numbers = { cpu_hours: used, limit: cpuHours, period_ends_at: ends };
    reasons.push({ code: "project_limit_cpu_hours", message, data: { ...data, ...numbers } });
  }
  return reasons;
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}
