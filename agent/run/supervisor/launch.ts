/**
 * Reaches the supervisor of a state directory and starts it when there is none. That start is the only process that the
 * agent ever spawns itself; it is detached, and what it holds outlives the agent.
 */
import { spawn } from "node:child_process";
import { closeSync, constants, mkdirSync, openSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { AiravataError } from "../../../shared/error/error.ts";

/** A supervisor is ready within milliseconds; a slow disk and adoption of many runners may take a while. */
const START_TIMEOUT_MS = 10_000;
/** Exit status of a supervisor that found another one owning the directory. */
const EXIT_OWNED = 3;

/** Never there, dead, dying while we connect, or with a full backlog: worth another try. */
const NOT_THERE = new Set(["ENOENT", "ECONNREFUSED", "ECONNRESET", "EAGAIN"]);

/** Connects to a socket of the state directory by way of a descriptor: its path may be longer than an address can be. */
export function connectIn(stateDir: string, name: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    let folder: number;
    try {
      folder = openSync(stateDir, constants.O_RDONLY | constants.O_DIRECTORY);
    } catch (error) {
      reject(error);
      return;
    }
    const socket = connect({ path: `/proc/self/fd/${folder}/${name}` });
    const settle = (error?: Error) => {
      closeSync(folder);
      socket.removeListener("error", settle);
      if (error === undefined) resolve(socket);
      else reject(error);
    };
    socket.once("connect", () => settle());
    socket.once("error", settle);
  });
}

/**
 * The supervisor's socket. Throws `runner_unavailable` with what the supervisor said when it cannot be started, or when
 * it is not `wanted` any more: a client that was closed meanwhile must leave no supervisor behind.
 */
export async function reachSupervisor(stateDir: string, runnerPath: string, wanted: () => boolean): Promise<Socket> {
  if (!wanted()) throw unavailable(stateDir, "the client was closed");
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const deadline = performance.now() + START_TIMEOUT_MS;
  for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 2, 100)) {
    try {
      return await connectIn(stateDir, "supervisor.sock");
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (!NOT_THERE.has(code ?? "")) throw unavailable(stateDir, code ?? "no answer", error);
      if (performance.now() > deadline) throw unavailable(stateDir, "it does not listen", error);
    }
    if (!wanted()) throw unavailable(stateDir, "the client was closed");
    /* Two agents may start at once: the second supervisor finds the directory owned, and the first one is there. */
    if (!(await startSupervisor(stateDir, runnerPath))) await delay(pauseMs);
  }
}

/** True: started and listening. False: another one owns the directory. */
function startSupervisor(stateDir: string, runnerPath: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const child = spawn(runnerPath, ["supervise", stateDir], {
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: {},
      cwd: "/",
    });
    let said = "";
    const settle = (act: () => void) => {
      clearTimeout(timer);
      child.removeAllListeners();
      child.stdout.destroy();
      child.stderr.destroy();
      child.unref();
      act();
    };
    const timer = setTimeout(
      () => settle(() => reject(unavailable(stateDir, `it was not ready within ${START_TIMEOUT_MS} ms`))),
      START_TIMEOUT_MS,
    );
    child.stdout.on("data", () => settle(() => resolve(true)));
    child.stderr.on("data", (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(0, 1000);
    });
    child.once("error", (error) => settle(() => reject(unavailable(stateDir, `${runnerPath} does not start`, error))));
    child.once("close", (code, signal) => {
      if (code === EXIT_OWNED) settle(() => resolve(false));
      else settle(() => reject(unavailable(stateDir, said.trim() || `it ended with ${code ?? signal}`)));
    });
  });
}

function unavailable(stateDir: string, why: string, cause?: unknown): AiravataError {
  return new AiravataError("runner_unavailable", `The supervisor of ${stateDir} cannot be reached: ${why}.`, { cause });
}
