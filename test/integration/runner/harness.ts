/**
 * What the runner's tests share: a state directory with a client on it, events to wait for, questions to /proc. Every
 * process that a test leaves is ended by its pid, never by name.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { EndedEvent, RunEvent, RunRequest, Supervisor } from "../../../agent/run/supervisor/contract.ts";
import { openSupervisor } from "../../../agent/run/supervisor/supervisor.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
/** AIRAVATA_TEST_RUNNER: the same tests on another build, as one with sanitizers. */
export const RUNNER =
  process.env.AIRAVATA_TEST_RUNNER ?? join(ROOT, `agent/runner/bin/airavata-runner-linux-${process.arch}`);
export const NODE = join(ROOT, "bin/node");
const WAIT_MS = 15_000;

export class Bench {
  readonly root: string;
  readonly stateDir: string;
  readonly events: RunEvent[] = [];
  readonly ended = new Map<string, EndedEvent>();
  client!: Supervisor;
  #wake: (() => void)[] = [];
  #keys = 0;
  readonly #mounts: string[] = [];

  constructor(parent = tmpdir()) {
    this.root = mkdtempSync(join(parent, "airavata-runner-"));
    this.stateDir = join(this.root, "state");
  }

  async open(lanes = 2): Promise<Supervisor> {
    this.client = await openSupervisor({
      stateDir: this.stateDir,
      runnerPath: RUNNER,
      lanes,
      onEvent: (event) => {
        this.events.push(event);
        if (event.type === "ended") this.ended.set(event.key, event);
        for (const wake of this.#wake.splice(0)) wake();
      },
    });
    return this.client;
  }

  request(argv: RunRequest["argv"], more: Partial<RunRequest> = {}): RunRequest {
    const key = more.key ?? `k${++this.#keys}`;
    return {
      key,
      argv,
      env: ["PATH=/usr/bin:/bin"],
      cwd: this.root,
      stdoutPath: join(this.root, `${key}.out`),
      stderrPath: join(this.root, `${key}.err`),
      outputLimitBytes: 1 << 20,
      wallMs: 0,
      graceMs: 200,
      ...more,
    };
  }

  /** Gives a shell text to a lane; its key. */
  start(text: string, more: Partial<RunRequest> & { lane?: number } = {}): string {
    const { lane = 0, ...rest } = more;
    const request = this.request(["/bin/sh", "-c", text], rest);
    this.client.run(lane, request);
    return request.key;
  }

  async event<T>(find: (event: RunEvent) => T | undefined, what: string): Promise<T> {
    const until = performance.now() + WAIT_MS;
    for (;;) {
      for (const event of this.events) {
        const found = find(event);
        if (found !== undefined) return found;
      }
      const left = until - performance.now();
      if (left <= 0) throw new Error(`${what} did not come; there were ${JSON.stringify(this.events).slice(0, 2000)}`);
      const woken = new Promise<void>((resolve) => this.#wake.push(resolve));
      await Promise.race([woken, delay(left, undefined, { ref: false })]);
    }
  }

  end(key: string): Promise<EndedEvent> {
    return this.event((e) => (e.type === "ended" && e.key === key ? e : undefined), `the end of ${key}`);
  }

  started(key: string): Promise<number> {
    return this.event((e) => (e.type === "started" && e.key === key ? e.pid : undefined), `the start of ${key}`);
  }

  /** Runs a shell text to its end. */
  async shell(text: string, more: Partial<RunRequest> & { lane?: number } = {}): Promise<EndedEvent> {
    return await this.end(this.start(text, more));
  }

  file(name: string): string {
    return join(this.root, name);
  }

  /** Numbers that tasks have written into files: `echo $$ > pids/x` and the like. */
  async number(name: string): Promise<number> {
    await until(() => existsSync(this.file(name)) && readFileSync(this.file(name), "utf8").endsWith("\n"), name);
    return Number(readFileSync(this.file(name), "utf8"));
  }

  runnerPid(lane = 0): number {
    return readFileSync(join(this.stateDir, `lane-${lane}.state`)).readInt32LE(12);
  }

  supervisorPid(): number {
    const file = join(this.stateDir, "supervisor.lock");
    return existsSync(file) ? Number(/^pid (\d+)/.exec(readFileSync(file, "utf8"))?.[1] ?? 0) : 0;
  }

  /** A file system of that size at a folder below our root; needs root. */
  mount(path: string, size: string): void {
    mkdirSync(path, { recursive: true });
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", path]);
    this.#mounts.push(path);
  }

  /** Supervisor, runners and tasks all work within our root: whatever still does is ended, by its pid. */
  async dispose(): Promise<void> {
    await this.client?.close();
    await until(() => {
      const left = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && this.#worksHere(Number(name)));
      for (const pid of left) kill(Number(pid));
      return left.length === 0;
    }, "the end of all that works in the test's folder");
    for (const path of this.#mounts) execFileSync("umount", [path]);
    rmSync(this.root, { recursive: true, force: true });
  }

  #worksHere(pid: number): boolean {
    try {
      return alive(pid) && readlinkSync(`/proc/${pid}/cwd`).startsWith(this.root);
    } catch {
      return false;
    }
  }
}

export function bench(t: TestContext, parent?: string): Bench {
  const it = new Bench(parent);
  t.after(() => it.dispose());
  return it;
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    /* It has ended by itself since we looked. */
  }
}

/** A zombie is not alive. */
export function alive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return !"ZX".includes(stat.slice(stat.lastIndexOf(")") + 2)[0] as string);
  } catch {
    return false;
  }
}

export async function until(holds: () => boolean, what: string, ms = WAIT_MS): Promise<void> {
  const deadline = performance.now() + ms;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`waited ${ms} ms in vain: ${what}`);
    await delay(5);
  }
}

/** Resident memory without what is mapped from files. */
export function residentBytes(pid: number): number {
  return Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1024;
}
