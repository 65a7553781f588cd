/**
 * Reads what an attempt wrote to standard output or error. It lies on the disk of the agent that ran it; nothing is
 * copied here, and only as much is asked for as is read.
 */
import { setTimeout as delay } from "node:timers/promises";
import { AiravataError } from "../../../shared/error/error.ts";
import type { AgentId } from "../../../shared/model/ids.ts";
import type { AgentFiles, FileChunk, FileRead } from "../agent/files.ts";
import type { Sources } from "../experiment/find.ts";
import { findAttempt } from "./attempts.ts";
import { findTask } from "./find.ts";

export interface LogRequest {
  task: string;
  stream: "stdout" | "stderr";
  /** undefined: the latest. */
  attempt: number | undefined;
  offset: number;
  /** undefined: to the end. */
  limit: number | undefined;
  follow: boolean;
  signal: AbortSignal;
}

export interface OpenLog {
  attempt: number;
  /** Size known when it was opened. */
  totalBytes: number;
  bytes: AsyncIterable<Uint8Array>;
}

/** A log is open once its first bytes are there, or when following has waited for them this long. */
const OPENING_MS = 250;
/** A held attempt whose agent has no more to give is asked again after this. */
const FOLLOW_POLL_MS = 250;

/**
 * Opens a log: agent and file are known to answer before this resolves. Throws `task_not_found`, `log_not_found`,
 * `agent_offline`, `not_leading`.
 */
export async function openLog(sources: Sources, files: AgentFiles, request: LogRequest): Promise<OpenLog> {
  const task = await findTask(sources, request.task);
  const { attempt, agent } = await findAttempt(sources, task, request.attempt);
  if (agent === null) {
    throw new AiravataError("log_not_found", `attempt ${attempt} of task ${request.task} was never with an agent`);
  }
  const { experiment, template, index } = task.key;
  const isHeld = (): boolean => {
    const [view] = sources.dispatcher.tasks(experiment, template, index, index);
    return view?.state === "LEASED" && view.attempt === attempt;
  };
  const { stream, offset, signal } = request;
  const read: FileRead = {
    file: { experiment, template, index, attempt, stream },
    offset,
    limit: request.limit ?? Number.MAX_SAFE_INTEGER - offset,
    // An attempt that ended writes no more.
    follow: request.follow && isHeld(),
    signal,
  };
  const chunks = read.follow ? followed(files, agent, read, isHeld) : files.read(agent, read);
  const iterator = chunks[Symbol.asyncIterator]();
  const first = iterator.next();
  const opening = read.follow ? Promise.race([first, delay(OPENING_MS)]) : first;
  const opened = await opening;
  return { attempt, totalBytes: opened?.value?.totalBytes ?? 0, bytes: bytesOf(first, iterator) };
}

/**
 * Goes on until the attempt is over: an agent that has nothing yet (a lease that waits for its slot) is asked again, and
 * what it wrote between the last answer and its end is asked for once more.
 */
async function* followed(
  files: AgentFiles,
  agent: AgentId,
  read: FileRead,
  isHeld: () => boolean,
): AsyncGenerator<FileChunk> {
  let { offset, limit } = read;
  for (;;) {
    const held = isHeld();
    try {
      for await (const chunk of files.read(agent, { ...read, offset, limit })) {
        offset += chunk.data.length;
        limit -= chunk.data.length;
        yield chunk;
      }
    } catch (error) {
      const notYet = held && error instanceof AiravataError && error.code === "log_not_found";
      if (!notYet) throw error;
    }
    if (!held || limit === 0) return;
    await delay(FOLLOW_POLL_MS, undefined, { signal: read.signal });
  }
}

async function* bytesOf(
  first: Promise<IteratorResult<FileChunk>>,
  iterator: AsyncIterator<FileChunk>,
): AsyncGenerator<Uint8Array> {
  try {
    for (let next = await first; !next.done; next = await iterator.next()) yield next.value.data;
  } finally {
    await iterator.return?.();
  }
}
