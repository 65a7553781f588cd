/**
 * The supervisor and the runners of one host: they outlive the agent's process. Each lane runs one task at a time and the
 * next one behind it by itself; what ended is kept on record until the agent forgets it.
 */
import type { AdoptedAttempt } from "../../../agent/lease/contract.ts";
import type { AttemptEnd } from "../../../agent/report/end.ts";
import type { RunnableAttempt } from "../../../agent/run/attempt.ts";
import { Blame, Outcome } from "../../../shared/model/attempt.ts";
import type { Requirement } from "../../../shared/model/requirement.ts";
import type { World } from "../engine/world.ts";

const DURATION_MS_MIN = 5;

interface Run {
  readonly adopted: AdoptedAttempt;
  state: "queued" | "running" | "exited";
  killed: boolean;
  end: AttemptEnd | null;
}

/** What the runners tell the agent, if one lives. */
export interface RunnerListener {
  started(key: string, startedAtMs: number): void;
  exited(end: AttemptEnd): void;
  recalled(key: string): void;
}

/** How the tasks of one simulation behave. */
export interface TaskManner {
  durationMsMax: number;
  failing: number;
  diskFailing: number;
}

export class Runners {
  timeline = 0;
  listener: RunnerListener | null = null;
  /** Told of every start by itself, whether or not an agent lives. */
  onStart: (key: string, byItself: boolean) => void = () => {};
  /** Attempts of which the coordinator has said the last word: acknowledged, refused, superseded. */
  readonly settled = new Set<string>();
  /** In which history each attempt was leased. */
  readonly leasedIn = new Map<string, number>();
  private readonly runs = new Map<string, Run>();
  private readonly lanes: string[][] = [];
  private readonly world: World;
  private readonly manner: TaskManner;
  private readonly wall: () => number;
  /** How much longer the host sleeps, and its tasks with it. */
  private readonly asleepMs: () => number;

  constructor(world: World, manner: TaskManner, { wall, asleepMs }: { wall: () => number; asleepMs: () => number }) {
    this.world = world;
    this.manner = manner;
    this.wall = wall;
    this.asleepMs = asleepMs;
  }

  run(lease: RunnableAttempt, need: Requirement): void {
    const { key, lane, devices } = lease;
    const adopted = { key, need, lane, devices: [...devices], startedAtMs: 0 };
    this.runs.set(key, { adopted, state: "queued", killed: false, end: null });
    this.lanes[lane] ??= [];
    (this.lanes[lane] as string[]).push(key);
    this.advance(lane, false);
  }

  private advance(lane: number, byItself: boolean): void {
    const key = this.lanes[lane]?.[0];
    const run = key === undefined ? undefined : this.runs.get(key);
    if (run?.state !== "queued") return;
    run.state = "running";
    run.adopted.startedAtMs = this.wall();
    this.onStart(run.adopted.key, byItself);
    this.listener?.started(run.adopted.key, run.adopted.startedAtMs);
    const exit = (): void => {
      const asleepMs = this.asleepMs();
      if (asleepMs > 0) this.world.after(asleepMs + this.world.random.between(0, this.manner.durationMsMax), exit);
      else this.exit(run);
    };
    this.world.after(this.world.random.between(DURATION_MS_MIN, this.manner.durationMsMax), exit);
  }

  private exit(run: Run): void {
    const { key, lane, startedAtMs } = run.adopted;
    if (run.state !== "running" || this.runs.get(key) !== run) return;
    run.state = "exited";
    const end: AttemptEnd = {
      key,
      outcome: Outcome.COMPLETED,
      blame: Blame.NONE,
      exitCode: 0,
      signal: 0,
      startedAtMs,
      endedAtMs: this.wall(),
      cpuMs: 1,
      memoryMaxBytes: 1,
    };
    const { random } = this.world;
    if (run.killed) Object.assign(end, { outcome: Outcome.FAILED, blame: Blame.SIGNAL, exitCode: -1, signal: 15 });
    else if (random.chance(this.manner.failing)) {
      Object.assign(end, { outcome: Outcome.FAILED, blame: Blame.EXIT, exitCode: 1 });
    } else if (random.chance(this.manner.diskFailing)) {
      Object.assign(end, { outcome: Outcome.FAILED, blame: Blame.DISK, exitCode: -1 });
    }
    run.end = end;
    this.leave(lane, key);
    this.listener?.exited(end);
    this.advance(lane, true);
  }

  private leave(lane: number, key: string): void {
    this.lanes[lane] = (this.lanes[lane] ?? []).filter((other) => other !== key);
  }

  /** Takes it back when it has not started. */
  recall(key: string): boolean {
    const run = this.runs.get(key);
    if (run?.state !== "queued") return false;
    this.runs.delete(key);
    this.leave(run.adopted.lane, key);
    this.listener?.recalled(key);
    return true;
  }

  kill(key: string, graceMs: number): void {
    const run = this.runs.get(key);
    if (!run || this.recall(key) || run.state !== "running") return;
    run.killed = true;
    this.world.after(this.world.random.between(1, Math.min(graceMs, 300)), () => this.exit(run));
  }

  forget(key: string): void {
    if (this.hasRun(key)) this.runs.delete(key);
  }

  /** Its process is over and its record is here. */
  hasRun(key: string): boolean {
    return this.runs.get(key)?.state === "exited";
  }

  /** What a new process of the agent finds. */
  found(): { running: AdoptedAttempt[]; ended: AttemptEnd[] } {
    const runs = [...this.runs.values()];
    return {
      running: runs.filter(({ state }) => state !== "exited").map(({ adopted }) => ({ ...adopted })),
      ended: runs.flatMap(({ end }) => (end ? [end] : [])),
    };
  }

  /** Cpus of what runs now. */
  cpusUsed(): number {
    let cpus = 0;
    for (const { state, adopted } of this.runs.values()) if (state === "running") cpus += adopted.need.cpus;
    return cpus;
  }

  get isEmpty(): boolean {
    return this.runs.size === 0;
  }
}
