/**
 * Files that are whole or not there: written beside their name, flushed, renamed, and the directory flushed after that.
 * A crash before the rename leaves a partial file, which a later start removes.
 */
import { randomBytes } from "node:crypto";
import { open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";

const PARTIAL = /\.partial-[0-9a-f]{12}$/;
/** A younger one may be another process's that is about to rename it: 64 KiB take milliseconds, a disk that hangs a minute. */
const PARTIAL_KEPT_MS = 600_000;

/** Readable by its owner only. Durable when it resolves. */
export async function writeWhole(path: string, content: Buffer): Promise<void> {
  const partial = `${path}.partial-${randomBytes(6).toString("hex")}`;
  try {
    const file = await open(partial, "wx", 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** Resolves when the removal is durable; nothing there is fine. */
export async function removeDurably(path: string): Promise<void> {
  await rm(path, { force: true });
  await syncDirectory(dirname(path));
}

/** What writers that died left in the directory. */
export async function removePartials(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!isPartial(name)) continue;
    const path = join(directory, name);
    const ageMs = Date.now() - ((await stat(path).catch(() => undefined))?.mtimeMs ?? 0);
    if (ageMs > PARTIAL_KEPT_MS) await rm(path, { force: true });
  }
}

/** Whether a writer has not finished it, or never will. */
export function isPartial(name: string): boolean {
  return PARTIAL.test(name);
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
