/**
 * Opens files strictly beneath a directory, whatever links a task has left there: every step goes through the descriptor
 * of the directory before it, without following links; a link is read and walked by the same rules, so that one which
 * leads outside is refused, also when it is exchanged while we look.
 */
import { constants } from "node:fs";
import { type FileHandle, open, readdir, readlink } from "node:fs/promises";

/** Links in one path; the kernel allows 40. */
const LINKS_MAX = 16;
const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** A named pipe without a writer would block for ever without O_NONBLOCK. */
const FILE = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Why a path was not opened. */
export class BeneathError extends Error {
  override name = "BeneathError";
  readonly why: "missing" | "outside" | "not_a_file" | "failed";

  constructor(why: BeneathError["why"], message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.why = why;
  }
}

export interface BeneathFile {
  file: FileHandle;
  sizeBytes: number;
}

/**
 * A regular file at `path`, relative to `root` (an absolute path that is trusted). The caller closes it. Throws
 * BeneathError.
 */
export async function openBeneath(root: string, path: string): Promise<BeneathFile> {
  const opened: FileHandle[] = [];
  try {
    const { parent, name } = await walk(root, path, opened);
    const file = await open(at(parent, name), FILE);
    const found = await file.stat();
    if (!found.isFile()) {
      await file.close();
      throw new BeneathError("not_a_file", `${JSON.stringify(path)} is not a regular file`);
    }
    return { file, sizeBytes: found.size };
  } catch (error) {
    throw explain(error, path);
  } finally {
    await Promise.all(opened.map((handle) => handle.close()));
  }
}

/** Entries of a directory beneath `root`; "" is the root itself. Throws BeneathError. */
export async function listBeneath(root: string, path: string): Promise<{ name: string; kind: EntryKind }[]> {
  const opened: FileHandle[] = [];
  try {
    const parent = await open(root, DIRECTORY);
    opened.push(parent);
    let directory = parent;
    for (const part of path === "" ? [] : path.split("/")) {
      directory = await open(at(directory, part), DIRECTORY);
      opened.push(directory);
    }
    const entries = await readdir(`/proc/self/fd/${directory.fd}`, { withFileTypes: true });
    return entries.map((entry) => ({
      name: entry.name,
      kind: entry.isFile() ? "file" : entry.isDirectory() ? "directory" : entry.isSymbolicLink() ? "link" : "other",
    }));
  } catch (error) {
    throw explain(error, path);
  } finally {
    await Promise.all(opened.map((handle) => handle.close()));
  }
}

export type EntryKind = "file" | "directory" | "link" | "other";

/** Opens all directories of a path, links resolved by hand; returns the last one and the name in it, which is no link. */
async function walk(root: string, path: string, opened: FileHandle[]): Promise<{ parent: FileHandle; name: string }> {
  const top = await open(root, DIRECTORY);
  opened.push(top);
  const above: FileHandle[] = [];
  let current = top;
  let links = 0;
  const parts = path.split("/");
  while (true) {
    const part = parts.shift();
    if (part === undefined) throw new BeneathError("not_a_file", `${JSON.stringify(path)} is a directory`);
    if (part === "" || part === ".") continue;
    if (part === "..") {
      const up = above.pop();
      if (up === undefined) throw outside(path);
      current = up;
      continue;
    }
    const target = await linkTarget(current, part);
    if (target !== undefined) {
      if (++links > LINKS_MAX) throw new BeneathError("failed", `${JSON.stringify(path)} goes through too many links`);
      if (target.startsWith("/")) throw outside(path);
      parts.unshift(...target.split("/"));
      continue;
    }
    if (!parts.some((rest) => rest !== "" && rest !== ".")) return { parent: current, name: part };
    const next = await open(at(current, part), DIRECTORY);
    opened.push(next);
    above.push(current);
    current = next;
  }
}

async function linkTarget(directory: FileHandle, name: string): Promise<string | undefined> {
  try {
    return await readlink(at(directory, name));
  } catch (error) {
    // EINVAL: it is there and no link.
    if ((error as NodeJS.ErrnoException).code === "EINVAL") return undefined;
    throw error;
  }
}

/** The entry by way of its directory's descriptor: what `openat` does, which Node does not have. */
function at(directory: FileHandle, name: string): string {
  if (name === "" || name === ".." || name.includes("/") || name.includes("\0")) throw outside(name);
  return `/proc/self/fd/${directory.fd}/${name}`;
}

function outside(path: string): BeneathError {
  return new BeneathError("outside", `${JSON.stringify(path)} leads outside of the attempt's directory`);
}

function explain(error: unknown, path: string): BeneathError {
  if (error instanceof BeneathError) return error;
  const { code } = error as NodeJS.ErrnoException;
  const shown = JSON.stringify(path);
  if (code === "ENOENT" || code === "ENOTDIR") return new BeneathError("missing", `there is no file ${shown}`, error);
  // A link that was put there between our look and our open.
  if (code === "ELOOP") return new BeneathError("outside", `${shown} is a link that was just exchanged`, error);
  if (code === "ENXIO") return new BeneathError("not_a_file", `${shown} is not a regular file`, error);
  return new BeneathError("failed", `${shown} cannot be opened: ${code}`, error);
}
