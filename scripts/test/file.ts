/**
 * Runs one test file in a process of its own, in a process group of its own, and says how it went. A file that takes too
 * long is killed with its group; processes that it left behind are killed and make it fail.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createMark, descendants, endLeftovers, type Leftover } from "./leftovers.ts";
import type { Counts, TestLine } from "./reporter.ts";

const REPORTER = new URL("./reporter.ts", import.meta.url).href;
/** Of the file's own output that is kept for a failure: the last part says most. */
const OUTPUT_CHARS_MAX = 20_000;

const PIPE_DRAIN_MS = 250;

export interface FileResult {
  file: string;
  ok: boolean;
  counts: Counts;
  durationMs: number;
  failures: { name: string; error: string }[];
  leftOut: { name: string; reason: string }[];
  leftovers: Leftover[];
  /** What it wrote to standard output and error. */
  output: string;
}

/** Groups that run now: they do not get this process's signals by themselves. */
const groups = new Set<number>();

/** Ends every file that runs, at once; for whoever is told to stop. */
export function killFiles(): void {
  for (const pid of groups) killTree(pid);
}

/** Runs `file`, ends it after `timeoutMs`; never rejects for what the file does. */
export async function runFile(file: string, timeoutMs: number, leftoverGraceMs?: number): Promise<FileResult> {
  const directory = mkdtempSync(join(tmpdir(), "airavata-test-"));
  const events = join(directory, "events");
  const mark = createMark();
  const startedMs = performance.now();
  try {
    const args = [`--test-reporter=${REPORTER}`, `--test-reporter-destination=${events}`, file];
    const child = spawn(process.execPath, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...mark },
      detached: true,
    });
    const { exit, output, timedOut } = await finished(child, file, events, timeoutMs);
    const leftovers = await endLeftovers(mark, leftoverGraceMs);
    const result = interpret(file, readLines(events));
    result.output = output;
    result.leftovers = leftovers;
    result.durationMs = performance.now() - startedMs;
    if (timedOut !== undefined) result.failures.push({ name: timedOut.name, error: timedOut.error });
    else if (exit !== "0" && result.failures.length === 0) {
      result.failures.push({ name: file, error: `the process ended with ${exit}; its output says why` });
    }
    if (result.counts.tests === 0 && result.failures.length === 0) {
      result.failures.push({ name: file, error: "the file holds no test" });
    }
    // What Node did not count (a crash, a hang) still is a failed test.
    const uncounted = result.failures.length - result.counts.failed - result.counts.cancelled;
    if (uncounted > 0) {
      result.counts.tests += uncounted;
      result.counts.failed += uncounted;
    }
    result.ok = result.failures.length === 0 && result.counts.failed === 0 && leftovers.length === 0;
    return result;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

interface Finish {
  /** Exit code or signal, as text. */
  exit: string;
  output: string;
  timedOut: { name: string; error: string } | undefined;
}

async function finished(child: ChildProcess, file: string, events: string, limitMs: number): Promise<Finish> {
  if (child.pid !== undefined) groups.add(child.pid);
  let output = "";
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-OUTPUT_CHARS_MAX);
  };
  child.stdout?.on("data", keep);
  child.stderr?.on("data", keep);
  let timedOut: { name: string; error: string } | undefined;
  const timer = setTimeout(() => {
    const running = readLines(events).findLast((line) => line.event === "start");
    const error = `the file did not end within ${limitMs / 1000} s; the last test that began is named here`;
    timedOut = { name: running?.event === "start" ? running.name : file, error };
    if (child.pid !== undefined) killTree(child.pid);
  }, limitMs);
  const exit = await new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(String(error)));
    child.once("exit", (code, signal) => resolve(signal ?? String(code)));
  });
  // Its last words are read, but a process left behind may hold the pipes open for good.
  await Promise.race([new Promise((resolve) => child.once("close", resolve)), delay(PIPE_DRAIN_MS)]);
  clearTimeout(timer);
  groups.delete(child.pid ?? 0);
  child.stdout?.destroy();
  child.stderr?.destroy();
  return { exit, output, timedOut };
}

/** The file's group, and what it started in groups of their own with an environment built from nothing. */
function killTree(pid: number): void {
  // Looked up before anything dies: an orphan is nobody's child any more.
  for (const target of [-pid, ...descendants(pid)]) {
    try {
      process.kill(target, "SIGKILL");
    } catch {
      // It ended meanwhile.
    }
  }
}

function readLines(path: string): TestLine[] {
  let text = "";
  try {
    text = readFileSync(path, "utf8");
  } catch {
    // It died before the first event.
  }
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  return whole
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as TestLine);
}

function interpret(file: string, lines: TestLine[]): FileResult {
  const counts: Counts = { tests: 0, suites: 0, passed: 0, failed: 0, cancelled: 0, skipped: 0, todo: 0 };
  const result: FileResult = {
    file,
    ok: false,
    counts,
    durationMs: 0,
    failures: [],
    leftOut: [],
    leftovers: [],
    output: "",
  };
  for (const line of lines) {
    if (line.event === "fail") result.failures.push(line);
    if (line.event === "left_out") result.leftOut.push(line);
    if (line.event === "summary") Object.assign(counts, line.counts);
  }
  return result;
}
