/**
 * Finds the embedded stack of a data directory, and starts one when there is none. `stack.json` names a live stack only
 * when the process it names is that very process: same pid, same start time, same boot.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { AiravataError } from "../../shared/error/error.ts";
import { printable } from "./terminal.ts";

/** A first start makes a database: seconds on a good disk. Beyond this it is said to have failed. */
const START_TIMEOUT_MS = 90_000;
const POLL_MS = 50;
const LOG_LINES_SHOWN = 12;
const LOG_BYTES_READ = 16 * 1024;
/** Of the log at a start; older lines are dropped then. */
const LOG_BYTES_MAX = 10 * 1024 * 1024;

export interface LiveStack {
  url: string;
  pid: number;
}

/** The live stack that `stack.json` names, or undefined: no file, or its owner is gone. */
export async function findStack(dataDir: string): Promise<LiveStack | undefined> {
  let stack: { pid?: unknown; start_time?: unknown; boot_id?: unknown; url?: unknown };
  try {
    stack = JSON.parse(await readFile(join(dataDir, "stack.json"), "utf8"));
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === "EACCES") throw foreignError(dataDir, cause);
    // Missing, or being written just now: the caller looks again.
    return undefined;
  }
  const { pid, url } = stack;
  if (typeof pid !== "number" || typeof url !== "string") return undefined;
  const now = await processIdentity(pid);
  if (now === undefined || now.startTime !== String(stack.start_time) || now.bootId !== stack.boot_id) return undefined;
  return { url, pid };
}

/** What tells a process from a later one with the same pid; undefined when there is none. */
async function processIdentity(pid: number): Promise<{ startTime: string; bootId: string } | undefined> {
  try {
    const [stat, bootId] = await Promise.all([
      readFile(`/proc/${pid}/stat`, "utf8"),
      readFile("/proc/sys/kernel/random/boot_id", "utf8"),
    ]);
    // The name in parentheses may hold anything; what follows its last one is fields from the third on.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (fields[0] === "Z") return undefined;
    return { startTime: fields[19] ?? "", bootId: bootId.trim() };
  } catch {
    return undefined;
  }
}

/**
 * Starts `up` detached from this terminal and waits until its stack is live; a stack that somebody else brings up
 * meanwhile will do as well. Throws `stack_start_failed` with the last lines of its log.
 */
export async function startStack(dataDir: string, environment: NodeJS.ProcessEnv): Promise<LiveStack> {
  const entry = coordinatorEntry();
  if (entry === undefined) {
    throw new AiravataError(
      "server_not_configured",
      "No server is configured, and this executable holds no coordinator to start: set AIRAVATA_SERVER (or --server) to its URL.",
    );
  }
  const logPath = join(dataDir, "up.log");
  const child = await launch(entry, dataDir, logPath, environment);
  let ended: string | undefined;
  child.once("error", (error) => (ended = error.message));
  child.once("exit", (code, signal) => (ended = signal ? `signal ${signal}` : `exit code ${code}`));
  const deadline = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    // Looked at before the stack is: one that ended because another one has the directory leaves that one's file behind.
    const over = ended ?? (performance.now() > deadline ? "no answer in time" : undefined);
    const stack = await findStack(dataDir);
    if (stack !== undefined) {
      child.unref();
      return stack;
    }
    if (over !== undefined) throw await startError(dataDir, logPath, over);
    await delay(POLL_MS);
  }
}

/** The coordinator's program beside this one; undefined in the single executable. */
function coordinatorEntry(): string | undefined {
  if (!import.meta.url) return undefined;
  const path = fileURLToPath(new URL("../../coordinator/main.ts", import.meta.url));
  return existsSync(path) ? path : undefined;
}

async function launch(
  entry: string,
  dataDir: string,
  logPath: string,
  environment: NodeJS.ProcessEnv,
): Promise<ChildProcess> {
  try {
    await mkdir(dataDir, { recursive: true });
    // Appended to: a second start at the same time must not take away what the first one says.
    const log = await open(logPath, "a", 0o600);
    try {
      if ((await log.stat()).size > LOG_BYTES_MAX) await log.truncate(0);
      return spawn(
        process.execPath,
        [
          ...process.execArgv,
          entry,
          "up",
          "--port",
          "0",
          "--idle-exit",
          "10m",
          "--log-format",
          "text",
          "--data-dir",
          dataDir,
        ],
        { detached: true, stdio: ["ignore", log.fd, log.fd], cwd: "/", env: environment },
      );
    } finally {
      await log.close();
    }
  } catch (cause) {
    throw foreignError(dataDir, cause);
  }
}

async function startError(dataDir: string, logPath: string, how: string): Promise<AiravataError> {
  const lines = await lastLines(logPath);
  const said = lines.length === 0 ? "" : ` It said:\n${lines.map((line) => `    ${line}`).join("\n")}`;
  return new AiravataError(
    "stack_start_failed",
    `The embedded stack in ${dataDir} did not come up (${how}); its log is ${logPath}.${said}`,
  );
}

async function lastLines(path: string): Promise<string[]> {
  try {
    const text = (await readFile(path)).subarray(-LOG_BYTES_READ).toString("utf8");
    return printable(text).trimEnd().split("\n").slice(-LOG_LINES_SHOWN).filter(Boolean);
  } catch {
    return [];
  }
}

function foreignError(dataDir: string, cause: unknown): AiravataError {
  return new AiravataError(
    "stack_start_failed",
    `The data directory ${dataDir} cannot be used by this user: choose another one with --data-dir.`,
    { cause },
  );
}

/**
 * The live stack, or a new one in place of one that died without taking its `stack.json` along; undefined when it was
 * ended in order, which somebody wanted.
 */
export async function reviveStack(dataDir: string, environment: NodeJS.ProcessEnv): Promise<LiveStack | undefined> {
  const live = await findStack(dataDir);
  if (live !== undefined) return live;
  return existsSync(join(dataDir, "stack.json")) ? startStack(dataDir, environment) : undefined;
}
