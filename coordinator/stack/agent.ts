/**
 * The local agents of `up`: enrolled as any other agent, each a process of its own in its own process session, so that
 * neither Ctrl-C nor the death of `up` reaches its tasks. An agent that dies is started again; one that a dead `up` left
 * behind is ended first, and the new one adopts its tasks.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Logger } from "../../shared/log/log.ts";
import { identify, isAlive, type ProcessIdentity } from "./process.ts";

export interface LocalAgentOptions {
  /** `local-1`. */
  name: string;
  dataDirectory: string;
  /** The coordinator that it dials. */
  url: string;
  /** A fresh enrolment token, for a start without an identity. */
  enrolmentToken(): Promise<string>;
  /** Whether the coordinator knows the agent of an identity that is there. */
  isEnrolled(agent: number, name: string): Promise<boolean>;
  environment: NodeJS.ProcessEnv;
  log: Logger;
}

export interface LocalAgent {
  /** Process id of the running agent; undefined between a death and the next start. */
  pid(): number | undefined;
  /** Lets it leave; what it runs lives on under its supervisor and is adopted by the next one. */
  stop(): Promise<void>;
}

/** After a death: at once nearly, then doubling. One that lived for a minute begins anew. */
const RESTART_FIRST_MS = 200;
const RESTART_CAP_MS = 10_000;
const LIVED_MS = 60_000;
/** An agent without tasks drains and leaves in milliseconds; one with tasks would wait for them, so it is killed. */
const LEAVE_MS = 1_500;
const LOG_BYTES_MAX = 10 * 1024 * 1024;

/** The command line of this checkout; agent and coordinator share no code. */
const PROGRAM = fileURLToPath(new URL("../../bin/airavata.ts", import.meta.url));

export async function startLocalAgent(options: LocalAgentOptions): Promise<LocalAgent> {
  const { name, log } = options;
  const home = join(options.dataDirectory, "agents", name);
  await endLeftBehind(join(home, "agent.json"), log);
  await setAsideForeign(options, home);
  await mkdir(home, { recursive: true, mode: 0o700 });
  const stopping = new AbortController();
  let child: ChildProcess | undefined;
  const running = (async () => {
    for (let failures = 0; !stopping.signal.aborted; ) {
      const startedMono = performance.now();
      try {
        child = await launch(options, home);
        const how = await ended(child);
        if (stopping.signal.aborted) return;
        if (child.exitCode === 0) {
          // It leaves with 0 only when it was drained: whoever asked for that does not want it back at once.
          log.info("the local agent was drained and left; it is started again with the stack", { agent: name });
          child = undefined;
          return;
        }
        if (await isRevoked(options, home)) {
          log.warn("the local agent was revoked; another one enrols when the stack starts again", { agent: name });
          child = undefined;
          return;
        }
        log.warn("the local agent ended; it is started again", { agent: name, how, log: join(home, "agent.log") });
      } catch (error) {
        log.warn("the local agent could not be started; it is tried again", { agent: name, error });
      }
      child = undefined;
      failures = performance.now() - startedMono > LIVED_MS ? 0 : failures + 1;
      const pauseMs = Math.min(RESTART_CAP_MS, RESTART_FIRST_MS * 2 ** (failures - 1));
      await delay(failures === 0 ? 0 : pauseMs, undefined, { signal: stopping.signal }).catch(() => {});
    }
  })();
  return {
    pid: () => child?.pid,
    async stop() {
      stopping.abort();
      const leaving = child;
      leaving?.kill("SIGTERM");
      const timer = setTimeout(() => leaving?.kill("SIGKILL"), LEAVE_MS);
      await running;
      clearTimeout(timer);
      await rm(join(home, "agent.json"), { force: true });
    },
  };
}

async function launch(options: LocalAgentOptions, home: string): Promise<ChildProcess> {
  const enrolled = (await identityIn(home)) !== undefined;
  const logFile = join(home, "agent.log");
  const output = await open(logFile, "a", 0o600);
  try {
    if ((await output.stat()).size > LOG_BYTES_MAX) await output.truncate(0);
    const child = spawn(process.execPath, [...process.execArgv, PROGRAM, "agent"], {
      detached: true,
      cwd: home,
      stdio: ["ignore", output.fd, output.fd],
      env: {
        ...options.environment,
        API_URL: options.url,
        OUTPUT_DIR: join(home, "work"),
        WORKER_ID: options.name,
        // Its identity holds wherever the coordinator listens this time; a token would make it enrol anew.
        AIRAVATA_ENROLMENT_TOKEN: enrolled ? undefined : await options.enrolmentToken(),
      },
    });
    await new Promise((resolve, reject) => child.once("spawn", () => resolve(undefined)).once("error", reject));
    await remember(join(home, "agent.json"), child.pid!);
    return child;
  } finally {
    await output.close();
  }
}

async function identityIn(home: string): Promise<{ agent: number; name: string } | undefined> {
  try {
    return JSON.parse(await readFile(join(home, "work/state/agent.json"), "utf8"));
  } catch {
    return undefined;
  }
}

/**
 * State that another database's coordinator enrolled is moved out of the way whole: its numbers of experiments would be
 * taken for ours.
 */
async function setAsideForeign({ isEnrolled, log }: LocalAgentOptions, home: string): Promise<void> {
  const identity = await identityIn(home);
  if (!identity || (await isEnrolled(identity.agent, identity.name))) return;
  const aside = `${home}.${new Date().toISOString().replace(/[:.]/g, "-")}`;
  await rename(home, aside);
  log.warn("the local agent's directory belongs to a database that is gone; it was moved and a new agent enrols", {
    moved_to: aside,
  });
}

/** What it says to its coordinator is refused for good: started again it would only hear that again. */
async function isRevoked({ isEnrolled }: LocalAgentOptions, home: string): Promise<boolean> {
  const identity = await identityIn(home);
  return identity !== undefined && !(await isEnrolled(identity.agent, identity.name).catch(() => true));
}

function ended(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    const tell = (code: number | null, signal: string | null): void => resolve(signal ?? `exit code ${code}`);
    if (child.exitCode !== null || child.signalCode !== null) tell(child.exitCode, child.signalCode);
    else child.once("exit", tell);
  });
}

async function remember(path: string, pid: number): Promise<void> {
  const identity = await identify(pid);
  if (!identity) return;
  // Whole or not at all: who reads it meanwhile must not find half of it.
  const partial = `${path}.${pid}`;
  await writeFile(partial, JSON.stringify(identity), { mode: 0o600 });
  await rename(partial, path);
}

/** An agent whose `up` was killed still holds the state directory, and may dial where nobody listens any more. */
async function endLeftBehind(path: string, log: Logger): Promise<void> {
  let left: ProcessIdentity;
  try {
    left = JSON.parse(await readFile(path, "utf8"));
  } catch {
    return;
  }
  if (!(await isAlive(left))) return;
  log.info("ending the agent that a former stack left behind; its tasks go on", { pid: left.pid });
  signal(left.pid, "SIGTERM");
  for (let waitedMs = 0; await isAlive(left); waitedMs += 50) {
    if (waitedMs === LEAVE_MS) signal(left.pid, "SIGKILL");
    await delay(50);
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // Gone between the look and the signal.
  }
}
