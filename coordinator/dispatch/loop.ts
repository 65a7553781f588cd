/**
 * Figures of the dispatching loop itself: how much gathers into an append, how long the journal takes, how long leases
 * and acknowledgements wait for it, how far checkpoints are behind. Kept over reigns; a few additions per append.
 */
import type { Capacity } from "../../shared/model/requirement.ts";
import { TaskState } from "../../shared/model/states.ts";
import type { Core } from "./core.ts";
import type { Cut } from "./floor/gather.ts";

/** Counts by upper bound; the last place counts what is above all of them. */
export class Histogram {
  readonly bounds: readonly number[];
  /** Not cumulative. */
  readonly counts: Float64Array;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  /** `weight` observations of the same value. */
  observe(value: number, weight = 1): void {
    let place = 0;
    while (place < this.bounds.length && value > (this.bounds[place] as number)) place++;
    this.counts[place] = (this.counts[place] as number) + weight;
    this.sum += value * weight;
  }
}

/** From a commit without fsync to the leadership lease, after which an append is given up. */
const COMMIT_SECONDS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
/** Up to the bound of a cut. */
const FLUSH_TASKS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000];
const CHECKPOINT_SECONDS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

export interface LoopFigures {
  /** Leases and ends of one append; 0 for one that only submits or decides. */
  readonly flushTasks: Histogram;
  /** Append sent until its COMMIT was answered. */
  readonly flushSeconds: Histogram;
  /** Task chosen for an agent until the lease was sent, for each lease; the oldest of an append stands for all of it. */
  readonly leaseSeconds: Histogram;
  /** Report read until it was acknowledged, for each end; the oldest of an append stands for all of it. */
  readonly acknowledgementSeconds: Histogram;
  /** Checkpoint encoded until it was durable. */
  readonly checkpointSeconds: Histogram;
}

export function createLoopFigures(): LoopFigures {
  return {
    flushTasks: new Histogram(FLUSH_TASKS),
    flushSeconds: new Histogram(COMMIT_SECONDS),
    leaseSeconds: new Histogram(COMMIT_SECONDS),
    acknowledgementSeconds: new Histogram(COMMIT_SECONDS),
    checkpointSeconds: new Histogram(CHECKPOINT_SECONDS),
  };
}

/** One append was answered. */
export function observeFlush(figures: LoopFigures, cut: Cut, appendedMono: number, nowMono: number): void {
  let leases = 0;
  for (const { indexes } of cut.leases) leases += indexes.length;
  const waitedSeconds = (nowMono - cut.openedMono) / 1_000;
  figures.flushTasks.observe(leases + cut.ended.length);
  figures.flushSeconds.observe((nowMono - appendedMono) / 1_000);
  if (leases > 0) figures.leaseSeconds.observe(waitedSeconds, leases);
  if (cut.ended.length > 0) figures.acknowledgementSeconds.observe(waitedSeconds, cut.ended.length);
}

/** QUEUED tasks of one class: equal requirements, one project. */
export interface QueueDepth {
  project: number;
  requirement: Capacity;
  tasks: number;
  /** Running estimate of the median run time, 0 when nothing of it has ended. */
  medianMs: number;
}

/** Deepest first, empty ones left out. Walks the templates in memory: for a scrape, not for the hot path. */
export function queueDepths(core: Core): QueueDepth[] {
  const depths = new Map<unknown, QueueDepth>();
  for (const experiment of core.ledger.experiments.values()) {
    for (const template of experiment.templates) {
      const tasks = template.counts[TaskState.QUEUED] as number;
      if (tasks === 0) continue;
      const taskClass = core.classes.queueOf(template).class;
      const depth = depths.get(taskClass);
      if (depth) depth.tasks += tasks;
      else {
        const { requirement, medianMs } = taskClass;
        depths.set(taskClass, { project: experiment.project, requirement, tasks, medianMs });
      }
    }
  }
  return [...depths.values()].sort((a, b) => b.tasks - a.tasks);
}

/** Age of the oldest decision that is not durable yet, ms; 0 when everything is. */
export function journalLagMs(core: Core, nowMono: number): number {
  const oldest = core.inflight ?? core.gathered[0];
  return oldest ? Math.max(0, nowMono - oldest.openedMono) : 0;
}
