/** From what agents measured to the JSON of the contract: −1 becomes null, thousandths become shares. */
import type { AgentMetrics, NodeFigures, TaskUsage } from "../../shared/api/figures.ts";
import { NODE_FIGURES, type NodeFigure } from "../../shared/model/usage.ts";
import type { SampledUsage } from "../domain/agent/figures.ts";
import type { HistoryRow } from "../domain/agent/node-history.ts";
import { figureOf, type NodeSample } from "../domain/agent/node-sample.ts";
import { timestamp } from "./encode.ts";

const MIB = 1024 * 1024;

export function encodeNode({ atMs, node, gpus, rates }: NodeSample): NodeFigures {
  const figures = Object.fromEntries(NODE_FIGURES.map((name) => [name, known(figureOf(node, name))]));
  return {
    at: timestamp(atMs),
    ...(figures as Record<NodeFigure, number | null>),
    disk_read_bytes_per_second: known(rates.diskRead),
    disk_written_bytes_per_second: known(rates.diskWritten),
    network_received_bytes_per_second: known(rates.networkReceived),
    network_sent_bytes_per_second: known(rates.networkSent),
    gpus: gpus.map(([busy, used, total]) => ({
      busy: known(busy),
      memory_used_bytes: known(used),
      memory_total_bytes: known(total),
    })),
  };
}

export function encodeHistory(row: HistoryRow): AgentMetrics["items"][number] {
  return {
    at: timestamp(row.atMs),
    cpu: digits(row.cpu),
    load1: digits(row.load1),
    memory_used_bytes: digits(row.memoryUsedBytes),
    disk_read_bytes_per_second: digits(row.diskReadBytesPerSecond),
    disk_written_bytes_per_second: digits(row.diskWrittenBytesPerSecond),
    network_received_bytes_per_second: digits(row.networkReceivedBytesPerSecond),
    network_sent_bytes_per_second: digits(row.networkSentBytesPerSecond),
    gpu: digits(row.gpuBusy),
  };
}

export function encodeUsage(usage: SampledUsage): TaskUsage {
  const recent: TaskUsage["recent"] = [];
  for (let i = 0; i + 1 < usage.recent.length; i += 2) {
    recent.push({ cpu: (usage.recent[i] as number) / 1000, memory_bytes: (usage.recent[i + 1] as number) * MIB });
  }
  return {
    at: timestamp(usage.atMs),
    cpu_seconds: usage.cpuMs / 1000,
    cpu: usage.cpuPermille / 1000,
    memory_bytes: usage.memoryBytes,
    memory_peak_bytes: usage.memoryPeakBytes,
    read_bytes: usage.readBytes,
    written_bytes: usage.writtenBytes,
    recent,
  };
}

function known(value: number): number | null {
  return value < 0 ? null : value;
}

/** As many as half precision holds. */
function digits(value: number): number | null {
  return value < 0 ? null : Number(value.toPrecision(4));
}
