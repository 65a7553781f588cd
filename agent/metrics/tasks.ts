/**
 * Samples what running tasks use. A task is the tree of processes under its runner, which is their subreaper: what forked
 * twice and lost its parent is the runner's child, so nothing escapes the count. Work is cut in slices, so that a thousand
 * tasks never hold up the loop.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { TaskUsage } from "../../shared/model/usage.ts";
import { type ProcessStat, parseChildren, parseIo, parseStat } from "./proc.ts";
import { readNames, readText } from "./read.ts";

/** A task that runs now, as its runner told. */
export interface RunningTask {
  key: string;
  /** Its first process. */
  pid: number;
  startTicks: number;
}

/** Counts what the work between `resume` and `pause` takes. */
export interface Meter {
  resume(): void;
  pause(): void;
}

/** Processes of one task that are looked at; a task with more shows at least these. */
const PROCESSES_MAX = 256;
/** Threads of one process that are asked for children. */
const THREADS_MAX = 64;
const SLICE_MS = 2;
/** As the kernel cuts it. */
const RUNNER_NAME = "airavata-runner";

/** What a task had used at the sample before. */
interface Seen extends Pick<TaskUsage, "cpuMs" | "memoryPeakBytes" | "readBytes" | "writtenBytes"> {
  pid: number;
  atMono: number;
  /** Bytes of each process, by its number and start: what an ended one had is not counted again and not lost. */
  io: Map<string, [read: number, written: number]>;
}

export class TaskSampler {
  #seen = new Map<string, Seen>();
  readonly #pageBytes: number;
  readonly #proc: string;

  /** `proc` is `/proc` but in tests. */
  constructor(pageBytes: number, proc = "/proc") {
    this.#pageBytes = pageBytes;
    this.#proc = proc;
  }

  /** Tasks that have ended meanwhile are left out. `meter` is told when the loop is given away. */
  async sample(
    tasks: readonly RunningTask[],
    mono: () => number,
    meter: Meter,
  ): Promise<{ key: string; usage: TaskUsage }[]> {
    const before = this.#seen;
    const seen = new Map<string, Seen>();
    const sampled: { key: string; usage: TaskUsage }[] = [];
    let sliceMono = mono();
    for (const task of tasks) {
      if (mono() - sliceMono > SLICE_MS) {
        meter.pause();
        await nextTurn();
        meter.resume();
        sliceMono = mono();
      }
      const usage = this.#measure(task, before.get(task.key), seen, mono());
      if (usage !== undefined) sampled.push({ key: task.key, usage });
    }
    this.#seen = seen;
    return sampled;
  }

  #measure(
    task: RunningTask,
    before: Seen | undefined,
    seen: Map<string, Seen>,
    atMono: number,
  ): TaskUsage | undefined {
    const main = this.#stat(task.pid);
    // Another process got its number: the task is over.
    if (main === undefined || main.startTicks !== task.startTicks) return undefined;
    const former = before?.pid === task.pid ? before : undefined;
    const now = { cpuMs: 0, pages: 0, readBytes: former?.readBytes ?? 0, writtenBytes: former?.writtenBytes ?? 0 };
    const io: Seen["io"] = new Map();
    this.#walk(task.pid, main, (pid, stat) => {
      now.cpuMs += stat.cpuMs;
      now.pages += stat.residentPages;
      const bytes = parseIo(readText(`${this.#proc}/${pid}/io`) ?? "");
      if (bytes === undefined) return;
      const id = `${pid}.${stat.startTicks}`;
      const [read, written] = former?.io.get(id) ?? [0, 0];
      now.readBytes += Math.max(0, bytes.readBytes - read);
      now.writtenBytes += Math.max(0, bytes.writtenBytes - written);
      io.set(id, [bytes.readBytes, bytes.writtenBytes]);
    });
    const memoryBytes = now.pages * this.#pageBytes;
    // A child that nobody waited for takes its time with it.
    const cpuMs = Math.max(Math.round(now.cpuMs), former?.cpuMs ?? 0);
    const usage: TaskUsage = {
      cpuMs,
      cpuPermille: former ? Math.round((1000 * (cpuMs - former.cpuMs)) / Math.max(1, atMono - former.atMono)) : 0,
      memoryBytes,
      memoryPeakBytes: Math.max(memoryBytes, former?.memoryPeakBytes ?? 0),
      readBytes: now.readBytes,
      writtenBytes: now.writtenBytes,
    };
    const { memoryPeakBytes, readBytes, writtenBytes } = usage;
    seen.set(task.key, { pid: task.pid, atMono, cpuMs, memoryPeakBytes, readBytes, writtenBytes, io });
    return usage;
  }

  /** The first process, what descends from it, and what its runner has adopted of it. */
  #walk(first: number, main: ProcessStat, visit: (pid: number, stat: ProcessStat) => void): void {
    visit(first, main);
    const queue = this.#children(first, main.threads);
    // Where the runner has died its task has another parent, whose other children are strangers.
    if (this.#stat(main.parent)?.name === RUNNER_NAME) queue.push(...this.#children(main.parent, 1));
    const known = new Set([first]);
    for (let i = 0; i < queue.length && known.size < PROCESSES_MAX; i++) {
      const pid = queue[i] as number;
      if (known.has(pid)) continue;
      known.add(pid);
      const stat = this.#stat(pid);
      if (stat === undefined || stat.startTicks < main.startTicks || stat.name === RUNNER_NAME) continue;
      visit(pid, stat);
      for (const child of this.#children(pid, stat.threads)) queue.push(child);
    }
  }

  #stat(pid: number): ProcessStat | undefined {
    const text = readText(`${this.#proc}/${pid}/stat`);
    return text === undefined ? undefined : parseStat(text);
  }

  #children(pid: number, threads: number): number[] {
    const folder = `${this.#proc}/${pid}/task`;
    const ids = threads === 1 ? [String(pid)] : readNames(folder).slice(0, THREADS_MAX);
    return ids.flatMap((thread) => parseChildren(readText(`${folder}/${thread}/children`) ?? ""));
  }
}
