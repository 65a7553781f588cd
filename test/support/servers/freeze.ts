/** Stops a process with all of its threads, and returns when they stand: a signal that was sent is not one that was heeded. */
import { readdirSync, readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";

/** A thread that is in a system call stops when that ends: milliseconds. */
const STOPPED_MS_MAX = 5_000;

export function freeze(pid: number): void {
  process.kill(pid, "SIGSTOP");
  const until = performance.now() + STOPPED_MS_MAX;
  while (!stands(pid)) {
    if (performance.now() > until) throw new Error(`process ${pid} does not stop`);
  }
}

function stands(pid: number): boolean {
  return readdirSync(`/proc/${pid}/task`).every((thread) => {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8");
    return /^[TZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
  });
}
