/**
 * Projects that compete for agents, in simulated time: every lease runs for as long as its project says and is reported.
 * Looks at the core after every event, so that what must hold always is judged always.
 */
import assert from "node:assert/strict";
import type { ExperimentId } from "../../../shared/model/ids.ts";
import { experiment } from "./definitions.ts";
import { capacity, report, Stage } from "./stage.ts";

export interface Demand {
  weight: number;
  cpus: number;
  /** Seconds that the next of its tasks runs. */
  runS: () => number;
  tasks?: number;
}

interface Running {
  atMs: number;
  peer: number;
  project: number;
  experiment: ExperimentId;
  index: number;
  attempt: number;
  cpuSeconds: number;
  told: boolean;
}

export class Market {
  readonly stage = new Stage();
  /** Cpu-seconds of what has ended, by project. */
  readonly used = new Map<number, number>();
  readonly leased = new Map<number, number>();
  private readonly of = new Map<ExperimentId, { project: number; demand: Demand }>();
  private readonly configured = new Set<number>();
  private running: Running[] = [];
  private readonly judge: (stage: Stage) => void;

  constructor(judge: (stage: Stage) => void = () => {}) {
    this.judge = judge;
  }

  agent(number: number, cpus: number, ahead = 0): void {
    this.stage.hello(number, number, { capacity: capacity({ cpus }) });
    this.stage.free(number, ahead);
    this.settle();
  }

  configure(project: number, part: Parameters<Stage["configure"]>[1]): void {
    this.stage.configure(project, part);
    this.configured.add(project);
  }

  join(project: number, demand: Demand): ExperimentId {
    if (!this.configured.has(project)) this.configure(project, { weight: demand.weight });
    this.used.set(project, this.used.get(project) ?? 0);
    this.leased.set(project, this.leased.get(project) ?? 0);
    const { cpus, tasks = 100_000 } = demand;
    const id = (this.stage.core.experimentLast + 1) as ExperimentId;
    this.of.set(id, { project, demand });
    this.stage.step({
      type: "submit",
      request: 0,
      submit: {
        project: project as never,
        actor: 1 as never,
        definition: experiment([{ count: tasks, requires: { cpus } }]),
        specText: "",
        idempotency: null,
      },
    });
    this.settle();
    return id;
  }

  /** Lets the time pass; everything that ends by then is reported. */
  pass(seconds: number): void {
    const { stage } = this;
    const until = stage.mono + seconds * 1000;
    for (;;) {
      this.running.sort((a, b) => a.atMs - b.atMs);
      const next = this.running[0];
      const tickAt = stage.mono + 1_000;
      const at = Math.min(until, tickAt, next?.atMs ?? until);
      stage.mono = at;
      if (next && next.atMs <= at) {
        this.running.shift();
        this.end(next);
      } else {
        for (const peer of new Set(this.running.map((task) => task.peer))) stage.renew(peer);
        for (const floor of stage.core.agents.values()) if (floor.peer !== null) stage.renew(floor.peer);
        stage.tick();
        this.tellStarted();
      }
      this.settle();
      if (stage.mono >= until && (this.running[0]?.atMs ?? Number.POSITIVE_INFINITY) > until) return;
    }
  }

  private end(task: Running): void {
    this.used.set(task.project, (this.used.get(task.project) ?? 0) + task.cpuSeconds);
    const group = report(task.experiment, [[task.index, task.attempt]]);
    const { cpus } = this.of.get(task.experiment)?.demand ?? assert.fail();
    const endedAtMs = this.stage.now().wall;
    this.stage.ended(task.peer, {
      ...group,
      startedAtMs: [endedAtMs - (task.cpuSeconds / cpus) * 1000],
      endedAtMs: [endedAtMs],
    });
  }

  /** What runs for longer than a second is known to run. */
  private tellStarted(): void {
    for (const task of this.running) {
      if (task.told) continue;
      task.told = true;
      const group = {
        experiment: task.experiment,
        template: 0,
        indexes: [task.index],
        attempts: [task.attempt],
        startedAtMs: [this.stage.now().wall],
      };
      this.stage.step({ type: "message", peer: task.peer, message: { type: "started", groups: [group] } });
    }
  }

  private settle(): void {
    const { stage } = this;
    this.judge(stage);
    while (stage.batch !== null) {
      stage.commit();
      this.judge(stage);
    }
    for (const { peer, message } of stage.sent()) {
      if (message.type !== "leases") continue;
      for (const group of message.groups) this.take(peer, group);
    }
  }

  private take(peer: number, group: { experiment: ExperimentId; indexes: number[]; attempts: number[] }): void {
    const { project, demand } = this.of.get(group.experiment) ?? assert.fail();
    group.indexes.forEach((index, i) => {
      const runS = demand.runS();
      this.leased.set(project, (this.leased.get(project) ?? 0) + 1);
      this.running.push({
        atMs: this.stage.mono + runS * 1000,
        peer,
        project,
        experiment: group.experiment,
        index,
        attempt: group.attempts[i] as number,
        cpuSeconds: runS * demand.cpus,
        told: false,
      });
    });
  }

  /** The part of the cpu-seconds that a project used. */
  shareOf(project: number): number {
    let all = 0;
    for (const used of this.used.values()) all += used;
    return (this.used.get(project) ?? 0) / all;
  }
}
