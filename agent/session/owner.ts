/**
 * One agent per state directory. The owner's pid, start time and boot id stand in a file there; whoever comes second is
 * refused with a sentence that names the first. An owner that died is replaced. On another host's file system neither pid
 * nor boot id say anything: there the file's age does, which its owner renews.
 */
import { link, readFile, rename, stat, unlink, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { AiravataError } from "../../shared/error/error.ts";

const OWNER_FILE = "owner.json";
const RENEW_MS = 10_000;
/** Six renewals missed: the other host, or its agent, is gone. */
const FOREIGN_STALE_MS = 60_000;

interface Owner {
  pid: number;
  /** Field 22 of /proc/PID/stat: with the boot id it tells a process from a later one with its pid. */
  start_time: string;
  boot_id: string;
  host: string;
}

export interface Ownership {
  release(): Promise<void>;
}

/** Takes the directory, which must exist. Throws `state_directory_in_use`. */
export async function takeOwnership(stateDir: string): Promise<Ownership> {
  const path = join(stateDir, OWNER_FILE);
  const beside = `${path}.${process.pid}`;
  const self = await identityOf(process.pid);
  if (self === undefined) throw new Error("this process is not in /proc");
  const mine = JSON.stringify(self);
  await writeFile(beside, mine, { mode: 0o600 });
  try {
    for (let tries = 0; ; tries++) {
      try {
        // A link is made by one process only, and what it names is whole.
        await link(beside, path);
        break;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST" || tries === 3) throw error;
      }
      await removeStale(path, stateDir);
    }
  } finally {
    await unlink(beside);
  }
  const renewal = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => {});
  }, RENEW_MS);
  renewal.unref();
  return {
    async release() {
      clearInterval(renewal);
      if ((await readFile(path, "utf8").catch(() => "")) === mine) await unlink(path).catch(() => {});
    },
  };
}

/** Removes the file of an owner that is gone; throws when it lives. */
async function removeStale(path: string, stateDir: string): Promise<void> {
  const text = await readFile(path, "utf8").catch(() => "");
  const owner = parseOwner(text);
  if (owner !== undefined && (await lives(owner, path))) {
    throw new AiravataError(
      "state_directory_in_use",
      `the state directory ${stateDir} belongs to the agent with pid ${owner.pid} on ${owner.host}, which is running: stop that one, or give this one another --output-dir`,
      { data: { state_directory: stateDir, pid: owner.pid, host: owner.host } },
    );
  }
  // Moved, looked at again, and only then removed: another agent may have put its own file there meanwhile.
  const aside = `${path}.stale-${process.pid}`;
  await rename(path, aside).catch(() => {});
  if ((await readFile(aside, "utf8").catch(() => text)) === text) await unlink(aside).catch(() => {});
  else await link(aside, path).then(() => unlink(aside));
}

async function lives(owner: Owner, path: string): Promise<boolean> {
  if (owner.host !== hostname()) {
    const age = Date.now() - (await stat(path)).mtimeMs;
    return age < FOREIGN_STALE_MS;
  }
  const now = await identityOf(owner.pid);
  return now !== undefined && now.start_time === owner.start_time && now.boot_id === owner.boot_id;
}

function parseOwner(text: string): Owner | undefined {
  try {
    const owner = JSON.parse(text) as Owner;
    return typeof owner.pid === "number" && typeof owner.host === "string" ? owner : undefined;
  } catch {
    return undefined;
  }
}

async function identityOf(pid: number): Promise<Owner | undefined> {
  try {
    const [text, bootId] = await Promise.all([
      readFile(`/proc/${pid}/stat`, "utf8"),
      readFile("/proc/sys/kernel/random/boot_id", "utf8"),
    ]);
    // The name in parentheses may hold anything; fields are counted from the state after the last one.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    if (fields[0] === "Z") return undefined;
    return { pid, start_time: fields[19] ?? "", boot_id: bootId.trim(), host: hostname() };
  } catch {
    return undefined;
  }
}
