/**
 * Named outputs of an attempt: which files below its directory a glob names, and whether an attempt that ended well has
 * all that it promised. Links count only while they lead to a file below the same directory.
 */
import type { OutputDefinition } from "../../shared/model/definition.ts";
import { type Glob, parseGlob } from "../../shared/spec/glob.ts";
import { BeneathError, listBeneath, openBeneath } from "../link/beneath.ts";

/** Entries that one search looks at: a task that leaves more behind must name its outputs more narrowly. */
const ENTRIES_MAX = 100_000;
const DEPTH_MAX = 32;

export interface FoundFile {
  /** Relative to the attempt's directory. */
  path: string;
  sizeBytes: number;
}

export interface Found {
  /** In order of their paths. */
  files: FoundFile[];
  /** The first thing that was named and refused, as a sentence. */
  problem: string | undefined;
}

/** Files below `directory` that the glob names. Never rejects: what cannot be looked at is a problem. */
export async function matchingFiles(directory: string, glob: Glob): Promise<Found> {
  const found: Found = { files: [], problem: undefined };
  try {
    if (glob.literal !== null) await addFile(directory, glob.literal, found);
    else await search(directory, glob, found);
  } catch (error) {
    // An attempt that left nothing has no directory, and one that is still writing may lose a folder as we look.
    const gone = error instanceof BeneathError && error.why === "missing";
    if (!gone) found.problem ??= error instanceof Error ? error.message : String(error);
  }
  found.files.sort((a, b) => (a.path < b.path ? -1 : 1));
  return found;
}

/** Why the attempt does not have what its template promises; undefined when it has. */
export async function missingOutput(
  directory: string,
  outputs: readonly OutputDefinition[],
): Promise<string | undefined> {
  for (const { name, glob: pattern } of outputs) {
    const glob = parseGlob(pattern);
    if ("message" in glob) return `the output ${name} cannot be looked for: ${glob.message}`;
    const { files, problem } = await matchingFiles(directory, glob);
    if (problem !== undefined) return `the output ${name} is refused: ${problem}`;
    if (files.length === 0) return `it ended well, but its output ${name} (${pattern}) is not there`;
  }
  return undefined;
}

async function addFile(directory: string, path: string, found: Found): Promise<void> {
  try {
    const { file, sizeBytes } = await openBeneath(directory, path);
    await file.close();
    found.files.push({ path, sizeBytes });
  } catch (error) {
    if (error instanceof BeneathError && error.why === "missing") return;
    found.problem ??= (error as Error).message;
  }
}

async function search(directory: string, glob: Glob, found: Found): Promise<void> {
  const folders = [""];
  let looked = 0;
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const { name, kind } of await listBeneath(directory, folder)) {
      if (++looked > ENTRIES_MAX) throw new Error(`there are more than ${ENTRIES_MAX} files below its directory`);
      const path = folder === "" ? name : `${folder}/${name}`;
      if (kind === "directory") {
        if (path.split("/").length < DEPTH_MAX) folders.push(path);
      } else if (glob.matches(path)) await addFile(directory, path, found);
    }
  }
}
