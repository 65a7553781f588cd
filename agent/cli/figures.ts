/** Figures of nodes and tasks as lines for people: numbers always, bars and curves where the terminal shows them. */
import type { AgentMetrics, NodeFigures, TaskUsage } from "../../shared/api/figures.ts";
import { humanBytes, humanDuration } from "./format.ts";
import { type Screen, speaksUnicode } from "./terminal.ts";

/** What the screen can show beside numbers. */
export type Drawing = "none" | "ascii" | "unicode";

const BAR_WIDTH = 10;
const CURVE_WIDTH = 30;
const STEPS = "▁▂▃▄▅▆▇█";

/** In a pipe nothing is drawn: what reads it wants the numbers. */
export function drawingOn(screen: Pick<Screen, "isTerminal">, environment: NodeJS.ProcessEnv): Drawing {
  if (!screen.isTerminal) return "none";
  return speaksUnicode(environment) ? "unicode" : "ascii";
}

/** `62 %`; a dash for what is not known. */
export function percent(share: number | null | undefined): string {
  return share === null || share === undefined ? "-" : `${Math.round(share * 100)} %`;
}

/** Used of a whole as a share; null when one of them is not known. */
export function shareOf(used: number | null | undefined, whole: number | null | undefined): number | null {
  if (used === null || used === undefined || whole === null || whole === undefined || whole <= 0) return null;
  return used / whole;
}

/** Ten letters wide, with a space behind; nothing where nothing is drawn or known. Exported for tests. */
export function bar(share: number | null, drawing: Drawing): string {
  if (drawing === "none" || share === null) return "";
  const full = Math.round(Math.min(1, Math.max(0, share)) * BAR_WIDTH);
  const [on, off] = drawing === "unicode" ? ["█", "░"] : ["#", "."];
  return `${on.repeat(full)}${off.repeat(BAR_WIDTH - full)} `;
}

/**
 * The latest values as a curve with a space before it, from 0 to `top` (the highest of them when it is not given).
 * Exported for tests.
 */
export function curve(values: readonly (number | null)[], drawing: Drawing, top?: number): string {
  const shown = values.slice(-CURVE_WIDTH);
  if (drawing !== "unicode" || shown.length < 2) return "";
  const highest = top ?? Math.max(...shown.map((value) => value ?? 0));
  if (highest <= 0) return "";
  const steps = shown.map((value) => {
    if (value === null) return " ";
    return STEPS[Math.min(STEPS.length - 1, Math.max(0, Math.floor((value / highest) * STEPS.length)))];
  });
  return `  ${steps.join("")}`;
}

type Field = [string, string];

/** The lines of `agent show`. `history`: oldest first, perhaps none. */
export function nodeFields(node: NodeFigures, history: AgentMetrics["items"], drawing: Drawing): Field[] {
  const of = (name: keyof AgentMetrics["items"][number]): (number | null)[] =>
    history.map((item) => item[name] as number | null);
  const memory = shareOf(node.memory_used_bytes, node.memory_limit_bytes);
  const disk = shareOf(node.disk_used_bytes, sum(node.disk_used_bytes, node.disk_free_bytes));
  const fields: Field[] = [
    [
      "node cpu",
      `${bar(node.cpu, drawing)}${percent(node.cpu)} of ${node.cpus ?? "?"}, load ${node.load1 ?? "-"}${curve(of("cpu"), drawing, 1)}`,
    ],
    [
      "node memory",
      `${bar(memory, drawing)}${humanBytes(node.memory_used_bytes)} of ${humanBytes(node.memory_limit_bytes)}${curve(of("memory_used_bytes"), drawing, node.memory_limit_bytes ?? undefined)}`,
    ],
  ];
  if (node.swap_limit_bytes) {
    const swap = shareOf(node.swap_used_bytes, node.swap_limit_bytes);
    const text = `${humanBytes(node.swap_used_bytes)} of ${humanBytes(node.swap_limit_bytes)}`;
    fields.push(["node swap", `${bar(swap, drawing)}${text}`]);
  }
  fields.push(
    [
      "node disk",
      `${bar(disk, drawing)}${humanBytes(node.disk_used_bytes)} used, ${humanBytes(node.disk_free_bytes)} free`,
    ],
    ["disk rate", twoRates(node.disk_read_bytes_per_second, "read", node.disk_written_bytes_per_second, "written")],
    ["network rate", twoRates(node.network_received_bytes_per_second, "in", node.network_sent_bytes_per_second, "out")],
  );
  node.gpus.forEach((gpu, i) => {
    const text = `${humanBytes(gpu.memory_used_bytes)} of ${humanBytes(gpu.memory_total_bytes)}`;
    fields.push([`node gpu ${i}`, `${bar(gpu.busy, drawing)}${percent(gpu.busy)}, ${text}`]);
  });
  fields.push([
    "agent itself",
    `${humanBytes(node.agent_memory_bytes)} of its own, ${shownShare(node.sampler_cpu)} of a processor for these figures`,
  ]);
  return fields;
}

/** The lines of `task show` about the attempt that runs. */
export function usageFields(usage: TaskUsage, drawing: Drawing): Field[] {
  const cpu = usage.recent.map((sample) => sample.cpu);
  const memory = usage.recent.map((sample) => sample.memory_bytes);
  return [
    ["cpu", `${usage.cpu.toFixed(2)} processors, ${humanDuration(usage.cpu_seconds)} in all${curve(cpu, drawing)}`],
    [
      "memory",
      `${humanBytes(usage.memory_bytes)}, at most ${humanBytes(usage.memory_peak_bytes)}${curve(memory, drawing)}`,
    ],
    ["storage", `${humanBytes(usage.read_bytes)} read, ${humanBytes(usage.written_bytes)} written`],
  ];
}

function twoRates(first: number | null, firstName: string, second: number | null, secondName: string): string {
  return `${rate(first)} ${firstName}, ${rate(second)} ${secondName}`;
}

function rate(bytesPerSecond: number | null): string {
  return bytesPerSecond === null ? "-" : `${humanBytes(bytesPerSecond)}/s`;
}

function sum(a: number | null, b: number | null): number | null {
  return a === null || b === null ? null : a + b;
}

/** Shares far below a percent too. */
function shownShare(share: number | null): string {
  return share === null ? "-" : `${(share * 100).toFixed(2)} %`;
}
