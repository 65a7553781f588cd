/**
 * The keeper as the agent sees it. An agent hands over by becoming it; a program that it started tells it on a pipe how it
 * fares. The environment names the pipe, and is cleared of that before anything else is started.
 */
import { writeSync } from "node:fs";
import type { Releases } from "./releases.ts";

/** The keeper's parent process id and descriptor, `PID:FD`. */
const KEEPER = "AIRAVATA_KEEPER";
/** Why the program that was on trial had to go; set for the former one. */
const FAILED = "AIRAVATA_UPDATE_FAILED";
/** What keep.c takes for "start what the plan names". */
const EXIT_UPDATE = 85;

export interface Keeper {
  say(line: "up" | "alone" | "healthy" | `failed ${string}`): void;
}

export interface KeeperNews {
  /** Undefined when nobody keeps this process. */
  keeper: Keeper | undefined;
  /** A sentence: the update was rolled back, and this is the former program. */
  failure: string | undefined;
}

/** Reads and clears what the keeper put into the environment. */
export function takeKeeperNews(env: NodeJS.ProcessEnv): KeeperNews {
  const [pid, fd] = (env[KEEPER] ?? "").split(":").map(Number);
  const failure = env[FAILED];
  delete env[KEEPER];
  delete env[FAILED];
  // Whoever inherited the variables from an agent is not kept.
  if (pid !== process.ppid || fd === undefined || !(fd > 2)) return { keeper: undefined, failure: undefined };
  return {
    keeper: {
      say(line) {
        try {
          writeSync(fd, `${line.replace(/\s+/g, " ").slice(0, 380)}\n`);
        } catch {
          // The keeper died, and we are about to.
        }
      },
    },
    failure,
  };
}

export interface Plan {
  candidate: string;
  former: string;
  /** The candidate may say nothing for so long, and may be on trial for so long. */
  silenceMs: number;
  trialMs: number;
  /** Of both programs, without the program's name. */
  words: readonly string[];
}

/** Writes down what the keeper is to do. */
export function writePlan(releases: Releases, plan: Plan): void {
  const seconds = (ms: number): string => String(Math.max(1, Math.ceil(ms / 1000)));
  const words = [plan.candidate, plan.former, seconds(plan.silenceMs), seconds(plan.trialMs), ...plan.words];
  releases.replace("plan", words.map((word) => `${word}\0`).join(""));
}

/** The end of this program: the plan is carried out in its place. Never returns. */
export function handOver(planPath: string, runnerPath: string, keeper: Keeper | undefined): never {
  if (keeper !== undefined) process.exit(EXIT_UPDATE);
  become(runnerPath, [runnerPath, "keep", planPath]);
}

/** Replaces this process by another program, with the same process id and environment. Never returns. */
export function become(path: string, words: string[]): never {
  const { execve } = process;
  if (execve === undefined) throw new Error("this Node cannot replace its own process");
  const silence = process.emitWarning;
  // It warns that the call is new; nobody who reads an agent's log can do anything about that.
  process.emitWarning = () => {};
  try {
    execve.call(process, path, words, process.env as Record<string, string>);
  } finally {
    process.emitWarning = silence;
  }
  throw new Error(`${path} could not be started`);
}
