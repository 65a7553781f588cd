/**
 * A process on a host with clocks of its own: it can be killed, started anew, stopped (SIGSTOP) and continued, and its
 * host can sleep. While it is stopped, everything that arrives waits in its sockets; nothing reaches a later incarnation.
 */
import type { World } from "./world.ts";

/** Wall clock of the world's begin. */
const WALL_START_MS = 1_700_000_000_000;

const NETWORK_BACK_MS_MAX = 3_000;
/** Floating point: what is due is due. */
const ROUNDING_MS = 1e-3;

export interface LocalNow {
  mono: number;
  wall: number;
}

export class Process {
  readonly world: World;
  readonly name: string;
  alive = false;
  /** Processes of one machine hear each other whatever its network does. */
  machine: string;
  private incarnation = 0;
  private stopped = 0;
  private timersDue: (() => void)[] = [];
  private arrived: (() => void)[] = [];
  /** After a sleep the network comes back later than the process does. */
  private waking = 0;
  private asleepUntilMs = 0;
  /** The monotonic clock: its own zero, its own speed, and standing still while the host sleeps. */
  private readonly zeroMs: number;
  private readonly rate: number;
  private skewMs: number;
  private sleptMs = 0;
  /** Pauses that are over, in the world's time. */
  private readonly pauses: { fromMs: number; toMs: number }[] = [];
  private pausedMs = 0;

  constructor(world: World, name: string) {
    this.world = world;
    this.name = name;
    this.machine = name;
    this.zeroMs = world.random.between(0, 100_000);
    // Half a percent: far more than quartz does, far less than the margin of a fifth of the ttl covers.
    this.rate = world.random.between(0.995, 1.005);
    this.skewMs = world.random.between(-2_000, 2_000);
  }

  get running(): boolean {
    return this.alive && this.stopped === 0;
  }

  now(): LocalNow {
    const { nowMs } = this.world;
    return {
      mono: this.zeroMs + nowMs * this.rate - this.sleptMs,
      wall: Math.floor(WALL_START_MS + nowMs + this.skewMs),
    };
  }

  start(): void {
    this.alive = true;
    this.incarnation++;
  }

  kill(): void {
    this.alive = false;
    this.incarnation++;
    this.timersDue = [];
    this.arrived = [];
  }

  /** Somebody sets the clock, or NTP does: people see another time, the monotonic clock does not. */
  stepWall(byMs: number): void {
    // A clock that is set back while its host sleeps hides the sleep: nothing here could tell.
    if (this.stopped > 0) return;
    this.world.trace(this.name, () => `its clock is set by ${Math.round(byMs)} ms`);
    this.skewMs += byMs;
  }

  /** The time since then in which it could not do anything, of pauses of at least `leastMs`. */
  pausedSince(fromMs: number, leastMs: number): number {
    let sum = 0;
    for (const pause of this.pauses) {
      if (pause.toMs - pause.fromMs >= leastMs) sum += Math.max(0, pause.toMs - Math.max(pause.fromMs, fromMs));
    }
    return sum;
  }

  /** How much longer its whole host sleeps; 0 when it does not. */
  get asleepMs(): number {
    return Math.max(0, this.asleepUntilMs - this.world.nowMs);
  }

  /** SIGSTOP for a while; with `asleep` the whole host sleeps and its monotonic clock stands still. */
  stop(durationMs: number, asleep: boolean, continued: () => void): void {
    if (asleep) this.asleepUntilMs = Math.max(this.asleepUntilMs, this.world.nowMs + durationMs);
    if (this.stopped++ === 0) this.pausedMs = this.world.nowMs;
    this.world.trace(this.name, () => `${asleep ? "sleeps" : "is stopped"} for ${Math.round(durationMs)} ms`);
    this.world.after(durationMs, () => {
      this.stopped--;
      if (asleep) this.sleptMs += durationMs * this.rate;
      if (this.stopped > 0) return;
      this.pauses.push({ fromMs: this.pausedMs, toMs: this.world.nowMs });
      this.world.trace(this.name, () => `goes on, ${this.arrived.length} events have arrived`);
      continued();
      if (asleep) this.wake();
      const waited = [...this.timersDue, ...(this.waking > 0 ? [] : this.arrived)];
      this.timersDue = [];
      if (this.waking === 0) this.arrived = [];
      // In one go, as an event loop does that finds all its sockets readable.
      for (const happen of waited) this.deliver(happen, true);
    });
  }

  /** The host wakes: timers go on, what others sent comes when its network is there again. */
  private wake(): void {
    this.waking++;
    this.world.after(this.world.random.between(0, NETWORK_BACK_MS_MAX), () => {
      if (--this.waking > 0 || this.stopped > 0) return;
      const { arrived } = this;
      this.arrived = [];
      for (const happen of arrived) this.deliver(happen, false);
    });
  }

  /**
   * The way into this incarnation of the process: what goes through it waits while the process is stopped. `local`: from
   * the same machine.
   */
  inlet(local: () => boolean = () => false): (handle: () => void) => void {
    const { incarnation } = this;
    const living = (handle: () => void) => (): void => {
      if (this.alive && this.incarnation === incarnation) handle();
    };
    return (handle) => {
      if (this.alive && this.incarnation === incarnation) this.deliver(living(handle), local());
    };
  }

  private deliver(handle: () => void, local: boolean): void {
    if (!this.alive) return;
    if (this.stopped > 0 || (this.waking > 0 && !local)) this.arrived.push(handle);
    else handle();
  }

  /** A timer of this incarnation, on its own clock. Timers that fell due during a stop fire first after it. */
  timer(delayMs: number, fire: () => void): void {
    const { incarnation } = this;
    const dueMono = this.now().mono + Math.max(0, delayMs);
    const due = (): void => {
      if (!this.alive || this.incarnation !== incarnation) return;
      // Its clock stood still while the host slept: so did its timers.
      const leftMs = dueMono - this.now().mono;
      if (this.stopped > 0) this.timersDue.push(due);
      else if (leftMs > ROUNDING_MS) this.world.after(leftMs / this.rate, due);
      else fire();
    };
    this.world.after(delayMs / this.rate, due);
  }

  /** Again and again while `lasts` says so. */
  every(periodMs: number, lasts: () => boolean, fire: () => void): void {
    this.timer(periodMs, () => {
      if (!lasts()) return;
      fire();
      this.every(periodMs, lasts, fire);
    });
  }
}
