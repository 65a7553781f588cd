/**
 * Projects on the floor: what each has with agents, what it used, and where it stands among the others. Nothing here is in
 * the journal: usage comes back from the checkpoint and the batches after it.
 */
import type { ProjectId } from "../../../shared/model/ids.ts";
import { type ProjectConfig, periodStart, unknownProject } from "../project.ts";
import type { TaskClass } from "./classes.ts";

export interface ProjectFloor {
  readonly project: ProjectId;
  config: ProjectConfig;
  /** Classes with work that may be leased. */
  readonly ready: Set<TaskClass>;
  /** Classes with work that a limit keeps back. */
  readonly blocked: Set<TaskClass>;
  /** Tasks with agents, their cpus, and the cpu-seconds that they are expected to use. */
  held: number;
  cpus: number;
  expected: number;
  /** Cpus of tasks that run and are counted second by second, up to `countedMono`. */
  runningCpus: number;
  countedMono: number;
  /** Cpu-seconds: decayed with the half-life of fair share, and with the short one. */
  usage: number;
  recent: number;
  /** Wall-clock ms at which the counted period began, and cpu-seconds since then. */
  periodMs: number;
  periodUsed: number;
  /** What its usage makes of its weight, ½ to 2. */
  factor: number;
  /** Its place: the smallest goes first. */
  key: number;
  /** The key, or what a limit leaves, must be looked at again. */
  moved: boolean;
  freed: boolean;
}

export class Projects {
  private readonly known = new Map<ProjectId, ProjectFloor>();
  /** Those whose `moved` is set. */
  readonly moved: ProjectFloor[] = [];
  /** Projects with classes that may be leased. */
  competing = 0;
  refreshedMono = Number.NEGATIVE_INFINITY;
  /** Wall-clock ms: what ran before is in the usage that was restored. */
  countedFromMs = Number.NEGATIVE_INFINITY;
  /** Wall-clock ms at which this reign began. */
  beganMs = 0;
  /** Of the long memory. */
  readonly halfLifeMs: number;

  constructor(halfLifeMs: number) {
    this.halfLifeMs = halfLifeMs;
  }

  get(project: ProjectId): ProjectFloor {
    let floor = this.known.get(project);
    if (!floor) {
      floor = {
        project,
        config: unknownProject(project),
        ready: new Set(),
        blocked: new Set(),
        held: 0,
        cpus: 0,
        expected: 0,
        runningCpus: 0,
        countedMono: 0,
        usage: 0,
        recent: 0,
        periodMs: Number.NEGATIVE_INFINITY,
        periodUsed: 0,
        factor: 1,
        key: 0,
        moved: false,
        freed: false,
      };
      this.known.set(project, floor);
    }
    return floor;
  }

  all(): IterableIterator<ProjectFloor> {
    return this.known.values();
  }

  /** Takes a configuration, unless a newer one is known. */
  configure(config: ProjectConfig, wallMs: number): void {
    const floor = this.get(config.project);
    if (config.version < floor.config.version) return;
    const { periodMs, periodFromMs } = config.limits;
    const before = floor.config.limits;
    floor.config = config;
    if (before.periodMs !== periodMs || before.periodFromMs !== periodFromMs) {
      // Another period begins anew: what was used in the old one says nothing about it.
      floor.periodMs = periodStart(config.limits, wallMs);
      floor.periodUsed = 0;
    }
    floor.freed = true;
    this.touch(floor);
  }

  /** A new period counts from nothing; a wall clock that goes back does not give one back. */
  beginPeriod(floor: ProjectFloor, wallMs: number): void {
    const start = periodStart(floor.config.limits, wallMs);
    if (start <= floor.periodMs) return;
    floor.periodMs = start;
    floor.periodUsed = 0;
  }

  touch(floor: ProjectFloor): void {
    if (floor.moved) return;
    floor.moved = true;
    this.moved.push(floor);
  }
}
