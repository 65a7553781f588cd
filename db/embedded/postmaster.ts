/**
 * The postgres process itself: started in a session of its own, found again by its `postmaster.pid`, asked to stop. It
 * outlives the coordinator on purpose: after a kill -9 of ours the next start finds it running and takes it over, which
 * costs nothing, where a dead one would first have to recover.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, readlinkSync, realpathSync, renameSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Binaries } from "./binaries.ts";
import { embeddedFailure } from "./cluster.ts";
import type { RunAs } from "./user.ts";

/** Where clients find it: a Unix socket in `directory`, or a port of 127.0.0.1. */
export type Listening = { directory: string } | { port: number };

export interface Postmaster {
  pid: number;
  listening: Listening;
  /** The program that runs; ends in " (deleted)" when its file is gone. */
  program: string;
}

export interface StartOptions {
  binaries: Binaries;
  data: string;
  runAs: RunAs;
  listening: Listening;
  /** Takes what postgres writes. */
  logFile: string;
  /** Further settings, which win. */
  settings?: Record<string, string>;
}

/** Names the socket file; no TCP port of this number is opened. */
export const SOCKET_PORT = 5432;
/** `sockaddr_un` holds 108 bytes with the end. */
const SOCKET_PATH_BYTES_MAX = 107;
const LOG_BYTES_MAX = 10 * 2 ** 20;
const POLL_MS = 10;
/** Recovery after a crash replays at most the WAL kept, 1 GB: seconds, or minutes on a slow disk. */
const READY_TIMEOUT_MS = 300_000;
const FAST_STOP_MS = 10_000;
const IMMEDIATE_STOP_MS = 5_000;

/** Whether a socket in this directory has a name that the kernel takes. */
export function fitsSocket(directory: string): boolean {
  return Buffer.byteLength(join(directory, `.s.PGSQL.${SOCKET_PORT}`)) <= SOCKET_PATH_BYTES_MAX;
}

/** A port of 127.0.0.1 that was free just now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/** Starts it and waits until it takes connections. Rejects with `embedded_database_failed` or `disk_full`. */
export async function startPostmaster(options: StartOptions): Promise<ChildProcess> {
  const { data, logFile } = options;
  rotate(logFile);
  const log = openSync(logFile, "a", 0o600);
  const from = statSync(logFile).size;
  const child = spawn(join(options.binaries.bin, "postgres"), ["-D", data, ...settingWords(options)], {
    ...(options.runAs ?? {}),
    cwd: data,
    env: { PATH: process.env.PATH, LC_ALL: "C", TZ: "UTC" },
    stdio: ["ignore", log, log],
    // A session of its own: Ctrl-C at our terminal is for us, and we stop it in order.
    detached: true,
  });
  closeSync(log);
  child.unref();
  let failure: unknown;
  child.on("error", (error) => (failure = error));
  for (let waited = 0; waited < READY_TIMEOUT_MS; waited += POLL_MS) {
    if (failure !== undefined || child.exitCode !== null || child.signalCode !== null) {
      throw embeddedFailure("The embedded PostgreSQL did not start", readFrom(logFile, from), failure);
    }
    const found = readPidFile(data);
    if (found?.pid === child.pid && found?.ready) return child;
    await delay(POLL_MS);
  }
  child.kill("SIGQUIT");
  throw embeddedFailure(
    `The embedded PostgreSQL was not ready within ${READY_TIMEOUT_MS / 1000} s`,
    readFrom(logFile, from),
  );
}

function settingWords(options: StartOptions): string[] {
  const { listening } = options;
  const socket = "directory" in listening;
  const settings: Record<string, string> = {
    listen_addresses: socket ? "" : "127.0.0.1",
    port: String(socket ? SOCKET_PORT : listening.port),
    // A list, in which only a quoted name may hold a comma or a space.
    unix_socket_directories: socket ? `"${listening.directory.replaceAll('"', '""')}"` : "",
    unix_socket_permissions: "0700",
    log_timezone: "UTC",
    timezone: "UTC",
    jit: "off",
    ...options.settings,
  };
  return Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}

/** The postmaster that runs on this data directory, ready or not; null when none does. */
export function findPostmaster(data: string): (Postmaster & { ready: boolean }) | null {
  const found = readPidFile(data);
  if (!found) return null;
  const program = programOf(found.pid, data);
  return program === null ? null : { ...found, program };
}

/** Waits for a postmaster that somebody else has just started; null when it is gone again. */
export async function findReadyPostmaster(data: string): Promise<Postmaster | null> {
  for (let waited = 0; waited < READY_TIMEOUT_MS; waited += POLL_MS) {
    const found = findPostmaster(data);
    if (found === null || found.ready) return found;
    await delay(POLL_MS);
  }
  throw embeddedFailure(`The embedded PostgreSQL was not ready within ${READY_TIMEOUT_MS / 1000} s`, "");
}

function readPidFile(data: string): { pid: number; listening: Listening; ready: boolean } | null {
  let lines: string[];
  try {
    lines = readFileSync(join(data, "postmaster.pid"), "utf8").split("\n");
  } catch {
    return null;
  }
  const pid = Number(lines[0]);
  if (!Number.isInteger(pid) || pid <= 0) return null;
  const directory = lines[4] ?? "";
  return {
    pid,
    listening: directory === "" ? { port: Number(lines[3]) } : { directory },
    ready: lines[7]?.trim() === "ready",
  };
}

/** The program of a live process that works in `data`; a postmaster's directory is its data directory. */
function programOf(pid: number, data: string): string | null {
  try {
    if (process.platform !== "linux") {
      process.kill(pid, 0);
      return "postgres";
    }
    if (readlinkSync(`/proc/${pid}/cwd`) !== realpathSync(data)) return null;
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return null;
  }
}

/** Asks it to end its sessions and stop (fast shutdown), then harder. Resolves when it is gone. */
export async function stopPostmaster(data: string): Promise<void> {
  const found = findPostmaster(data);
  if (!found) return;
  const steps: [NodeJS.Signals, number][] = [
    ["SIGINT", FAST_STOP_MS],
    ["SIGQUIT", IMMEDIATE_STOP_MS],
    ["SIGKILL", IMMEDIATE_STOP_MS],
  ];
  for (const [signal, patienceMs] of steps) {
    try {
      process.kill(found.pid, signal);
    } catch {
      return;
    }
    for (let waited = 0; waited < patienceMs; waited += POLL_MS) {
      if (findPostmaster(data)?.pid !== found.pid && programOf(found.pid, data) === null) return;
      await delay(POLL_MS);
    }
  }
}

function rotate(logFile: string): void {
  try {
    if (statSync(logFile).size > LOG_BYTES_MAX) renameSync(logFile, `${logFile}.1`);
  } catch {
    // There is none yet.
  }
}

function readFrom(path: string, offset: number): string {
  return readFileSync(path).subarray(offset).toString("utf8");
}
