/** What sampling itself takes: processor time of the loop's thread, counted only while it samples. */
import type { Meter } from "./tasks.ts";

export class Cost implements Meter {
  #totalMs = 0;
  #startedUs = 0;
  #taken: { totalMs: number; mono: number };

  constructor(nowMono: number) {
    this.#taken = { totalMs: 0, mono: nowMono };
  }

  resume(): void {
    this.#startedUs = threadUs();
  }

  /** What is done from here on is not ours. */
  pause(): void {
    this.lapMs();
  }

  /** Milliseconds in all, up to now; counting goes on. */
  lapMs(): number {
    const nowUs = threadUs();
    this.#totalMs += (nowUs - this.#startedUs) / 1000;
    this.#startedUs = nowUs;
    return this.#totalMs;
  }

  /** The share of one processor since it was last taken. */
  takeShare(nowMono: number): number {
    const totalMs = this.lapMs();
    const share = (totalMs - this.#taken.totalMs) / Math.max(1, nowMono - this.#taken.mono);
    this.#taken = { totalMs, mono: nowMono };
    return share;
  }
}

function threadUs(): number {
  const { user, system } = process.threadCpuUsage();
  return user + system;
}
