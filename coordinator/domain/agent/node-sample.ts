/** One sample of a node's figures as it was received, and what follows from two of them. Pure. */
import { type GpuFigures, NODE_FIGURE_AT, type NodeFigure } from "../../../shared/model/usage.ts";

/** Bytes per second since the sample before; −1: not known. */
export interface Rates {
  diskRead: number;
  diskWritten: number;
  networkReceived: number;
  networkSent: number;
}

export interface NodeSample {
  /** When it was received. */
  atMs: number;
  /** In the order of `NODE_FIGURES`, perhaps fewer or more. */
  node: readonly number[];
  gpus: readonly GpuFigures[];
  rates: Rates;
}

/** A figure; −1 when its agent does not know it or is too old to tell. */
export function figureOf(node: readonly number[], name: NodeFigure): number {
  return node[NODE_FIGURE_AT[name]] ?? -1;
}

/** What the counters gained in `elapsedMs`; one that was set back (a restarted machine) tells nothing. */
export function ratesOf(before: readonly number[] | undefined, now: readonly number[], elapsedMs: number): Rates {
  const rate = (name: NodeFigure): number => {
    const last = figureOf(now, name);
    const first = before === undefined ? -1 : figureOf(before, name);
    return first < 0 || last < first || elapsedMs < 1 ? -1 : ((last - first) * 1000) / elapsedMs;
  };
  return {
    diskRead: rate("disk_read_bytes_total"),
    diskWritten: rate("disk_written_bytes_total"),
    networkReceived: rate("network_received_bytes_total"),
    networkSent: rate("network_sent_bytes_total"),
  };
}

/** All gpus of a node together: mean of the busy shares, sums of memory; −1 where none is known. */
export function gpusTogether(gpus: readonly GpuFigures[]): { busy: number; memoryUsed: number; memoryTotal: number } {
  const known = (at: 0 | 1 | 2): number[] => gpus.map((gpu) => gpu[at]).filter((value) => value >= 0);
  const sum = (values: number[]): number => (values.length === 0 ? -1 : values.reduce((all, value) => all + value, 0));
  const busy = known(0);
  return {
    busy: busy.length === 0 ? -1 : sum(busy) / busy.length,
    memoryUsed: sum(known(1)),
    memoryTotal: sum(known(2)),
  };
}
