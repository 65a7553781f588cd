/**
 * One agent in the simulation: the real agent core and the real outbox in a process that can be killed, stopped and put to
 * sleep with its host, over modelled runners and a modelled disk that outlive the process, and a network that may fail it.
 * The counterpart of agent/shell.ts.
 */
import type { AgentEvent } from "../../../agent/lease/contract.ts";
import type { AgentMutations } from "../../../agent/lease/mutations.ts";
import { type AgentState, createAgentState, LeasePhase } from "../../../agent/lease/state.ts";
import { step } from "../../../agent/lease/step.ts";
import type { AttemptEnd } from "../../../agent/report/end.ts";
import { Outbox } from "../../../agent/report/outbox.ts";
import type { AgentId } from "../../../shared/model/ids.ts";
import type { ToAgent } from "../../../shared/protocol/messages.ts";
import type { Dispatcher } from "../dispatcher/dispatcher.ts";
import type { CrashPoint, CrashPoints } from "../engine/crashes.ts";
import { Process } from "../engine/process.ts";
import type { World } from "../engine/world.ts";
import type { Connection, Network } from "../network/connection.ts";
import type { Oracle, Watched } from "../oracle.ts";
import { type DiskManner, HostDisk } from "./disk.ts";
import { Performer } from "./performer.ts";
import { Runners, type TaskManner } from "./runners.ts";

const COLLECT_MS = [0.5, 10] as const;
const POLL_INTERVAL_MS = 5_000;
const DEAD_MS = [20, 9_000] as const;
/** Small, so that it is rewritten now and then: ten ends or so. */
const OUTBOX_COMPACT_BYTES = 2_000;
const GIB = 1024 ** 3;

export interface HostParts {
  world: World;
  oracle: Oracle;
  network: Network;
  crashes: CrashPoints;
  dispatchers: readonly Dispatcher[];
  manner: TaskManner;
  disks: DiskManner;
  preparing: { failing: number };
  mutations: AgentMutations;
  cpus: number;
  /** A number of its own, and the identity it has enrolled under; two may have one. */
  number: number;
  agent: AgentId;
}

export class Host implements Watched {
  readonly name: string;
  readonly process: Process;
  readonly parts: HostParts;
  readonly agent: AgentId;
  runners: Runners;
  disk: HostDisk;
  state: AgentState | null = null;
  outbox: Outbox | null = null;
  connection: Connection | null = null;
  aheadMax = 0;
  /** Taken out of service: nothing of it comes back. */
  gone = false;
  private performer: Performer | null = null;
  private readonly holds = new Map<string, string>();
  private turning = false;
  private wakeAtMono = Number.POSITIVE_INFINITY;
  private wakes = 0;

  constructor(parts: HostParts) {
    this.parts = parts;
    this.agent = parts.agent;
    this.name = `host ${parts.number}`;
    this.process = new Process(parts.world, this.name);
    this.runners = this.newRunners();
    this.disk = new HostDisk(parts.world, parts.disks);
    this.start();
  }

  private newRunners(): Runners {
    const runners = new Runners(this.parts.world, this.parts.manner, {
      wall: () => this.process.now().wall,
      asleepMs: () => this.process.asleepMs,
    });
    runners.onStart = (key, byItself) => this.onStart(key, byItself);
    return runners;
  }

  start(): void {
    if (this.process.alive || this.gone) return;
    const { world } = this.parts;
    world.trace(this.name, () => "starts");
    this.process.start();
    this.turning = false;
    this.wakeAtMono = Number.POSITIVE_INFINITY;
    const deliver = this.process.inlet();
    // What promises lead to becomes an event of the world, so that what is thrown there is seen.
    const soon = (happen: () => void): void => world.after(0, () => deliver(happen));
    const onTrouble = (reason: string | null): void => soon(() => this.hold("outbox", reason));
    const disk = this.disk.mount(this.process, (point) => this.dies(point));
    Outbox.open({ path: "outbox", onTrouble, disk, compactBytes: OUTBOX_COMPACT_BYTES }).then(
      (outbox) => soon(() => this.begin(outbox)),
      (error) => soon(() => this.unusable(error)),
    );
  }

  /** Its service manager tries again. */
  private unusable(error: unknown): void {
    this.parts.world.trace(this.name, () => `cannot start: ${error}`);
    this.die();
  }

  private begin(outbox: Outbox): void {
    if (this.dies("agent: outbox read, nothing adopted")) return;
    const { world, cpus, mutations } = this.parts;
    this.outbox = outbox;
    this.state = createAgentState({
      agent: this.agent,
      name: `agent ${this.agent}`,
      program: "0",
      platform: "linux-x64",
      hostname: this.name,
      root: `root of ${this.name}`,
      capacity: { cpus, memoryBytes: GIB, gpus: 0, vramBytes: 0, diskBytes: GIB, custom: {}, labels: {} },
      lanesMax: cpus,
      gpuDevices: [],
      lastsUntilMs: null,
      pollIntervalMs: POLL_INTERVAL_MS,
      timeline: this.runners.timeline,
      random: () => world.random.next(),
      mutations,
    });
    this.performer = new Performer(this, this.state, outbox);
    const deliver = this.process.inlet();
    this.runners.listener = {
      started: (key, startedAtMs) => deliver(() => this.feed({ type: "started", key, startedAtMs })),
      recalled: (key) => deliver(() => this.feed({ type: "recalled", key })),
      exited: (end) =>
        deliver(() => {
          this.feed({ type: "exited", key: end.key });
          if (!this.dies("agent: exited, nothing collected")) this.collect(end);
        }),
    };
    const found = this.runners.found();
    const running = found.running.filter(({ key }) => !outbox.has(key));
    const collecting = found.ended.filter(({ key }) => !outbox.has(key));
    world.trace(this.name, () => `has ${running.length} running, ${outbox.ends().length} in its outbox`);
    this.feed({ type: "adopted", running, collecting: collecting.map(({ key }) => key), ended: outbox.ends() });
    for (const end of collecting) this.collect(end);
    const reason = [...this.holds.values()][0] ?? null;
    if (reason !== null) this.feed({ type: "hold", reason });
  }

  private collect(end: AttemptEnd): void {
    const delayMs = this.parts.world.random.between(...COLLECT_MS);
    // The record on disk stays as it is, whatever the core makes of its copy.
    this.process.timer(delayMs, () => this.feed({ type: "ended", end: { ...end } }));
  }

  /** Whether the process dies here; it is started again later. */
  dies(point: CrashPoint): boolean {
    if (!this.process.alive || !this.parts.crashes.hit(point)) return false;
    this.die();
    return true;
  }

  die(): void {
    this.kill();
    this.parts.world.after(this.parts.world.random.between(...DEAD_MS), () => this.start());
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
    this.runners.onStart = () => {};
    this.runners = this.newRunners();
    this.disk = new HostDisk(this.parts.world, this.parts.disks);
  }

  /** Somebody takes the machine away for good. */
  remove(): void {
    this.gone = true;
    this.lose();
  }

  private forgetProcess(): void {
    this.runners.listener = null;
    this.holds.clear();
    this.state = null;
    this.outbox = null;
    this.performer = null;
    this.connection = null;
    this.process.kill();
    this.disk.processDied();
  }

  /** SIGSTOP, or with `asleep` the sleep of the whole host, whose monotonic clock stands still. */
  stop(durationMs: number, asleep: boolean): void {
    if (this.process.running) this.process.stop(durationMs, asleep, () => {});
  }

  /** Something from outside of the network reaches the process. */
  receive(event: AgentEvent): void {
    this.process.inlet()(() => this.feed(event));
  }

  /** Sets or lifts one of the reasons for which nothing is started. */
  hold(source: string, reason: string | null): void {
    if (reason === null) this.holds.delete(source);
    else this.holds.set(source, reason);
    if (this.state) this.receive({ type: "hold", reason: [...this.holds.values()][0] ?? null });
  }

  feed(event: AgentEvent): void {
    const { state, performer, process } = this;
    if (!state || !performer) return;
    for (const effect of step(state, event, process.now())) {
      if (this.state !== state || this.dies("agent: between two effects")) return;
      performer.perform(effect);
    }
    if (this.state !== state) return;
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

  /** Through a load balancer that knows who is up, not who leads; mostly it is sent to the one that does. */
  connect(number: number): void {
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
    connection.agent.receive = (message: ToAgent) => {
      this.performer?.hears(message);
      const before = this.state?.trustedUntilMono;
      this.feed({ type: "received", connection: number, message: message as never });
      if (message.type === "renewed") this.onTrust(message.sentAtMs, before);
    };
    connection.open(
      () => target.accept(connection),
      () => this.feed({ type: "connected", connection: number }),
    );
  }

  /** Trust was extended, at most by what the question's own time allows, and not over what another one has. */
  private onTrust(sentAtMs: number, before = Number.NEGATIVE_INFINITY): void {
    const { state, parts } = this;
    if (!state) return;
    const { ttlMs, marginMs } = state.timing;
    if (state.trustedUntilMono > Math.max(before, sentAtMs + ttlMs - marginMs)) {
      const text = `${this.name} asked at ${sentAtMs} and trusts until ${state.trustedUntilMono}`;
      parts.world.fail("trust counts from before the question", text);
    }
    parts.oracle.trusts(this, state.leases.keys());
  }

  /** A runner begins a task; `byItself`: it waited in the lane of one that ended. */
  private onStart(key: string, byItself: boolean): void {
    const { state, process, parts } = this;
    if (byItself && state && process.running && state.mistrusted) {
      parts.world.fail("without trust nothing starts", `${this.name} let ${key} start behind another one`);
    }
    const used = this.runners.cpusUsed();
    if (used > parts.cpus) parts.world.fail("capacity is kept", `${this.name} runs ${used} cpus of ${parts.cpus}`);
  }

  countsOn(key: string): boolean {
    const { state, process } = this;
    if (!state || !process.running) return false;
    const { mono, wall } = process.now();
    if (mono >= state.trustedUntilMono) return false;
    // It has slept and not done anything since: whatever it does next, it first looks at its clocks.
    const gainedMs = wall - mono - state.clockOffset;
    if (gainedMs > state.timing.stallMs && !this.parts.mutations.sleepUnnoticed) return false;
    const lease = state.leases.get(key);
    return lease !== undefined && lease.phase < LeasePhase.ENDED && lease.doom !== "superseded";
  }

  get cpus(): number {
    return this.parts.cpus;
  }

  /** Nothing held, nothing unacknowledged. */
  get isIdle(): boolean {
    if (this.gone) return true;
    return this.state?.leases.size === 0 && this.runners.isEmpty && this.outbox?.ends().length === 0;
  }
}
