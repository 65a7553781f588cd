/**
 * What agents measure: figures of their node and of the tasks that run there. They are samples for people and monitoring,
 * never part of a decision, kept in memory only. On the wire a node is a list of numbers in the order given here, so that
 * a newer program may add some at the end and an older one reads those it knows.
 */

/**
 * Figures of a node by position. Shares are fractions of 1; what rises since the machine started ends in `_total`. −1: not
 * known there.
 */
export const NODE_FIGURES = [
  /** Busy share of all processors since the sample before. */
  "cpu",
  /** Processors that are online. */
  "cpus",
  /** Average of the last minute. */
  "load1",
  /** What is neither free nor reclaimable, of the machine or of the cgroup that limits the agent, whichever is less. */
  "memory_used_bytes",
  "memory_limit_bytes",
  "swap_used_bytes",
  "swap_limit_bytes",
  /** Of the file system of the output directory. */
  "disk_used_bytes",
  "disk_free_bytes",
  /** Of the device under the output directory. */
  "disk_read_bytes_total",
  "disk_written_bytes_total",
  /** Of all interfaces but loopback. */
  "network_received_bytes_total",
  "network_sent_bytes_total",
  /** Tasks whose processes run. */
  "tasks_running",
  /** Processor time that this sampling itself took since the sample before, as a share of one processor. */
  "sampler_cpu",
  /** Resident memory of the agent's own process. */
  "agent_memory_bytes",
] as const;
export type NodeFigure = (typeof NODE_FIGURES)[number];

/** Position of each figure. */
export const NODE_FIGURE_AT = Object.fromEntries(NODE_FIGURES.map((name, at) => [name, at])) as Record<
  NodeFigure,
  number
>;

/** One gpu: busy share, memory used and in all; −1: not known. */
export type GpuFigures = [busy: number, memoryUsedBytes: number, memoryTotalBytes: number];

/** What a running attempt uses, all its processes together. */
export interface TaskUsage {
  /** User and system time since it started. */
  cpuMs: number;
  /** Thousandths of one processor since the sample before. */
  cpuPermille: number;
  /** Resident now, and the most that a sample saw. */
  memoryBytes: number;
  memoryPeakBytes: number;
  /** From and to storage; what the page cache answers is not in it. */
  readBytes: number;
  writtenBytes: number;
}
