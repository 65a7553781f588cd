/**
 * Attempt directories, `.attempts/<experiment>/<template>/<index>/<attempt>`. A directory never moves once its task has
 * started, with one exception that saves most of the cost of small tasks: one whose task is over and left nothing in it
 * is renamed for the next attempt, so that a million silent tasks leave no million empty directories.
 */
import { mkdir, readdir, rename, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { attemptPath, type PublishedAttempt } from "../link/publish.ts";

/** Empty ones that wait for an attempt: what ends between two rounds of the loop, and no more inodes than that. */
const SPARE_MAX = 64;

export class AttemptDirectories {
  readonly #outputDir: string;
  /** Absolute paths of empty attempt directories, alone in their index directory. */
  readonly #spare: string[] = [];

  constructor(outputDir: string) {
    this.#outputDir = outputDir;
  }

  pathOf(attempt: PublishedAttempt): string {
    return join(this.#outputDir, attemptPath(attempt));
  }

  /** Makes the directory of an attempt whose template directory is there. Rejects with the file system's error. */
  async make(attempt: PublishedAttempt): Promise<string> {
    const path = this.pathOf(attempt);
    const spare = this.#spare.pop();
    if (spare !== undefined && (await moveIndex(spare, path))) return path;
    const index = dirname(path);
    await mkdir(index).catch(ignore("EEXIST"));
    try {
      await mkdir(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      // Attempt numbers repeat only after a restore of the coordinator: what lies here is of the history before.
      await rename(path, `${path}.former-${Date.now()}`);
      await mkdir(path);
    }
    return path;
  }

  /** The attempt is over, or was never started. True: it left something. An empty directory is taken for another one. */
  async release(path: string): Promise<boolean> {
    const entries = await readdir(path).catch(() => undefined);
    if (entries === undefined) return false;
    if (entries.length > 0) return true;
    if (this.#spare.length < SPARE_MAX) this.#spare.push(path);
    else await remove(path);
    return false;
  }

  /** Removes what is spare. */
  async close(): Promise<void> {
    await Promise.all(this.#spare.splice(0).map(remove));
  }
}

/** Moves the index directory, and the attempt in it to its number. False: it could not be had, make a new one. */
async function moveIndex(from: string, to: string): Promise<boolean> {
  try {
    // Never onto an index that exists: rename would replace it when it is empty, and fail when it is not.
    await rename(dirname(from), dirname(to));
    const moved = join(dirname(to), from.slice(dirname(from).length + 1));
    if (moved !== to) await rename(moved, to);
    return true;
  } catch {
    return false;
  }
}

/** Removes an empty attempt directory, and its index directory if no other attempt is in it. */
async function remove(path: string): Promise<void> {
  await rmdir(path).catch(() => {});
  await rmdir(dirname(path)).catch(() => {});
}

function ignore(code: string): (error: NodeJS.ErrnoException) => void {
  return (error) => {
    if (error.code !== code) throw error;
  };
}
