/**
 * What is looked at when a task's process is over: a failed end gets the last of its error output, a good one is checked
 * for the outputs it promised.
 */
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
  return event.cause === "exit" && event.exitCode === 0 && outputs.length === 0;
}

/** Completes `end`. Never rejects: what fails here is part of the end. */
export async function collect(
  end: AttemptEnd,
  event: EndedEvent,
  directory: string,
  outputs: readonly OutputDefinition[],
): Promise<void> {
  if (end.outcome === Outcome.COMPLETED) {
    const missing = await missingOutput(directory, outputs);
    if (missing !== undefined) {
      end.outcome = Outcome.FAILED;
      end.blame = Blame.OUTPUT;
      end.detail = (end.detail === undefined ? missing : `${end.detail}; ${missing}`).slice(0, 1_000);
    }
  }
  if (end.outcome === Outcome.FAILED) {
    const tail = await tailOf(directory, event.stderr);
    if (tail !== "") end.tail = tail;
  }
}

/**
 * Text of at most `FAILED_TAIL_BYTES`, also after bytes that are no UTF-8 were replaced; no NUL, which no database takes.
 * Exported for tests.
 */
export function tailText(bytes: Uint8Array): string {
  const last = bytes.subarray(Math.max(0, bytes.length - FAILED_TAIL_BYTES));
  const text = Buffer.from(last).toString("utf8").replaceAll("\0", "\uFFFD");
  let cut = 0;
  // A replacement takes three bytes where one was: a tail of garbage shrinks to a third.
  while (Buffer.byteLength(text.slice(cut)) > FAILED_TAIL_BYTES) cut += Math.ceil((text.length - cut) / 8);
  return text.slice(cut);
}

async function tailOf(directory: string, stream: StreamEnd): Promise<string> {
  if (stream.bytes === 0) return "";
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
