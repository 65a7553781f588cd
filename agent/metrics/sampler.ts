/**
 * Samples the node and its running tasks at a stated rate and hands them over as one message. It costs at most half a
 * percent of one processor: what sampling took decides when the next one comes. While nobody takes samples none is made.
 */
import { readFile } from "node:fs/promises";
import { parseAttemptKey } from "../../shared/model/ids.ts";
import { type GpuFigures, NODE_FIGURE_AT, type TaskUsage } from "../../shared/model/usage.ts";
import type { FromAgent, UsageGroup } from "../../shared/protocol/messages.ts";
import { Cost } from "./cost.ts";
import { GpuSampler } from "./gpus.ts";
import { NodeSampler } from "./node.ts";
import { parsePageBytes } from "./proc.ts";
import { type RunningTask, TaskSampler } from "./tasks.ts";

export type Metrics = Extract<FromAgent, { type: "metrics" }>;

export interface MetricsOptions {
  outputDir: string;
  /** Of the node's figures; tasks are sampled twice as often. */
  intervalMs: number;
  /** Tasks that run now and have run for a while. */
  running(): RunningTask[];
  /** Whether a message would be taken now; else this sample is left out. */
  isWanted(): boolean;
  send(message: Metrics): void;
  /** A sample could not be made, for the first time in a row; the next one is tried. */
  failed(error: unknown): void;
  mono(): number;
  wall(): number;
}

/** Share of one processor that sampling tasks may take. */
const COST_SHARE = 0.005;
/** Tasks are sampled at least so often, whatever it costs. */
const PERIOD_MAX_MS = 300_000;

export interface MetricsSampler {
  stop(): void;
}

/**
 * Starts sampling; the first sample comes within one interval, at a time that differs from agent to agent. Nothing is read
 * before: a start waits for none of it.
 */
export function startMetrics(options: MetricsOptions): MetricsSampler {
  let samplers: Samplers | undefined;
  const periodMs = options.intervalMs / 2;
  const cost = new Cost(options.mono());
  let stopped = false;
  let failing = false;
  let timer: NodeJS.Timeout;
  let nodeDueMono = options.mono();
  let tasksDueMono = options.mono();

  const sample = async (): Promise<void> => {
    if (!options.isWanted()) return;
    if (samplers === undefined) {
      samplers = await openSamplers(options.outputDir);
      return;
    }
    const { node, gpus, tasks } = samplers;
    const startMono = options.mono();
    // Timers fire a little early or late: half a period is in time.
    const nodeIsDue = startMono >= nodeDueMono - periodMs / 2;
    const groups: UsageGroup[] = [];
    cost.resume();
    if (startMono >= tasksDueMono - periodMs / 2) {
      const before = cost.lapMs();
      const running = options.running();
      for (const { key, usage } of await tasks.sample(running, options.mono, cost)) add(groups, key, usage);
      tasksDueMono = startMono + nextPeriodMs(cost.lapMs() - before, periodMs);
    }
    const message: Metrics = { type: "metrics", atMs: Math.round(options.wall()), groups };
    if (nodeIsDue) {
      nodeDueMono = startMono + options.intervalMs;
      message.node = node.sample();
      message.node[NODE_FIGURE_AT.tasks_running] = options.running().length;
      message.node[NODE_FIGURE_AT.agent_memory_bytes] = process.memoryUsage.rss();
      const found = gpus.sample(startMono);
      if (found !== undefined) message.gpus = found.map((gpu) => gpu.map(bounded) as GpuFigures);
      message.node[NODE_FIGURE_AT.sampler_cpu] = cost.takeShare(options.mono());
    }
    message.node = message.node?.map((value) => Math.max(-1, bounded(value)));
    if ((nodeIsDue || groups.length > 0) && !stopped && options.isWanted()) options.send(message);
    cost.pause();
  };
  const again = (delayMs: number): void => {
    timer = setTimeout(() => {
      sample()
        .then(
          () => {
            failing = false;
          },
          (error: unknown) => {
            if (!failing) options.failed(error);
            failing = true;
          },
        )
        .finally(() => {
          if (!stopped) again(periodMs);
        });
    }, delayMs);
  };
  again(Math.random() * periodMs);
  return {
    stop: () => {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

interface Samplers {
  node: NodeSampler;
  gpus: GpuSampler;
  tasks: TaskSampler;
}

async function openSamplers(outputDir: string): Promise<Samplers> {
  const pageBytes = parsePageBytes(await readFile("/proc/self/auxv"));
  return { node: await NodeSampler.open(outputDir), gpus: new GpuSampler(), tasks: new TaskSampler(pageBytes) };
}

/** When tasks are sampled again, so that it takes `COST_SHARE` of a processor at most. Exported for tests. */
export function nextPeriodMs(costMs: number, periodMs: number): number {
  return Math.max(periodMs, Math.min(costMs / COST_SHARE, PERIOD_MAX_MS));
}

function add(groups: UsageGroup[], key: string, usage: TaskUsage): void {
  const attempt = parseAttemptKey(key);
  if (attempt === undefined) return;
  let group = groups.find((each) => each.experiment === attempt.experiment && each.template === attempt.template);
  if (group === undefined) {
    const { experiment, template } = attempt;
    group = { experiment, template, indexes: [], attempts: [], ...emptyColumns() };
    groups.push(group);
  }
  group.indexes.push(attempt.index);
  group.attempts.push(attempt.attempt);
  for (const field of FIELDS) group[field].push(Math.max(0, Math.round(bounded(usage[field]))));
}

/** What a driver or file system makes up must not make a frame that is refused: that would cost the session. Exported for tests. */
export function bounded(value: number): number {
  return Number.isFinite(value) && Math.abs(value) <= Number.MAX_SAFE_INTEGER ? value : -1;
}

const FIELDS = ["cpuMs", "cpuPermille", "memoryBytes", "memoryPeakBytes", "readBytes", "writtenBytes"] as const;

function emptyColumns(): { [Field in keyof TaskUsage]: number[] } {
  return { cpuMs: [], cpuPermille: [], memoryBytes: [], memoryPeakBytes: [], readBytes: [], writtenBytes: [] };
}
