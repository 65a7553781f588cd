/**
 * Attempt directories, `.attempts/<experiment>/<template>/<index>/<attempt>`. A directory never moves once its task has
 * started, with one exception that saves most of the cost of small tasks: one whose task is over and left nothing in it
 * is renamed for the next attempt, so that a million silent tasks leave no million empty directories.
 */
import { constants } from "node:fs";
import { lstat, mkdir, readdir, rename, rmdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { attemptPath, type PublishedAttempt } from "../link/publish.ts";

/** Empty ones that wait for an attempt: what ends between two rounds of the loop, and no more inodes than that. */
const SPARE_MAX = 64;

export class AttemptDirectories {
  readonly #outputDir: string;
  /** Absolute paths of empty attempt directories, alone in their index directory. */
  readonly #spare: string[] = [];
  /** Type and rights of a directory that we just made. */
  readonly #mode = constants.S_IFDIR | (0o777 & ~process.umask());

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
    if (spare !== undefined) {
      const moved = await moveIndex(spare, path);
      if (moved === "moved") return path;
      if (moved === "occupied") this.#spare.push(spare);
    }
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
    try {
      const [entries, found] = await Promise.all([readdir(path), lstat(path)]);
      if (entries.length > 0) return true;
      // A task may have changed the rights of its own directory: the next one must not inherit that.
      if (found.mode === this.#mode && this.#spare.length < SPARE_MAX) this.#spare.push(path);
      else await remove(path);
      return false;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code !== "ENOENT";
    }
  }

  /** Removes what is spare. */
  async close(): Promise<void> {
    await Promise.all(this.#spare.splice(0).map(remove));
  }
}

/** Moves the index directory, and the attempt in it to its number. Occupied: another attempt of that index is there. */
async function moveIndex(from: string, to: string): Promise<"moved" | "occupied" | "failed"> {
  try {
    await rename(dirname(from), dirname(to));
    const moved = join(dirname(to), basename(from));
    if (moved !== to) await rename(moved, to);
    return "moved";
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === "ENOTEMPTY" || code === "EEXIST" ? "occupied" : "failed";
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
