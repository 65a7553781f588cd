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

/** Everything that a process has started and that is still its child, or a child's child: also what has no mark. */
export function descendants(pid: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      // `pid (name) state ppid …`, where the name may hold anything.
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    } catch {
      // It ended meanwhile.
    }
  }
  const found = [...(children.get(pid) ?? [])];
  for (const child of found) found.push(...(children.get(child) ?? []));
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
