/**
 * Writes the archive file of an experiment: lines of JSON, gzip. Beside its place first, to the disk, then renamed, so
 * that under its name there is a whole file or none; written again after a crash it is the same. It counts once a summary
 * names it.
 */
import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { AiravataError } from "../../../shared/error/error.ts";
import type { ExperimentId } from "../../../shared/model/ids.ts";
import type { ArchiveFile } from "../../store/records.ts";

/** A directory of a million files is a burden to whoever lists it. */
const EXPERIMENTS_PER_DIRECTORY = 1_000;

/** A restore from backup gives numbers a second time: its files stand beside those of the lost past. */
export function archivePath(directory: string, timeline: number, id: ExperimentId): string {
  const from = Math.floor(id / EXPERIMENTS_PER_DIRECTORY) * EXPERIMENTS_PER_DIRECTORY;
  return join(directory, String(from), `experiment-${id}.${timeline}.jsonl.gz`);
}

/** Rejects with `archive_not_written` when the file system refuses, with the source's error otherwise. */
export async function writeArchive(path: string, lines: AsyncIterable<string>): Promise<ArchiveFile> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  const measure = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      sizeBytes += chunk.length;
      done(null, chunk);
    },
  });
  const part = `${path}.part`;
  try {
    await mkdir(dirname(path), { recursive: true });
    const file = createWriteStream(part, { mode: 0o640, flush: true });
    await pipeline(Readable.from(ended(lines)), createGzip({ level: 1 }), measure, file);
    await rename(part, path);
    await sync(dirname(path));
  } catch (error) {
    await rm(part, { force: true }).catch(() => {});
    throw refusal(error, path);
  }
  return { path, sha256: hash.digest("hex"), sizeBytes };
}

async function* ended(lines: AsyncIterable<string>): AsyncGenerator<string> {
  for await (const line of lines) yield `${line}\n`;
}

/** The rename itself must survive a power cut. */
async function sync(directory: string): Promise<void> {
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function refusal(error: unknown, path: string): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (syscall === undefined) return error;
  const why = code === "ENOSPC" || code === "EDQUOT" ? "the disk is full" : String((error as Error).message);
  return new AiravataError(
    "archive_not_written",
    `${path} cannot be written (${why}); the experiment's tasks are kept`,
    {
      cause: error,
    },
  );
}
