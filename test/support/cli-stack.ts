/** A data directory for the embedded stack in a test, and the end of whatever stack came to live in it. */
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

export interface TestStack {
  /** Holds everything of the test; removed at the end. */
  directory: string;
  dataDir: string;
  /** Of the live `up`; undefined when there is none. */
  pid(): number | undefined;
  /** Ends the stack in order and removes the directory. */
  end(): Promise<void>;
}

const END_TIMEOUT_MS = 20_000;

/** With a space in its path, since everything must bear one. */
export function testStack(owner?: { uid: number; gid: number }): TestStack {
  const directory = mkdtempSync(join(tmpdir(), "airavata e2e "));
  chmodSync(directory, 0o755);
  if (owner) chownSync(directory, owner.uid, owner.gid);
  const dataDir = join(directory, "data");
  return {
    directory,
    dataDir,
    pid: () => stackPid(dataDir),
    async end() {
      await endStack(dataDir);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Ends the stack of a data directory in order; nothing when there is none. */
export async function endStack(dataDir: string): Promise<void> {
  const owner = stackPid(dataDir);
  if (owner === undefined) return;
  process.kill(owner, "SIGTERM");
  const deadline = performance.now() + END_TIMEOUT_MS;
  while (isAlive(owner)) {
    if (performance.now() > deadline) throw new Error(`the stack in ${dataDir} (process ${owner}) does not end`);
    await delay(20);
  }
}

function stackPid(dataDir: string): number | undefined {
  try {
    const { pid } = JSON.parse(readFileSync(join(dataDir, "stack.json"), "utf8"));
    process.kill(pid, 0);
    return pid;
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}
