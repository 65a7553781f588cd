/**
 * What agents measured, in memory: the latest sample of each node, an hour of its history, and the usage of tasks that run.
 * Nothing of it decides anything or outlives the reign. Everything is bounded, whatever agents send:
 *
 *     latest sample   20 numbers, gpus apart                                          0.5 kB an agent
 *     history         360 samples × (8 columns of 2 bytes + a time of 4)              7.2 kB an agent
 *     running task    8 numbers, 12 samples of cpu and memory, its name               0.5 kB a task
 *
 * 10,000 agents of an hour and 50,000 running tasks: 77 MB + 25 MB. Beyond that agents have no history and tasks no usage.
 */
import type { AgentId, AttemptKey } from "../../../shared/model/ids.ts";
import { attemptKeyText } from "../../../shared/model/ids.ts";
import type { TaskUsage } from "../../../shared/model/usage.ts";
import type { FromAgent, UsageGroup } from "../../../shared/protocol/messages.ts";
import { type HistoryRow, NodeHistory } from "./node-history.ts";
import { type NodeSample, ratesOf } from "./node-sample.ts";

type Metrics = Extract<FromAgent, { type: "metrics" }>;

interface FiguresOptions {
  wall(): number;
  /** Least time between two samples of history; tests take less. */
  historyPeriodMs?: number;
  historiesMax?: number;
  tasksMax?: number;
}

/** Agents send every 10 s unless told otherwise; timers fire a little early. */
const HISTORY_PERIOD_MS = 9_000;
const HISTORIES_MAX = 10_000;
const TASKS_MAX = 50_000;
/** As many as an agent has runners. */
const TASKS_PER_AGENT_MAX = 1_024;
/** A minute at one sample in five seconds. */
const RECENT_SAMPLES = 12;
/** Twice the longest time between two samples of tasks. */
const USAGE_KEPT_MS = 600_000;
/** An agent that is away this long will hardly come back as the one it was. */
const KEPT_AFTER_MS = 300_000;
const MIB = 1024 * 1024;

export interface SampledUsage extends TaskUsage {
  /** When it was received. */
  atMs: number;
  /** The latest samples, oldest first: thousandths of a processor and MiB, one after the other. */
  recent: readonly number[];
}

interface Usage extends TaskUsage {
  atMs: number;
  /** Time of its message on the agent's clock. */
  sampledAtMs: number;
  recent: number[];
}

interface Entry {
  latest: NodeSample | undefined;
  /** Time of `latest` on the agent's own clock. */
  sampledAtMs: number;
  history: NodeHistory | undefined;
  tasks: Map<string, Usage>;
  /** Time of the latest message with tasks: what it did not name has ended when the next one comes. */
  tasksAtMs: number;
  goneAtMs: number | null;
}

const NOTHING_USED: Omit<Usage, "recent"> = {
  atMs: 0,
  sampledAtMs: 0,
  cpuMs: 0,
  cpuPermille: 0,
  memoryBytes: 0,
  memoryPeakBytes: 0,
  readBytes: 0,
  writtenBytes: 0,
};

export class AgentFigures {
  readonly #options: Required<FiguresOptions>;
  readonly #agents = new Map<AgentId, Entry>();
  #histories = 0;
  #tasks = 0;
  #tasksLeftOut = 0;

  constructor(options: FiguresOptions) {
    this.#options = {
      historyPeriodMs: HISTORY_PERIOD_MS,
      historiesMax: HISTORIES_MAX,
      tasksMax: TASKS_MAX,
      ...options,
    };
  }

  /** A checked message of a proven session. */
  receive(agent: AgentId, message: Metrics): void {
    const atMs = this.#options.wall();
    let entry = this.#agents.get(agent);
    if (entry === undefined) {
      entry = {
        latest: undefined,
        sampledAtMs: 0,
        history: undefined,
        tasks: new Map(),
        tasksAtMs: 0,
        goneAtMs: null,
      };
      this.#agents.set(agent, entry);
    }
    entry.goneAtMs = null;
    if (message.node !== undefined) this.#receiveNode(entry, message.node, message, atMs);
    if (message.groups.length === 0) {
      this.#drop(entry, (usage) => atMs - usage.atMs > USAGE_KEPT_MS);
      return;
    }
    // One message may come in several frames, which have one time.
    if (message.atMs !== entry.tasksAtMs) {
      this.#drop(entry, (usage) => usage.sampledAtMs !== entry.tasksAtMs);
      entry.tasksAtMs = message.atMs;
    }
    for (const group of message.groups) this.#receiveTasks(entry, group, atMs);
  }

  latest(agent: AgentId): NodeSample | undefined {
    return this.#agents.get(agent)?.latest;
  }

  /** Oldest first; only what came after `sinceMs`. */
  history(agent: AgentId, sinceMs: number): HistoryRow[] {
    return this.#agents.get(agent)?.history?.rows(sinceMs) ?? [];
  }

  usage(agent: AgentId, attempt: AttemptKey): SampledUsage | undefined {
    return this.#agents.get(agent)?.tasks.get(attemptKeyText(attempt));
  }

  /** Agents with figures, by number. */
  agents(): AgentId[] {
    return [...this.#agents]
      .flatMap(([agent, { latest }]) => (latest === undefined ? [] : agent))
      .sort((a, b) => a - b);
  }

  /** Its session is over; the figures stay a while, for it may only change its connection. */
  gone(agent: AgentId): void {
    const nowMs = this.#options.wall();
    const entry = this.#agents.get(agent);
    if (entry !== undefined) entry.goneAtMs = nowMs;
    for (const [other, { goneAtMs }] of this.#agents) {
      if (goneAtMs !== null && nowMs - goneAtMs > KEPT_AFTER_MS) this.#forget(other);
    }
  }

  /** The reign is over. */
  clear(): void {
    this.#agents.clear();
    this.#histories = 0;
    this.#tasks = 0;
  }

  counts(): {
    metrics_agents: number;
    metrics_histories: number;
    metrics_tasks: number;
    metrics_tasks_left_out_total: number;
  } {
    return {
      metrics_agents: this.#agents.size,
      metrics_histories: this.#histories,
      metrics_tasks: this.#tasks,
      metrics_tasks_left_out_total: this.#tasksLeftOut,
    };
  }

  #receiveNode(entry: Entry, node: readonly number[], message: Metrics, atMs: number): void {
    const before = entry.latest;
    const rates = ratesOf(before?.node, node, message.atMs - entry.sampledAtMs);
    entry.latest = { atMs, node, gpus: message.gpus ?? [], rates };
    entry.sampledAtMs = message.atMs;
    if (entry.history === undefined) {
      if (this.#histories >= this.#options.historiesMax) return;
      this.#histories++;
      entry.history = new NodeHistory(this.#options.historyPeriodMs);
    }
    entry.history.add(entry.latest);
  }

  #receiveTasks(entry: Entry, group: UsageGroup, atMs: number): void {
    for (let i = 0; i < group.indexes.length; i++) {
      const index = group.indexes[i] as number;
      const attempt = group.attempts[i] as number;
      const key = attemptKeyText({ experiment: group.experiment, template: group.template, index, attempt });
      let usage = entry.tasks.get(key);
      if (usage === undefined) {
        if (this.#tasks >= this.#options.tasksMax || entry.tasks.size >= TASKS_PER_AGENT_MAX) {
          this.#tasksLeftOut++;
          continue;
        }
        this.#tasks++;
        usage = { ...NOTHING_USED, recent: [] };
        entry.tasks.set(key, usage);
      }
      usage.atMs = atMs;
      usage.sampledAtMs = entry.tasksAtMs;
      usage.cpuMs = group.cpuMs[i] as number;
      usage.cpuPermille = group.cpuPermille[i] as number;
      usage.memoryBytes = group.memoryBytes[i] as number;
      usage.memoryPeakBytes = group.memoryPeakBytes[i] as number;
      usage.readBytes = group.readBytes[i] as number;
      usage.writtenBytes = group.writtenBytes[i] as number;
      usage.recent.push(usage.cpuPermille, Math.round(usage.memoryBytes / MIB));
      if (usage.recent.length > 2 * RECENT_SAMPLES) usage.recent.splice(0, 2);
    }
  }

  #drop({ tasks }: Entry, isOver: (usage: Usage) => boolean): void {
    for (const [key, usage] of tasks) {
      if (!isOver(usage)) continue;
      tasks.delete(key);
      this.#tasks--;
    }
  }

  #forget(agent: AgentId): void {
    const entry = this.#agents.get(agent);
    if (entry === undefined) return;
    this.#agents.delete(agent);
    this.#tasks -= entry.tasks.size;
    if (entry.history !== undefined) this.#histories--;
  }
}
