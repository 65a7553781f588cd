/**
 * An hour of one node's figures in 7.2 kB: columns of half-precision numbers (three digits, which is more than a curve
 * shows) in a ring that grows with what is in it.
 */
import { figureOf, gpusTogether, type NodeSample } from "./node-sample.ts";

/** One sample; −1 where a figure is not known. */
export interface HistoryRow {
  atMs: number;
  cpu: number;
  load1: number;
  memoryUsedBytes: number;
  diskReadBytesPerSecond: number;
  diskWrittenBytesPerSecond: number;
  networkReceivedBytesPerSecond: number;
  networkSentBytesPerSecond: number;
  gpuBusy: number;
}

/** An hour at one in ten seconds. */
const SAMPLES_MAX = 360;
const SAMPLES_FIRST = 45;
const MIB = 1024 * 1024;
/** What a column is counted in, so that numbers from 64 bytes to 60 TB fit: half precision ends at 65,504. */
const UNITS: readonly [keyof HistoryRow, number][] = [
  ["cpu", 1],
  ["load1", 1],
  ["memoryUsedBytes", 1024 * MIB],
  ["diskReadBytesPerSecond", MIB],
  ["diskWrittenBytesPerSecond", MIB],
  ["networkReceivedBytesPerSecond", MIB],
  ["networkSentBytesPerSecond", MIB],
  ["gpuBusy", 1],
];
const COLUMNS = UNITS.length;
const LARGEST = 65_504;

export class NodeHistory {
  readonly #periodMs: number;
  #seconds = new Uint32Array(SAMPLES_FIRST);
  #values = new Float16Array(SAMPLES_FIRST * COLUMNS);
  /** Samples that ever came in; the next one's place is this modulo the ring's size. */
  #count = 0;
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(periodMs: number) {
    this.#periodMs = periodMs;
  }

  /** Keeps it, unless the one before is too near. */
  add(sample: NodeSample): void {
    // A clock that was set back begins anew.
    if (sample.atMs >= this.#lastMs && sample.atMs - this.#lastMs < this.#periodMs) return;
    this.#lastMs = sample.atMs;
    if (this.#count === this.#seconds.length && this.#count < SAMPLES_MAX) this.#grow();
    const at = this.#count % this.#seconds.length;
    this.#seconds[at] = sample.atMs / 1000;
    const { diskRead, diskWritten, networkReceived, networkSent } = sample.rates;
    const row = [
      figureOf(sample.node, "cpu"),
      figureOf(sample.node, "load1"),
      figureOf(sample.node, "memory_used_bytes"),
      diskRead,
      diskWritten,
      networkReceived,
      networkSent,
      gpusTogether(sample.gpus).busy,
    ];
    row.forEach((value, i) => {
      const unit = UNITS[i]?.[1] ?? 1;
      this.#values[at * COLUMNS + i] = value < 0 ? -1 : Math.min(LARGEST, value / unit);
    });
    this.#count++;
  }

  /** Oldest first. */
  rows(sinceMs: number): HistoryRow[] {
    const size = this.#seconds.length;
    const rows: HistoryRow[] = [];
    for (let n = Math.max(0, this.#count - size); n < this.#count; n++) {
      const at = n % size;
      const atMs = (this.#seconds[at] as number) * 1000;
      if (atMs <= sinceMs) continue;
      const row = { atMs } as HistoryRow;
      UNITS.forEach(([name, unit], i) => {
        const value = this.#values[at * COLUMNS + i] as number;
        row[name] = value < 0 ? -1 : value * unit;
      });
      rows.push(row);
    }
    return rows;
  }

  /** Only while the ring was never full, so that what is in it lies in order. */
  #grow(): void {
    const size = Math.min(SAMPLES_MAX, 2 * this.#seconds.length);
    const seconds = new Uint32Array(size);
    const values = new Float16Array(size * COLUMNS);
    seconds.set(this.#seconds);
    values.set(this.#values);
    this.#seconds = seconds;
    this.#values = values;
  }
}
