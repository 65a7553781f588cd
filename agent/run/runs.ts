/**
 * Runs attempts: prepares them, gives them to their lanes, hears of their ends and collects what they left. It knows
 * nothing of leases and sessions; it is told what to do, and tells a port what happened.
 */
import { lstat } from "node:fs/promises";
import { join } from "node:path";
import { errorLine } from "../../shared/error/error.ts";
import { Blame, Outcome } from "../../shared/model/attempt.ts";
import type { OutputDefinition } from "../../shared/model/definition.ts";
import { type AttemptKey, parseAttemptKey } from "../../shared/model/ids.ts";
import type { Requirement } from "../../shared/model/requirement.ts";
import { attemptPath, type PublishedAttempt, publish } from "../link/publish.ts";
import type { AttemptEnd } from "../report/end.ts";
import type { RunnableAttempt } from "./attempt.ts";
import { collect, isPlain } from "./collect.ts";
import type { Variable } from "./environment.ts";
import { MemoryEvents } from "./memory-events.ts";
import { attemptEnd, needsEvidence } from "./outcome.ts";
import { type PreparedRun, prepareRun, runRequest } from "./prepare.ts";
import { freeBytes } from "./resources.ts";
import type { EndedEvent, HeldRun, OutputWindow, RunEvent, Supervisor } from "./supervisor/contract.ts";
import { openSupervisor } from "./supervisor/supervisor.ts";
import { Templates } from "./templates.ts";

/** What the rest of the agent hears. Called from within calls of ours, and whenever the runners say something. */
export interface RunPort {
  prepared(key: string): void;
  prepareFailed(end: AttemptEnd): void;
  started(key: string, startedAtMs: number): void;
  recalled(key: string): void;
  /** Its end follows, once it was looked at what it left. */
  exited(key: string): void;
  /** Implies `exited`. */
  ended(end: AttemptEnd): void;
  /** Runners cannot be reached; null: they can again. */
  unavailable(reason: string | null): void;
}

export interface RunsOptions {
  outputDir: string;
  stateDir: string;
  runnerPath: string;
  lanes: number;
  machineHasGpus: boolean;
  base: readonly Variable[];
  wall: () => number;
  port: RunPort;
}

/** What was held when this process came. */
export interface AdoptedRuns {
  running: { key: string; need: Requirement; lane: number; devices: number[]; startedAtMs: number }[];
  /** Their process is over; `ended` follows after `start`. */
  collecting: string[];
}

/** An attempt between its preparation and the acknowledgement of its end. */
interface Attempt {
  /** Its name at the runners: its key and, so that a next process knows them, the gpus it has. */
  runKey: string;
  prepared: PreparedRun | undefined;
  directory: string | undefined;
  outputs: readonly OutputDefinition[];
  /** Whether it left anything; undefined for what an older process has reported. */
  left: boolean | undefined;
  collecting: Promise<void> | undefined;
  /** Its first process, while it runs. */
  process: RunningProcess | undefined;
}

/** The first process of an attempt that runs. */
export interface RunningProcess {
  pid: number;
  startTicks: number;
  startedAtMs: number;
}

/** A thing that was asked for may be dropped when its answer is late: nothing of it can be lost. */
const NOTHING = (): void => {};

export class Runs {
  readonly adopted: AdoptedRuns = { running: [], collecting: [] };
  readonly templates: Templates;
  readonly #options: RunsOptions;
  readonly #attempts = new Map<string, Attempt>();
  #supervisor!: Supervisor;
  #memory!: MemoryEvents;
  /** Events that came before `start`. */
  #early: RunEvent[] | undefined = [];

  private constructor(options: RunsOptions) {
    this.#options = options;
    this.templates = new Templates(options.outputDir);
  }

  /** Reaches the runners and learns what they hold. Throws `state_directory_in_use` or `runner_unavailable`. */
  static async open(options: RunsOptions): Promise<Runs> {
    const runs = new Runs(options);
    const { stateDir, runnerPath, lanes } = options;
    runs.#memory = await MemoryEvents.open();
    runs.#supervisor = await openSupervisor({ stateDir, runnerPath, lanes, onEvent: (event) => runs.#onEvent(event) });
    await runs.#adopt();
    return runs;
  }

  /** From here on the port is called. `reported`: its end is in the outbox and is not collected again. */
  start(reported: (key: string) => boolean): void {
    const { ended } = this.#supervisor.adopted;
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const event of [...ended, ...early]) {
      if (event.type === "ended" && reported(attemptKeyOf(event.key))) continue;
      this.#onEvent(event);
    }
  }

  prepare(lease: RunnableAttempt): void {
    const { templates } = this;
    const { outputDir, base, wall, port } = this.#options;
    const attempt = newAttempt(lease.key, lease.leased?.definition.outputs ?? []);
    this.#attempts.set(lease.key, attempt);
    const tell = (result: PreparedRun | AttemptEnd): void => {
      if ("outcome" in result) {
        port.prepareFailed(result);
        return;
      }
      attempt.prepared = result;
      attempt.directory = result.directory;
      port.prepared(lease.key);
    };
    const result = prepareRun(lease, { templates, outputDir, base, wall });
    if (result instanceof Promise) void result.then(tell);
    else tell(result);
  }

  /** Undoes a preparation, which is in memory only. */
  discard(key: string): void {
    this.#attempts.delete(key);
  }

  /** Absolute path of an attempt's directory. */
  directoryOf(attempt: PublishedAttempt): string {
    return join(this.#options.outputDir, attemptPath(attempt));
  }

  run(lease: RunnableAttempt): void {
    const attempt = this.#attempts.get(lease.key);
    if (attempt?.prepared === undefined) return;
    const { machineHasGpus } = this.#options;
    if (lease.devices.length > 0) attempt.runKey = `${lease.key}:${lease.devices.join(",")}`;
    try {
      this.#supervisor.run(lease.lane, runRequest(attempt.runKey, attempt.prepared, lease, machineHasGpus));
    } catch (error) {
      const endedAtMs = Math.floor(this.#options.wall());
      const detail = `it could not be given to a runner: ${errorLine(error)}`;
      const fault = { outcome: Outcome.FAILED, blame: Blame.AGENT, exitCode: -1, signal: 0, detail };
      this.#options.port.ended({ key: lease.key, ...fault, startedAtMs: 0, endedAtMs, cpuMs: 0, memoryMaxBytes: 0 });
    }
  }

  recall(key: string): void {
    void this.#supervisor.recall(this.#runKey(key)).then((done) => {
      if (done) this.#options.port.recalled(key);
    }, NOTHING);
  }

  /** Never waits behind a queued run. An attempt that is not held any more has an end on its way. */
  kill(key: string, graceMs: number): void {
    void this.#supervisor.kill(this.#runKey(key), graceMs).catch(NOTHING);
  }

  /** The end is acknowledged, or nobody wants it: runners forget it too. */
  forget(keys: readonly string[]): void {
    for (const key of keys) {
      this.#supervisor.acknowledge(this.#runKey(key));
      this.#attempts.delete(key);
    }
  }

  /** True: it is known to have left nothing that could be linked. */
  leftNothing(key: string): boolean {
    return this.#attempts.get(key)?.left === false;
  }

  /** Makes the readable link if the attempt left anything. */
  async publish(key: string, { experiment, template, index, attempt }: AttemptKey): Promise<void> {
    const known = this.#attempts.get(key);
    const leased = await this.templates.find(experiment, template);
    if (leased === undefined) return;
    const published = { experiment, template: leased.definition.name, index, attempt };
    if (known?.left === undefined && !(await exists(this.directoryOf(published)))) return;
    await publish(this.#options.outputDir, published);
  }

  /** Attempts that run now and were started before `beforeMs` of the wall clock. */
  running(beforeMs: number): (RunningProcess & { key: string })[] {
    const found: (RunningProcess & { key: string })[] = [];
    for (const [key, { process }] of this.#attempts) {
      if (process !== undefined && process.startedAtMs < beforeMs) found.push({ ...process, key });
    }
    return found;
  }

  /** What a running attempt has written; null when it does not run, and then its files are complete. */
  async readOutput(
    key: string,
    stream: "stdout" | "stderr",
    offset: number,
    maxBytes: number,
  ): Promise<OutputWindow | null> {
    const window = await this.#supervisor.readOutput(this.#runKey(key), stream, offset, maxBytes);
    if (window === null) await this.#attempts.get(key)?.collecting;
    return window;
  }

  /** Lets go of the runners; tasks run on. `stop`: they leave too, nothing runs. */
  async close(stop: boolean): Promise<void> {
    await Promise.all([...this.#attempts.values()].map((attempt) => attempt.collecting));
    await this.#supervisor.close({ stop, waitMs: 1_000 });
  }

  async #adopt(): Promise<void> {
    const { running, ended } = this.#supervisor.adopted;
    for (const held of running) {
      const key = attemptKeyOf(held.key);
      const requires = await this.#recognise(key, held.key);
      if (requires === undefined) continue;
      this.adopted.running.push(adoptedRun(key, held, requires));
      if (held.phase === "running") this.#startedAs(key, held);
    }
    for (const event of ended) {
      const key = attemptKeyOf(event.key);
      if ((await this.#recognise(key, event.key)) !== undefined) this.adopted.collecting.push(key);
    }
  }

  /** Finds out what an adopted attempt is. Its requirement, or undefined when its key is none of ours. */
  async #recognise(key: string, runKey: string): Promise<Requirement | undefined> {
    const task = parseAttemptKey(key);
    if (task === undefined) return undefined;
    const leased = await this.templates.find(task.experiment, task.template);
    const attempt = newAttempt(runKey, leased?.definition.outputs ?? []);
    if (leased !== undefined) attempt.directory = this.directoryOf({ ...task, template: leased.definition.name });
    this.#attempts.set(key, attempt);
    return leased?.definition.requires ?? NO_REQUIREMENT;
  }

  #onEvent(event: RunEvent): void {
    const { port } = this.#options;
    if (this.#early !== undefined) this.#early.push(event);
    else if (event.type === "started") {
      const key = attemptKeyOf(event.key);
      this.#startedAs(key, event);
      port.started(key, Math.round(event.startedAtMs));
    } else if (event.type === "ended") this.#onEnded(event);
    else port.unavailable(event.type === "unavailable" ? event.reason : null);
  }

  #startedAs(key: string, process: RunningProcess): void {
    const attempt = this.#attempts.get(key);
    if (attempt !== undefined) attempt.process = process;
  }

  #onEnded(event: EndedEvent): void {
    const { port } = this.#options;
    const key = attemptKeyOf(event.key);
    if (event.cause === "killed" && event.startedAtMs === 0) {
      // It may be run again under the same key, so this record must not stay.
      this.#supervisor.acknowledge(event.key);
      port.recalled(key);
      return;
    }
    let attempt = this.#attempts.get(key);
    if (attempt === undefined) {
      attempt = newAttempt(event.key, []);
      this.#attempts.set(key, attempt);
    }
    attempt.prepared = undefined;
    attempt.process = undefined;
    attempt.left = !event.folderEmpty;
    const task = event.stage === "folder" ? parseAttemptKey(key) : undefined;
    if (task !== undefined) this.templates.lost(task.experiment, task.template);
    if (isPlain(event, attempt.outputs)) {
      port.ended(attemptEnd(key, event, { oomKilled: false, freeBytes: undefined }));
      return;
    }
    port.exited(key);
    attempt.collecting = this.#collect(key, attempt, event);
  }

  async #collect(key: string, attempt: Attempt, event: EndedEvent): Promise<void> {
    const { outputDir, port } = this.#options;
    const looked = needsEvidence(event);
    const [oomKilled, free] = await Promise.all([
      looked && this.#memory.killed(),
      looked ? freeBytes(outputDir).catch(() => undefined) : undefined,
    ]);
    const end = attemptEnd(key, event, { oomKilled, freeBytes: free });
    if (attempt.directory !== undefined) await collect(end, event, attempt.directory, attempt.outputs);
    attempt.collecting = undefined;
    port.ended(end);
  }

  #runKey(key: string): string {
    return this.#attempts.get(key)?.runKey ?? key;
  }
}

/** Of an adopted attempt whose template file is gone: it takes nothing, rather than making its agent refuse work. */
const NO_REQUIREMENT: Requirement = {
  cpus: 0,
  memoryBytes: 0,
  gpus: 0,
  vramBytes: 0,
  diskBytes: 0,
  custom: {},
  labels: {},
  wallSeconds: 0,
};

function newAttempt(runKey: string, outputs: readonly OutputDefinition[]): Attempt {
  return {
    runKey,
    prepared: undefined,
    directory: undefined,
    outputs,
    left: undefined,
    collecting: undefined,
    process: undefined,
  };
}

function adoptedRun(key: string, held: HeldRun, need: Requirement): AdoptedRuns["running"][number] {
  const devices = held.key.slice(key.length + 1);
  const startedAtMs = Math.round(held.startedAtMs);
  return { key, need, lane: held.lane, devices: devices === "" ? [] : devices.split(",").map(Number), startedAtMs };
}

/** `17.0.42.3:0,1` is `17.0.42.3` with gpus 0 and 1. */
function attemptKeyOf(runKey: string): string {
  const at = runKey.indexOf(":");
  return at < 0 ? runKey : runKey.slice(0, at);
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}
