/**
 * Fetches the outputs of an experiment below one directory. Names come from tasks and are hostile: a file is only ever
 * written beneath that directory, never through a link, and it has its name only when all of it is there.
 */
import { constants } from "node:fs";
import { lstat, mkdir, open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { ApiError, type Client } from "../../shared/api/client.ts";
import type { Output } from "../../shared/api/experiment.ts";
import { AiravataError } from "../../shared/error/error.ts";
import { everyItem } from "./page.ts";
import { printableLine } from "./terminal.ts";

/** Files fetched at once: enough to hide a round trip, few enough for any server. */
const FETCHES_MAX = 4;
const TRIES_MAX = 5;

interface DownloadOptions {
  client: Client;
  experiment: number;
  directory: string;
  template?: string;
  /** Called after each file. */
  onFile?: (files: number, bytes: number) => void;
}

interface Downloaded {
  directory: string;
  files: number;
  bytes: number;
  /** Sentences on what could not be fetched; empty when all is there. */
  problems: string[];
}

/** Throws `output_not_written` when the directory cannot be written; a file that cannot be fetched is a problem in the answer. */
export async function downloadOutputs(options: DownloadOptions): Promise<Downloaded> {
  const { client, experiment, directory, template } = options;
  const done: Downloaded = { directory, files: 0, bytes: 0, problems: [] };
  const listing = everyItem(async (query) => {
    const page = await client.call("listOutputs", { params: { experiment }, query: { ...query, template } });
    for (const problem of page.problems) if (!done.problems.includes(problem)) done.problems.push(problem);
    return page;
  });
  // Made with the first file: nothing to download leaves nothing behind.
  let made: Promise<void> | undefined;
  const worker = async (): Promise<void> => {
    for (let next = await listing.next(); !next.done; next = await listing.next()) {
      const output: Output = next.value;
      made ??= makeDirectory(directory);
      await made;
      try {
        await fetchOutput(client, experiment, directory, output);
      } catch (error) {
        if (error instanceof AiravataError && error.code === "output_not_written") throw error;
        done.problems.push(`${printableLine(output.path)}: ${(error as Error).message}`);
        continue;
      }
      done.files += 1;
      done.bytes += output.size_bytes;
      options.onFile?.(done.files, done.bytes);
    }
  };
  await Promise.all(Array.from({ length: FETCHES_MAX }, worker));
  return done;
}

/** The parts of a server's path; undefined when it would lead out of the directory. Exported for tests. */
export function safeParts(path: string): string[] | undefined {
  const parts = path.split("/");
  const bad = parts.some((part) => part === "" || part === "." || part === ".." || part.includes("\0"));
  return bad ? undefined : parts;
}

async function fetchOutput(client: Client, experiment: number, root: string, output: Output): Promise<void> {
  const parts = safeParts(output.path);
  if (parts === undefined) throw new Error("its name leads out of the output directory");
  const target = join(root, ...parts);
  await makeParents(root, parts);
  const partial = `${target}.airavata-part`;
  try {
    for (let tries = 1; ; tries += 1) {
      try {
        await fetchFile(client, { experiment, path: output.path }, partial, output.size_bytes);
        break;
      } catch (error) {
        if (!isPassing(error) || tries === TRIES_MAX) throw error;
        await delay(Math.random() * 250 * 2 ** tries);
      }
    }
    await writing(target, () => rename(partial, target));
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}

async function fetchFile(
  client: Client,
  params: { experiment: number; path: string },
  partial: string,
  sizeBytes: number,
): Promise<void> {
  const response = await client.open("readOutput", { params });
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;
  const file = await writing(partial, () => open(partial, flags, 0o644));
  let bytes = 0;
  try {
    const body = response.body === null ? Readable.from([]) : Readable.fromWeb(response.body);
    body.on("data", (chunk: Uint8Array) => {
      bytes += chunk.length;
    });
    await pipeline(body, file.createWriteStream());
  } catch (cause) {
    if (isDiskError(cause)) throw notWritten(partial, cause);
    throw new AiravataError("server_unreachable", `the answer of ${client.server} broke off`, { cause });
  }
  if (bytes !== sizeBytes) throw new Error(`it has ${bytes} bytes but was listed with ${sizeBytes}`);
}

/** Makes each directory below the root one by one and refuses a link among them. */
async function makeParents(root: string, parts: string[]): Promise<void> {
  let path = root;
  for (const part of parts.slice(0, -1)) {
    path = join(path, part);
    await makeDirectory(path, false);
    if ((await lstat(path)).isSymbolicLink())
      throw new Error(`${path} is a link, and nothing is written through links`);
  }
}

async function makeDirectory(path: string, recursive = true): Promise<void> {
  await writing(path, async () => {
    try {
      await mkdir(path, { recursive });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  });
}

async function writing<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw notWritten(path, cause);
  }
}

function notWritten(path: string, cause: unknown): AiravataError {
  return new AiravataError("output_not_written", `Outputs cannot be written to ${dirname(path)}.`, { cause });
}

function isPassing(error: unknown): boolean {
  if (!(error instanceof AiravataError || error instanceof ApiError)) return false;
  return error.status === 429 || error.status >= 500;
}

function isDiskError(error: unknown): boolean {
  return ["ENOSPC", "EDQUOT", "EIO", "EFBIG", "EROFS"].includes((error as NodeJS.ErrnoException).code ?? "");
}
