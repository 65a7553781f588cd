/**
 * A process on a host with clocks of its own: it can be killed, started anew, stopped (SIGSTOP) and continued, and its
 * host can sleep. While it is stopped, everything that arrives waits in its sockets; nothing reaches a later incarnation.
 */
import type { World } from "./world.ts";

/** Wall clock of the world's begin. */
const WALL_START_MS = 1_700_000_000_000;

export interface LocalNow {
  mono: number;
  wall: number;
}

export class Process {
  readonly world: World;
  readonly name: string;
  alive = false;
  private incarnation = 0;
  private stopped = 0;
  private timersDue: (() => void)[] = [];
  private arrived: (() => void)[] = [];
  /** The monotonic clock: its own zero, its own speed, and standing still while the host sleeps. */
  private readonly zeroMs: number;
  private readonly rate: number;
  private readonly skewMs: number;
  private sleptMs = 0;

  constructor(world: World, name: string) {
    this.world = world;
    this.name = name;
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

  /** SIGSTOP for a while; with `asleep` the whole host sleeps and its monotonic clock stands still. */
  stop(durationMs: number, asleep: boolean, continued: () => void): void {
    this.stopped++;
    this.world.trace(this.name, () => `${asleep ? "sleeps" : "is stopped"} for ${Math.round(durationMs)} ms`);
    this.world.after(durationMs, () => {
      this.stopped--;
      if (asleep) this.sleptMs += durationMs * this.rate;
      if (this.stopped > 0) return;
      this.world.trace(this.name, () => `goes on, ${this.arrived.length} events have arrived`);
      continued();
      const waited = [...this.timersDue, ...this.arrived];
      this.timersDue = [];
      this.arrived = [];
      // In one go, as an event loop does that finds all its sockets readable.
      for (const happen of waited) this.deliver(happen);
    });
  }

  /** The way into this incarnation of the process: what goes through it waits while the process is stopped. */
  inlet(): (handle: () => void) => void {
    const { incarnation } = this;
    return (handle) => {
      if (this.alive && this.incarnation === incarnation) this.deliver(handle);
    };
  }

  private deliver(handle: () => void): void {
    if (!this.alive) return;
    if (this.stopped > 0) this.arrived.push(handle);
    else handle();
  }

  /** A timer of this incarnation, on its own clock. Timers that fell due during a stop fire first after it. */
  timer(delayMs: number, fire: () => void): void {
    const { incarnation } = this;
    const due = (): void => {
      if (!this.alive || this.incarnation !== incarnation) return;
      if (this.stopped > 0) this.timersDue.push(due);
      else fire();
    };
    this.world.after(delayMs / this.rate, due);
  }

  every(periodMs: number, fire: () => void): void {
    this.timer(periodMs, () => {
      fire();
      this.every(periodMs, fire);
    });
  }
}
