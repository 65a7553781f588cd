/**
 * Finds processes that a test file left behind: every process it starts carries a mark in its environment. A task's own
 * environment is built from nothing and carries none; whatever started it does.
 */
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

const VARIABLE = "AIRAVATA_TEST_FILE";
/** What was told to end may need this long: PostgreSQL writes a checkpoint, supervisors wait for their runners. */
const GRACE_MS = 10_000;
const LOOK_AGAIN_MS = 50;

export interface Leftover {
  pid: number;
  command: string;
}

let marks = 0;

/** A variable for the environment of a process, unique, by which it and its descendants are found. */
export function createMark(): Record<string, string> {
  return { [VARIABLE]: `${process.pid}.${++marks}` };
}

/** Waits this long for marked processes to end, kills the ones that do not, and names them. */
export async function endLeftovers(mark: Record<string, string>, graceMs = GRACE_MS): Promise<Leftover[]> {
  const entry = `${VARIABLE}=${mark[VARIABLE]}`;
  const deadline = performance.now() + graceMs;
  let found = marked(entry);
  while (found.length > 0 && performance.now() < deadline) {
    await delay(LOOK_AGAIN_MS);
    found = marked(entry);
  }
  for (const { pid } of found) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It ended meanwhile.
    }
  }
  return found;
}

function marked(entry: string): Leftover[] {
  const found: Leftover[] = [];
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    try {
      if (!readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(entry)) continue;
      // A zombie has an empty command line; it is dead and waits for whoever started it.
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      if (command !== "") found.push({ pid, command });
    } catch {
      // It ended meanwhile, or belongs to somebody else.
    }
  }
  return found;
}
