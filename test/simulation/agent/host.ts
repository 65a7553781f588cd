/**
 * One agent in the simulation: the real agent core in a process that can be killed, stopped and put to sleep with its
 * host, over modelled runners and disk that outlive the process, and a network that may fail it.
 */
import type { AgentEffect, AgentEvent } from "../../../agent/lease/contract.ts";
import { type AgentState, createAgentState, type Lease, LeasePhase } from "../../../agent/lease/state.ts";
import { step } from "../../../agent/lease/step.ts";
import type { AttemptEnd } from "../../../agent/report/end.ts";
import type { Outcome } from "../../../shared/model/attempt.ts";
import { type AgentId, attemptKeyText } from "../../../shared/model/ids.ts";
import type { EndGroup } from "../../../shared/protocol/messages.ts";
import type { Dispatcher } from "../dispatcher/dispatcher.ts";
import { Process } from "../engine/process.ts";
import type { World } from "../engine/world.ts";
import type { Connection, Network } from "../network/connection.ts";
import type { Oracle, Watched } from "../oracle.ts";
import { Runners, type TaskManner } from "./runners.ts";

const PREPARE_MS = [0.5, 4] as const;
const COLLECT_MS = [0.5, 10] as const;
const WRITE_MS = [0, 300] as const;
const POLL_INTERVAL_MS = 5_000;
const GIB = 1024 ** 3;

export interface HostParts {
  world: World;
  oracle: Oracle;
  network: Network;
  dispatchers: readonly Dispatcher[];
  manner: TaskManner;
  preparing: { failing: number };
  cpus: number;
}

export class Host implements Watched {
  readonly name: string;
  readonly process: Process;
  runners: Runners;
  state: AgentState | null = null;
  private readonly parts: HostParts;
  readonly agent: AgentId;
  private connection: Connection | null = null;
  /** Ends that are to be written to the outbox. */
  private readonly unwritten = new Set<string>();
  /** What this host told of each attempt last. */
  private readonly told = new Map<string, Outcome>();
  private turning = false;
  private wakeAtMono = Number.POSITIVE_INFINITY;
  private wakes = 0;

  constructor(parts: HostParts, number: number) {
    this.parts = parts;
    this.agent = number as AgentId;
    this.name = `agent ${number}`;
    this.process = new Process(parts.world, this.name);
    this.runners = this.newRunners();
    this.start();
  }

  private newRunners(): Runners {
    return new Runners(this.parts.world, this.parts.manner, () => this.process.now().wall);
  }

  start(): void {
    if (this.process.alive) return;
    const { world } = this.parts;
    const found = this.runners.found();
    world.trace(this.name, () => `starts with ${found.running.length} running, ${found.ended.length} in its outbox`);
    this.process.start();
    this.turning = false;
    this.wakeAtMono = Number.POSITIVE_INFINITY;
    const { cpus } = this.parts;
    this.state = createAgentState({
      agent: this.agent,
      name: this.name,
      program: "0",
      hostname: this.name,
      root: `root of ${this.name}`,
      capacity: { cpus, memoryBytes: GIB, gpus: 0, vramBytes: 0, diskBytes: GIB, custom: {}, labels: {} },
      lanesMax: cpus,
      gpuDevices: [],
      lastsUntilMs: null,
      pollIntervalMs: POLL_INTERVAL_MS,
      timeline: this.runners.timeline,
      random: () => world.random.next(),
    });
    const deliver = this.process.inlet();
    this.runners.listener = {
      started: (key, startedAtMs) => deliver(() => this.feed({ type: "started", key, startedAtMs })),
      recalled: (key) => deliver(() => this.feed({ type: "recalled", key })),
      exited: (end) =>
        deliver(() => {
          this.feed({ type: "exited", key: end.key });
          this.collect(end);
        }),
    };
    const { running, collecting, ended } = found;
    this.feed({ type: "adopted", running, collecting: collecting.map(({ key }) => key), ended });
    for (const end of collecting) this.collect(end);
  }

  private collect(end: AttemptEnd): void {
    const delayMs = this.parts.world.random.between(...COLLECT_MS);
    // The record on disk stays as it is, whatever the core makes of its copy.
    this.process.timer(delayMs, () => this.feed({ type: "ended", end: { ...end } }));
  }

  /** kill -9 of the agent; its runners go on. */
  kill(): void {
    if (!this.process.alive) return;
    this.parts.world.trace(this.name, () => "is killed");
    this.forgetProcess();
    this.parts.network.processDied(this.process);
  }

  /** The whole host is gone, with its disk and what ran there. */
  lose(): void {
    this.parts.world.trace(this.name, () => "its host is lost");
    this.parts.network.hostDied(this.process);
    this.forgetProcess();
    this.runners = this.newRunners();
  }

  private forgetProcess(): void {
    this.runners.listener = null;
    this.unwritten.clear();
    this.state = null;
    this.connection = null;
    this.process.kill();
  }

  /** SIGSTOP, or with `asleep` the sleep of the whole host, whose monotonic clock stands still. */
  stop(durationMs: number, asleep: boolean): void {
    if (this.process.running) this.process.stop(durationMs, asleep, () => {});
  }

  /** Something from outside of the network reaches the process. */
  receive(event: AgentEvent): void {
    this.process.inlet()(() => this.feed(event));
  }

  private feed(event: AgentEvent): void {
    const { state, process } = this;
    if (!state) return;
    for (const effect of step(state, event, process.now())) {
      if (this.state !== state) return;
      this.perform(effect);
    }
    if (!this.turning && event.type !== "turn") {
      this.turning = true;
      process.timer(0, () => {
        this.turning = false;
        this.feed({ type: "turn", writable: true });
      });
    }
    this.wake(state);
  }

  /** One timer, planned for the earliest wish; a later wish is found when it fires. */
  private wake(state: AgentState): void {
    if (state.wakeAtMono >= this.wakeAtMono || !Number.isFinite(state.wakeAtMono)) return;
    this.wakeAtMono = state.wakeAtMono;
    const number = ++this.wakes;
    // A millisecond late, as timers are, so that it is not woken before the time it asked for.
    this.process.timer(state.wakeAtMono - this.process.now().mono + 1, () => {
      if (this.wakes !== number) return;
      this.wakeAtMono = Number.POSITIVE_INFINITY;
      if (this.process.now().mono >= state.wakeAtMono) this.feed({ type: "tick" });
      else this.wake(state);
    });
  }

  private perform(effect: AgentEffect): void {
    const { world, oracle, preparing, cpus } = this.parts;
    const { random } = world;
    switch (effect.type) {
      case "connect":
        this.process.timer(effect.delayMs, () => this.connect(effect.connection));
        return;
      case "disconnect":
        world.trace(this.name, () => `hangs up: ${effect.reason}`);
        this.connection?.close(this.connection.agent);
        this.connection = null;
        return;
      case "hello":
        this.connection?.toDispatcher({ ...effect.message, proof: "" });
        return;
      case "send":
        if (effect.message.type === "ended") for (const group of effect.message.groups) this.tell(group);
        this.connection?.toDispatcher(effect.message);
        return;
      case "prepare": {
        const { key } = effect.lease;
        const failed = random.chance(preparing.failing);
        this.process.timer(random.between(...PREPARE_MS), () => {
          this.feed(failed ? { type: "prepare_failed", end: this.unprepared(key) } : { type: "prepared", key });
        });
        return;
      }
      case "run": {
        const lease = effect.lease as Lease;
        world.trace(this.name, () => `starts ${lease.key}`);
        oracle.started(this.name, lease);
        this.runners.run(lease, lease.of.need);
        const used = this.runners.cpusUsed();
        if (used > cpus) world.fail("capacity is kept", `${this.name} runs ${used} cpus of ${cpus}`);
        return;
      }
      case "recall":
        this.runners.recall(effect.key);
        return;
      case "kill":
        world.trace(this.name, () => `kills ${effect.key}: ${effect.reason}`);
        this.runners.kill(effect.key, effect.graceMs);
        return;
      case "persist":
        for (const end of effect.ends) this.persist(end);
        return;
      case "forget":
        for (const key of effect.keys) {
          this.unwritten.delete(key);
          this.runners.forget(key);
        }
        return;
      case "publish":
        oracle.acknowledged(effect.attempt, this.told.get(attemptKeyText(effect.attempt)));
        return;
      case "remember":
        this.runners.timeline = effect.timeline;
        return;
      case "note":
        world.trace(this.name, () => `${effect.code}: ${effect.message}`);
        return;
      case "exit":
        world.trace(this.name, () => `leaves: ${effect.reason} ${effect.message}`);
        this.kill();
    }
  }

  /** The outbox writes what is not acknowledged soon; until then the runner's record must do. */
  private persist(end: AttemptEnd): void {
    this.unwritten.add(end.key);
    this.process.timer(this.parts.world.random.between(...WRITE_MS), () => {
      if (this.unwritten.delete(end.key)) this.runners.outbox.set(end.key, end);
    });
  }

  private tell(group: EndGroup): void {
    group.indexes.forEach((index, i) => {
      const key = `${group.experiment}.${group.template}.${index}.${group.attempts[i]}`;
      this.told.set(key, group.outcomes[i] as Outcome);
    });
  }

  private unprepared(key: string): Extract<AgentEvent, { type: "prepare_failed" }>["end"] {
    const endedAtMs = this.process.now().wall;
    return {
      key,
      outcome: 1,
      blame: 14,
      exitCode: -1,
      signal: 0,
      startedAtMs: 0,
      endedAtMs,
      cpuMs: 0,
      memoryMaxBytes: 0,
    };
  }

  /** Through a load balancer that knows who is up, not who leads; mostly it is sent to the one that does. */
  private connect(number: number): void {
    const { world, network, dispatchers } = this.parts;
    const leading = dispatchers.filter(({ reign }) => reign !== null);
    const target =
      leading.length > 0 && world.random.chance(0.8) ? world.random.pick(leading) : world.random.pick(dispatchers);
    const connection = network.connect(this.process, target.process);
    this.connection = connection;
    connection.agent.disconnected = () => {
      if (this.connection === connection) this.connection = null;
      this.feed({ type: "disconnected", connection: number, reason: "the connection was closed" });
    };
    connection.agent.receive = (message) => this.feed({ type: "received", connection: number, message });
    connection.open(
      () => target.accept(connection),
      () => this.feed({ type: "connected", connection: number }),
    );
  }

  countsOn(key: string): boolean {
    const { state, process } = this;
    if (!state || !process.running || process.now().mono >= state.trustedUntilMono) return false;
    const lease = state.leases.get(key);
    return lease !== undefined && lease.phase < LeasePhase.ENDED && lease.doom !== "superseded";
  }

  /** Nothing held, nothing unacknowledged. */
  get isIdle(): boolean {
    return this.state !== null && this.state.leases.size === 0 && this.runners.isEmpty;
  }
}
