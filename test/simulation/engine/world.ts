/**
 * One simulated world: its clock, what happens next, and the first broken promise, which ends it. Time moves only from one
 * event to the next; events of the same millisecond happen in the order in which they were planned. Real code that works
 * with promises is let go on between two events.
 */
import { Heap } from "../../../coordinator/dispatch/floor/heap.ts";
import { Random } from "./random.ts";

/** A promise of the system was broken. */
export class Violation extends Error {
  override name = "Violation";
  readonly invariant: string;

  constructor(invariant: string, message: string) {
    super(`${invariant}: ${message}`);
    this.invariant = invariant;
  }
}

interface Planned {
  atMs: number;
  order: number;
  happen: () => void;
}

export class World {
  nowMs = 0;
  /** Events that happened, for the report. */
  events = 0;
  readonly random: Random;
  private readonly planned = new Heap<Planned>((a, b) => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order));
  private order = 0;
  /** Promises of real code were settled: what waits for them goes on before the next event. */
  settling = false;
  private readonly print: ((line: string) => void) | null;

  constructor(seed: number, print: ((line: string) => void) | null) {
    this.random = new Random(seed);
    this.print = print;
  }

  after(delayMs: number, happen: () => void): void {
    this.planned.push({ atMs: this.nowMs + Math.max(0, delayMs), order: this.order++, happen });
  }

  /** Lets things happen until that time, or until `enough` says so; looked at after every event. */
  async run(untilMs: number, enough?: () => boolean): Promise<void> {
    for (let next = this.planned.top(); next && next.atMs <= untilMs; next = this.planned.top()) {
      this.planned.pop();
      this.nowMs = next.atMs;
      this.events++;
      next.happen();
      if (this.settling) await this.settle();
      if (enough?.()) return;
    }
    this.nowMs = untilMs;
  }

  /** Everything that promises lead to, in the order of the language; none of it waits for real time. */
  private async settle(): Promise<void> {
    this.settling = false;
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** A line of the trace; `text` is only made when somebody reads it. */
  trace(who: string, text: () => string): void {
    if (this.print === null) return;
    this.print(`${(this.nowMs / 1_000).toFixed(3).padStart(9)} ${who.padEnd(12)} ${text()}`);
  }

  fail(invariant: string, message: string): never {
    throw new Violation(invariant, message);
  }
}
