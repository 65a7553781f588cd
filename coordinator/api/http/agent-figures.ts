/**
 * Figures of agents for `/metrics`: a series per agent and figure for the first agents by number, one more for all others
 * together, and a count of those. Nothing of single tasks: a label with an endless number of values is a leak elsewhere.
 */
import type { NodeFigure } from "../../../shared/model/usage.ts";
import { figureOf, gpusTogether, type NodeSample } from "../../domain/agent/node-sample.ts";
import type { Exposition, Labels } from "./exposition.ts";

export interface NamedSample {
  name: string;
  sample: NodeSample;
}

/** At 20 series and some 60 bytes each 250 kB. Exported for tests. */
export const AGENTS_SHOWN_MAX = 200;
/** No agent can be called this. */
const OTHERS = "*";

interface Series {
  name: string;
  type: "gauge" | "counter";
  help: string;
  of(sample: NodeSample): number;
  /** How many agents come together: shares by their mean, everything else by its sum. */
  mean?: true;
}

const figure =
  (name: NodeFigure) =>
  ({ node }: NodeSample): number =>
    figureOf(node, name);

const gauge = (name: string, from: NodeFigure, help: string): Series => ({
  name,
  type: "gauge",
  help,
  of: figure(from),
});
const counter = (from: NodeFigure, help: string): Series => ({ name: from, type: "counter", help, of: figure(from) });

const SERIES: Series[] = [
  { ...gauge("cpu_ratio", "cpu", "Busy share of the node's processors."), mean: true },
  gauge("cpus", "cpus", "Processors of the node."),
  gauge("load1", "load1", "Load of the node, average of a minute."),
  gauge("memory_used_bytes", "memory_used_bytes", "Memory in use and not reclaimable."),
  gauge("memory_limit_bytes", "memory_limit_bytes", "Memory of the node, or of the cgroup that limits the agent."),
  gauge("swap_used_bytes", "swap_used_bytes", "Swap in use."),
  gauge("swap_limit_bytes", "swap_limit_bytes", "Swap of the node."),
  gauge("disk_used_bytes", "disk_used_bytes", "Used of the output directory's file system."),
  gauge("disk_free_bytes", "disk_free_bytes", "Free for the agent's user in the output directory's file system."),
  counter("disk_read_bytes_total", "Read from the device under the output directory."),
  counter("disk_written_bytes_total", "Written to the device under the output directory."),
  counter("network_received_bytes_total", "Received by the node, loopback left out."),
  counter("network_sent_bytes_total", "Sent by the node, loopback left out."),
  gauge("tasks_running", "tasks_running", "Tasks whose processes run."),
  { ...gauge("sampler_cpu_ratio", "sampler_cpu", "Share of one processor that this measuring takes."), mean: true },
  gauge("process_memory_bytes", "agent_memory_bytes", "Resident memory of the agent's own process."),
  { name: "gpus", type: "gauge", help: "Gpus that are measured.", of: ({ gpus }) => gpus.length },
  {
    name: "gpu_ratio",
    type: "gauge",
    help: "Mean busy share of the node's gpus.",
    of: ({ gpus }) => gpusTogether(gpus).busy,
    mean: true,
  },
  {
    name: "gpu_memory_used_bytes",
    type: "gauge",
    help: "Memory in use, all gpus together.",
    of: ({ gpus }) => gpusTogether(gpus).memoryUsed,
  },
  {
    name: "gpu_memory_limit_bytes",
    type: "gauge",
    help: "Memory of all gpus together.",
    of: ({ gpus }) => gpusTogether(gpus).memoryTotal,
  },
];

/** `agents` in the order in which they are shown. */
export function agentFigures(out: Exposition, agents: readonly NamedSample[]): void {
  const shown = agents.slice(0, AGENTS_SHOWN_MAX);
  const others = agents.slice(AGENTS_SHOWN_MAX);
  const help = `Agents beyond the first ${AGENTS_SHOWN_MAX}: together they are agent="${OTHERS}".`;
  out.gauge("scheduler_agents_not_shown", help, others.length);
  if (agents.length === 0) return;
  for (const series of SERIES) {
    const values: [Labels, number][] = [];
    for (const { name, sample } of shown) {
      const value = series.of(sample);
      if (value >= 0) values.push([{ agent: name }, value]);
    }
    const known = others.map(({ sample }) => series.of(sample)).filter((value) => value >= 0);
    if (known.length > 0) {
      const sum = known.reduce((all, value) => all + value, 0);
      values.push([{ agent: OTHERS }, series.mean ? sum / known.length : sum]);
    }
    if (values.length > 0) out.series(`scheduler_agent_${series.name}`, series.type, series.help, values);
  }
}
