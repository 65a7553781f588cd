/**
 * Tells when a process has started: the process writes a line into a named pipe as its first act, we read it. The same
 * program is started by a resident shell for comparison, so that what it costs itself stands on both sides.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { closeSync, constants, openSync } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";
import { runDirectory } from "../system/ending.ts";

export interface Starts {
  /** Exact argv of the program. */
  argv: string[];
  /** Monotonic ms at which the next process that runs it has started. */
  next(): Promise<number>;
  /** Starts it from a resident shell; ms from the line that asks for it to its first act. */
  spawnOnce(): Promise<number>;
  close(): void;
}

export function watchStarts(): Starts {
  const pipe = join(runDirectory("pipe"), "started");
  execFileSync("mkfifo", [pipe]);
  // Open for both ways: the pipe never ends when a writer goes.
  const descriptor = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
  const socket = new Socket({ fd: descriptor, readable: true, writable: false });
  let waiting: ((at: number) => void) | undefined;
  socket.on("data", () => {
    const at = performance.now();
    waiting?.(at);
    waiting = undefined;
  });
  const next = (): Promise<number> =>
    new Promise((resolve) => {
      waiting = resolve;
    });
  const argv = ["/bin/sh", "-c", `echo s >'${pipe}'`];
  let shell: ChildProcess | undefined;
  return {
    argv,
    next,
    spawnOnce: async () => {
      shell ??= spawn("/bin/sh", ["-c", `while read line; do /bin/sh -c "echo s >'${pipe}'"; done`], {
        stdio: ["pipe", "ignore", "inherit"],
      });
      const started = next();
      const asked = performance.now();
      shell.stdin?.write("go\n");
      return (await started) - asked;
    },
    close: () => {
      shell?.stdin?.end();
      socket.destroy();
      try {
        closeSync(descriptor);
      } catch {
        // The socket closed it.
      }
    },
  };
}
