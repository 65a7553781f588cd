/**
 * One agent: takes its state directory, enrols or finds its identity, adopts what runs, and then performs what the pure
 * core (lease/step.ts) decides. Everything that happens becomes an event of the core, in order; this file decides nothing.
 */
import { mkdir } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { AiravataError, errorLine } from "../shared/error/error.ts";
import type { Logger } from "../shared/log/log.ts";
import type { Capacity } from "../shared/model/requirement.ts";
import { type Clock, systemClock } from "../shared/time/clock.ts";
import { NO_MUTATIONS } from "./lease/mutations.ts";
import { createAgentState } from "./lease/state.ts";
import { Outbox } from "./report/outbox.ts";
import { baseEnvironment } from "./run/environment.ts";
import { findResources, type StatedResources } from "./run/resources.ts";
import { Runs } from "./run/runs.ts";
import { type Identity, loadOrEnrol, rootIdentity } from "./session/identity.ts";
import { type Ownership, takeOwnership } from "./session/owner.ts";
import type { TlsFiles } from "./session/proxy.ts";
import { refuseUnverified, secureContext } from "./session/trust.ts";
import { type Ending, Shell } from "./shell.ts";
import { handOver, type KeeperNews } from "./update/keeper.ts";
import type { OwnProgram } from "./update/updater.ts";

/** A runner each; they are started on demand and what fits is decided by resources. */
const LANES_MAX = 1_024;

export interface AgentOptions {
  /** `http(s)://host:port` of the coordinator. */
  apiUrl: string;
  /** Root of task directories and state; made when missing. */
  outputDir: string;
  /** Name to enrol under. */
  name: string;
  /** Needed for the first start only. */
  enrolmentToken?: string | undefined;
  /** Where it believes to be, when it enrols. */
  computeResource?: string | undefined;
  /** A key that is older is replaced; 0: none is. */
  keyMaxAgeMs: number;
  /** The program `airavata-runner`, or how to get it into the state directory. */
  runnerPath: string | ((stateDir: string) => Promise<string>);
  resources: StatedResources;
  /** Names of variables of `env` that tasks get too. */
  passEnv: readonly string[];
  pollIntervalMs: number;
  /** How long the allocation around the agent still lasts; null: nothing bounds it. */
  lastsMs: number | null;
  /** Period of the node's figures; 0: none are sampled. */
  metricsIntervalMs: number;
  /** A drain that takes longer ends in leaving: what still runs is adopted by the next start. */
  drainTimeoutMs: number;
  /** This program, and how another version of it is started in its place. */
  program: OwnProgram;
  /** What the keeper that started this process says. */
  news: KeeperNews;
  /** How long a new program may be silent while it is on trial. */
  updateTrialMs: number;
  env: Record<string, string | undefined>;
  /** Whom it trusts and what it shows where the coordinator speaks TLS. */
  tls?: TlsFiles;
  log: Logger;
  clock?: Clock;
}

export interface RunningAgent {
  readonly agent: number;
  readonly name: string;
  readonly capacity: Capacity;
  /** Resolves when it has left: drained, told to leave, or stopped. All files and sockets are closed then. */
  readonly over: Promise<Ending>;
  /** Finishes what runs, gives the rest back, leaves; at the latest after `drainTimeoutMs`. It is not taken back. */
  drain(reason: string): void;
  /** Leaves at once; tasks run on under their runners, and the next start on this directory adopts them. */
  stop(): Promise<void>;
  /** After it left as `updated`: the new program takes the place of this process. */
  handOver(): never;
}

/**
 * Starts an agent; resolves when it works, connected or not yet. Throws `agent_not_enrolled`, `server_unreachable` (while
 * enrolling), `state_directory_in_use`, `output_directory_unusable`, `outbox_unusable`, `runner_…`, `setting_invalid`.
 */
export async function createAgent(options: AgentOptions): Promise<RunningAgent> {
  const stateDir = await makeDirectories(options.outputDir);
  const ownership = await withRoom(options.outputDir, takeOwnership(stateDir));
  try {
    return await withRoom(options.outputDir, start(options, stateDir, ownership));
  } catch (error) {
    await ownership.release();
    throw error;
  }
}

/** On a full disk nothing can be taken or started: whoever reads this must make room, and needs to know what of his tasks. */
async function withRoom<T>(outputDir: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== "ENOSPC" && code !== "EDQUOT") throw cause;
    throw new AiravataError(
      "output_directory_unusable",
      `the disk of the output directory ${outputDir} is full (${code}): make room and start the agent again; what it ran goes on under its runners and is reported then`,
      { cause },
    );
  }
}

async function start(options: AgentOptions, stateDir: string, ownership: Ownership): Promise<RunningAgent> {
  const {
    apiUrl,
    outputDir,
    name,
    computeResource,
    enrolmentToken: token,
    env,
    tls,
    log,
    clock = systemClock,
  } = options;
  refuseUnverified(env);
  // Files that cannot be used are told now, not again and again by a session that never comes.
  if (apiUrl.startsWith("https:")) secureContext(tls ?? {});
  const identity = await loadOrEnrol({ stateDir, apiUrl, name, token, computeResource, env, tls });
  const [root, { capacity, gpuDevices }] = await Promise.all([
    rootIdentity(outputDir),
    findResources(outputDir, options.resources),
  ]);
  const { runnerPath } = options;
  const runner = typeof runnerPath === "string" ? runnerPath : await runnerPath(stateDir);
  const shell = new Shell({
    stateDir,
    outputDir,
    apiUrl,
    env,
    tls,
    metricsIntervalMs: options.metricsIntervalMs,
    update: { own: options.program, news: options.news, trialMs: options.updateTrialMs },
    identity,
    keyMaxAgeMs: options.keyMaxAgeMs,
    ownership,
    log,
    clock,
  });
  const runs = await Runs.open({
    outputDir,
    stateDir: join(stateDir, "runners"),
    runnerPath: runner,
    lanes: LANES_MAX,
    machineHasGpus: gpuDevices.length > 0,
    base: baseEnvironment(options.passEnv, env),
    wall: () => clock.wall(),
    port: shell.runPort,
  });
  try {
    const outbox = await Outbox.open({
      path: join(stateDir, "outbox.log"),
      onTrouble: (reason) => shell.hold("outbox", reason),
    });
    const { lastsMs, pollIntervalMs } = options;
    const program = options.program.version;
    const state = createAgentState({
      agent: identity.agent,
      name: identity.name,
      program,
      platform: `${process.platform}-${process.arch}`,
      hostname: hostname(),
      root,
      capacity,
      lanesMax: LANES_MAX,
      gpuDevices,
      lastsUntilMs: lastsMs === null ? null : clock.wall() + lastsMs,
      pollIntervalMs,
      timeline: identity.timeline,
      random: Math.random,
      mutations: NO_MUTATIONS,
    });
    shell.begin(state, runs, outbox);
  } catch (error) {
    await runs.close(false);
    throw error;
  }
  report(log, identity, apiUrl, capacity, runs);
  return {
    agent: identity.agent,
    name: identity.name,
    capacity,
    over: shell.over,
    drain: (reason) => shell.drain(reason, options.drainTimeoutMs),
    stop: () => shell.stop(),
    handOver: () => handOver(shell.planPath, runner, options.news.keeper),
  };
}

/** The output directory and the state directory in it, which is nobody else's business. */
async function makeDirectories(outputDir: string): Promise<string> {
  const stateDir = join(outputDir, "state");
  try {
    await mkdir(outputDir, { recursive: true });
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    return stateDir;
  } catch (cause) {
    throw new AiravataError(
      "output_directory_unusable",
      `the output directory ${outputDir} cannot be used: ${errorLine(cause)}; give --output-dir (OUTPUT_DIR) a directory that this user may write`,
      { cause },
    );
  }
}

function report(log: Logger, identity: Identity, apiUrl: string, capacity: Capacity, runs: Runs): void {
  const { running, collecting } = runs.adopted;
  const { cpus, memoryBytes, gpus, diskBytes } = capacity;
  log.info("agent started", {
    agent: identity.agent,
    name: identity.name,
    server: apiUrl,
    cpus,
    memory_bytes: memoryBytes,
    gpus,
    disk_bytes: diskBytes,
    adopted: running.length,
    ended_meanwhile: collecting.length,
  });
}
