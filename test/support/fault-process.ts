/** Processes that a test kills and starts again, what the kernel knows about them, and those that a task left behind. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

const LOOK_AGAIN_MS = 20;

/** Waits until `look` gives something; throws after a time that only a hang takes. */
export async function until<T>(
  what: string,
  look: () => T | undefined | false | Promise<T | undefined | false>,
  timeoutMs = 60_000,
): Promise<T> {
  for (const deadline = performance.now() + timeoutMs; ; ) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`not so within ${timeoutMs / 1_000} s: ${what}`);
    await delay(LOOK_AGAIN_MS);
  }
}

export interface Command {
  name: string;
  program: string;
  words: string[];
  env: NodeJS.ProcessEnv;
  /** Takes both streams, after those of former processes. */
  log: string;
}

/** One process at a time of one command. */
export class FaultProcess {
  readonly command: Command;
  #child: ChildProcess | undefined;
  #sayings = "";

  constructor(command: Command) {
    this.command = command;
  }

  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error(`${this.command.name} does not run`);
    return this.#child.pid;
  }

  /** What the present process wrote to its standard output. */
  get said(): string {
    return this.#sayings;
  }

  /** Its exit code or signal; undefined while it runs. */
  get ended(): number | string | undefined {
    return this.#child?.signalCode ?? this.#child?.exitCode ?? undefined;
  }

  start(): void {
    const { program, words, env, log } = this.command;
    const file = openSync(log, "a");
    const child = spawn(program, words, { env, stdio: ["ignore", "pipe", file], cwd: "/" });
    closeSync(file);
    this.#sayings = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      if (this.#child === child) this.#sayings += text;
    });
    this.#child = child;
  }

  /** Sends the signal and waits for the end. Nothing happens when it has ended. */
  async kill(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined || this.ended !== undefined) return;
    const gone = once(child, "exit");
    child.kill(signal);
    await gone;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** Waits for its own end; the exit code or signal. */
  async gone(timeoutMs = 60_000): Promise<number | string> {
    return until(`${this.command.name} ends`, () => this.ended, timeoutMs);
  }
}

/** Whether it runs; a zombie does not. */
export function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

/** Resident bytes: now, and the most there ever were. */
export function memoryOf(pid: number): { nowBytes: number; mostBytes: number } {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const kib = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0);
  return { nowBytes: kib("VmRSS") * 1_024, mostBytes: kib("VmHWM") * 1_024 };
}

interface SeenProcess {
  pid: number;
  words: string[];
}

/** Live processes. */
function allProcesses(): SeenProcess[] {
  const found: SeenProcess[] = [];
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      if (/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2))) continue;
      const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
      found.push({ pid, words });
    } catch {
      // It ended meanwhile.
    }
  }
  return found;
}

/** Supervisors or runners of an agent's output directory: all of them work in its state. */
export function runnerProcesses(outputDir: string, role: "supervise" | "run"): number[] {
  const found = allProcesses()
    .filter(({ words }) => words[0]?.includes("airavata-runner") && words[1] === role)
    .map(({ pid }) => pid)
    .filter((pid) => worksBelow(pid, outputDir));
  // A task between its fork and its exec has its runner's name: who kills that one kills the task.
  return found.filter((pid) => !found.includes(parentOf(pid)));
}

function parentOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return 0;
  }
}

/** Processes that work in a directory or below it: tasks whose runner is gone do. */
export function processesBelow(directory: string): number[] {
  return allProcesses()
    .map(({ pid }) => pid)
    .filter((pid) => worksBelow(pid, directory));
}

function worksBelow(pid: number, directory: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/cwd`).startsWith(`${directory}/`);
  } catch {
    return false;
  }
}

/** Processes whose environment holds all these texts: those of a task carry what its experiment gave them. */
export function processesWith(...texts: string[]): number[] {
  return allProcesses()
    .map(({ pid }) => pid)
    .filter((pid) => {
      try {
        const environment = readFileSync(`/proc/${pid}/environ`, "utf8");
        return pid !== process.pid && texts.every((text) => environment.includes(text));
      } catch {
        return false;
      }
    });
}
