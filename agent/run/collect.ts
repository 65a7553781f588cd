/**
 * What is looked at when a task's process is over: the streams are put into its directory, a failed end gets the last of
 * its error output, a good one is checked for the outputs it promised.
 */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { errorLine } from "../../shared/error/error.ts";
import { Blame, Outcome } from "../../shared/model/attempt.ts";
import { FAILED_TAIL_BYTES } from "../../shared/model/constants.ts";
import type { OutputDefinition } from "../../shared/model/definition.ts";
import { openBeneath } from "../link/beneath.ts";
import type { AttemptEnd } from "../report/end.ts";
import { missingOutput } from "./outputs.ts";
import { STREAM_FILES } from "./prepare.ts";
import type { EndedEvent, StreamEnd } from "./supervisor/contract.ts";

/** True when nothing needs to be looked at: the usual end of a small task costs no file operation before its report. */
export function isPlain(event: EndedEvent, outputs: readonly OutputDefinition[]): boolean {
  const silent = event.stdout.bytes === 0 && event.stderr.bytes === 0;
  return silent && event.cause === "exit" && event.exitCode === 0 && outputs.length === 0;
}

/** Completes `end`. Never rejects: what fails here is part of the end. */
export async function collect(
  end: AttemptEnd,
  event: EndedEvent,
  directory: string,
  outputs: readonly OutputDefinition[],
): Promise<void> {
  const problem =
    (await keep(join(directory, STREAM_FILES.stdout), event.stdout)) ??
    (await keep(join(directory, STREAM_FILES.stderr), event.stderr));
  if (problem !== undefined) {
    // A task that removed its own directory has chosen to keep nothing; a full disk has not.
    if (problem.full && end.outcome === Outcome.COMPLETED) fail(end, Blame.DISK, problem.sentence);
    else addDetail(end, problem.sentence);
  }
  if (end.outcome === Outcome.COMPLETED) {
    const missing = await missingOutput(directory, outputs);
    if (missing !== undefined) fail(end, Blame.OUTPUT, missing);
  }
  if (end.outcome === Outcome.FAILED) {
    const tail = await tailOf(directory, event.stderr);
    if (tail !== "") end.tail = tail;
  }
}

/** Text of at most `FAILED_TAIL_BYTES`, also after bytes that are no UTF-8 were replaced; no NUL, which no database takes. Exported for tests. */
export function tailText(bytes: Uint8Array): string {
  const last = bytes.subarray(Math.max(0, bytes.length - FAILED_TAIL_BYTES));
  const text = Buffer.from(last).toString("utf8").replaceAll("\0", "\uFFFD");
  let cut = 0;
  // A replacement takes three bytes where one was: a tail of garbage shrinks to a third.
  while (Buffer.byteLength(text.slice(cut)) > FAILED_TAIL_BYTES) cut += Math.ceil((text.length - cut) / 8);
  return text.slice(cut);
}

interface Problem {
  full: boolean;
  sentence: string;
}

/** Small output came with the record and is put where large output already is. */
async function keep(path: string, stream: StreamEnd): Promise<Problem | undefined> {
  if (stream.inline === null || stream.inline.length === 0) return undefined;
  try {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;
    const file = await open(path, flags, 0o644);
    try {
      await file.write(stream.inline);
    } finally {
      await file.close();
    }
    return undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const full = code === "ENOSPC" || code === "EDQUOT";
    return { full, sentence: `its output could not be kept: ${errorLine(error)}` };
  }
}

async function tailOf(directory: string, stream: StreamEnd): Promise<string> {
  if (stream.inline !== null) return tailText(stream.inline);
  try {
    const { file, sizeBytes } = await openBeneath(directory, STREAM_FILES.stderr);
    try {
      const from = Math.max(0, sizeBytes - FAILED_TAIL_BYTES);
      const { buffer, bytesRead } = await file.read(Buffer.alloc(FAILED_TAIL_BYTES), 0, FAILED_TAIL_BYTES, from);
      return tailText(buffer.subarray(0, bytesRead));
    } finally {
      await file.close();
    }
  } catch {
    return "";
  }
}

function fail(end: AttemptEnd, blame: Blame, detail: string): void {
  end.outcome = Outcome.FAILED;
  end.blame = blame;
  addDetail(end, detail);
}

function addDetail(end: AttemptEnd, detail: string): void {
  end.detail = (end.detail === undefined ? detail : `${end.detail}; ${detail}`).slice(0, 1_000);
}
