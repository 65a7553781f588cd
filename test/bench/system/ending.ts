/**
 * Whatever ends a run, also a failure and Ctrl-C, ends every process that it started and removes every directory that it
 * made: directories stand below one root, and a process of the run names that root in its environment, its command line or
 * as the directory it is in; it is ended by its id.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Names the run's directory; everything that is started inherits it, and is known by it. */
const MARK = "AIRAVATA_BENCH_RUN";

/** Called once, first of all, by the process that a person started. */
export function beginRun(): void {
  const root = mkdtempSync(join(tmpdir(), "airavata-bench-"));
  process.env[MARK] = root;
  process.on("exit", () => {
    endMarked(root);
    rmSync(root, { recursive: true, force: true });
  });
  exitOnSignals();
}

/** So that what must happen at the end happens then, too. */
export function exitOnSignals(): void {
  for (const [signal, number] of [
    ["SIGINT", 2],
    ["SIGTERM", 15],
    ["SIGHUP", 1],
  ] as const)
    process.once(signal, () => process.exit(128 + number));
}

let serial = 0;

/** A new directory of this run. */
export function runDirectory(name: string): string {
  const root = process.env[MARK];
  if (root === undefined) throw new Error("a benchmark was started without its run");
  const path = join(root, `${name}-${process.pid}-${++serial}`);
  mkdirSync(path, { recursive: true });
  return path;
}

/** A killed process may have had a child that we did not see yet: until none is left. */
function endMarked(root: string): void {
  for (let tries = 0; tries < 50; tries++) {
    const marked = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && names(Number(name), root));
    if (marked.length === 0) return;
    for (const name of marked) {
      try {
        process.kill(Number(name), "SIGKILL");
      } catch {
        // It ended by itself.
      }
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
  }
}

function names(pid: number, root: string): boolean {
  if (pid === process.pid) return false;
  return [
    () => readFileSync(`/proc/${pid}/environ`, "latin1"),
    () => readFileSync(`/proc/${pid}/cmdline`, "latin1"),
    () => readlinkSync(`/proc/${pid}/cwd`),
  ].some((read) => {
    try {
      return read().includes(root);
    } catch {
      return false;
    }
  });
}
