/**
 * Usage of projects over the end of a reign. A checkpoint keeps it as of its seq; what ended in the batches after it is
 * added from those, and what still runs is counted from the checkpoint on when its agent is heard of.
 */
import type { Batch } from "../batch.ts";
import type { Core } from "../core.ts";
import type { Now } from "../ports.ts";
import type { ProjectConfig, ProjectUsage } from "../project.ts";
import { integrate, ranMs } from "./meter.ts";
import type { ProjectFloor } from "./projects.ts";
import { decayed } from "./share.ts";

/** What a new reign knows of projects. */
export interface RestoredProjects {
  configs: ProjectConfig[];
  usage: ProjectUsage[];
  /** Batches that the ledger was folded from, after the checkpoint. */
  batches: Batch[];
}

/** Configurations and usage for a new core; before anything is placed. */
export function restoreProjects(core: Core, restored: RestoredProjects | undefined, now: Now): void {
  const { projects } = core;
  projects.beganMs = now.wall;
  if (restored === undefined) return;
  for (const known of restored.configs) projects.configure(known, now.wall);
  for (const used of restored.usage) {
    const floor = projects.get(used.project);
    const age = now.wall - used.atMs;
    floor.usage = decayed(used.usage, age, projects.halfLifeMs).usage;
    floor.recent = decayed(used.recent, age, projects.halfLifeMs).recent;
    floor.periodMs = used.periodMs;
    floor.periodUsed = used.periodUsed;
    projects.countedFromMs = Math.max(projects.countedFromMs, used.atMs);
  }
  for (const batch of restored.batches) countEnds(core, batch, now);
}

function countEnds(core: Core, batch: Batch, now: Now): void {
  for (const { experiment, template, startedAtMs, endedAtMs } of batch.ends) {
    const known = core.ledger.experiments.get(experiment);
    const cpus = known?.templates[template]?.definition.requires.cpus;
    if (!known || cpus === undefined) continue;
    const floor = core.projects.get(known.project);
    core.projects.beginPeriod(floor, now.wall);
    for (let i = 0; i < endedAtMs.length; i++) {
      const endedMs = Math.min(endedAtMs[i] as number, batch.atMs);
      const ran = ranMs(startedAtMs[i] as number, endedMs, core.projects.countedFromMs);
      if (ran > 0) addRestored(core, floor, (cpus * ran) / 1000, endedMs, now);
    }
  }
}

function addRestored(core: Core, floor: ProjectFloor, cpuSeconds: number, endedMs: number, now: Now): void {
  const { usage, recent } = decayed(cpuSeconds, now.wall - endedMs, core.projects.halfLifeMs);
  floor.usage += usage;
  floor.recent += recent;
  if (endedMs >= floor.periodMs) floor.periodUsed += cpuSeconds;
}

/** For a checkpoint: the usage of every project that has any. */
export function usageOf(core: Core, now: Now): ProjectUsage[] {
  const rows: ProjectUsage[] = [];
  for (const floor of core.projects.all()) {
    integrate(floor, now.mono);
    const { project, usage, recent, periodMs, periodUsed } = floor;
    if (usage === 0 && periodUsed === 0) continue;
    if (!Number.isFinite(periodMs)) continue;
    rows.push({ project, atMs: now.wall, usage, recent, periodMs, periodUsed });
  }
  return rows;
}
