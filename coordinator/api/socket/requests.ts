/**
 * Questions to one agent about its files, and their answers: numbered, bounded in number, bytes and time. An answer that
 * brings more than was asked for ends its request, not the coordinator.
 */
import { AiravataError } from "../../../shared/error/error.ts";
import { FILE_ANSWER_TIMEOUT_MS, FILE_READS_PER_AGENT_MAX } from "../../../shared/model/constants.ts";
import type { AttemptGroup, FileRequest, FromAgent, ListedOutput, ToAgent } from "../../../shared/protocol/messages.ts";

type Chunk = Extract<FromAgent, { type: "chunk" }>;
type Listed = Extract<FromAgent, { type: "listed" }>;
type Answer = Chunk | Listed;

/** Files that one answer may name: an agent that lists more is asked for fewer attempts at once. */
const LISTED_MAX = 100_000;

export interface ReadWindow {
  file: FileRequest;
  offset: number;
  /** At most so many bytes wait in memory for whoever reads slowly. */
  limit: number;
  follow: boolean;
}

export class AgentRequests {
  private readonly send: (message: ToAgent) => void;
  private readonly answers = new Map<number, Answers>();
  private last = 0;
  private closed: AiravataError | undefined;

  constructor(send: (message: ToAgent) => void) {
    this.send = send;
  }

  /** A message of the agent that answers a request; one that nobody waits for is dropped. */
  receive(message: Answer): void {
    this.answers.get(message.request)?.push(message);
  }

  /** The session is over: everybody who waits is told. */
  close(reason: string): void {
    this.closed = new AiravataError("agent_offline", `the agent's session ended: ${reason}`);
    for (const answers of this.answers.values()) answers.fail(this.closed);
  }

  /**
   * The chunks of one window in order, the first one perhaps empty; ends with the window or the file. Throws
   * `agent_offline`, `file_changed`, `log_not_found` or `output_not_found`.
   */
  async *read(window: ReadWindow, signal: AbortSignal): AsyncGenerator<Chunk> {
    const { file, offset, limit, follow } = window;
    let at = offset;
    // What is written next may take as long as the task: only the session's own end gives up then.
    const timeoutMs = follow ? undefined : FILE_ANSWER_TIMEOUT_MS;
    const ask = (request: number): ToAgent => ({ type: "read", request, file, offset, limit, follow });
    for await (const message of this.ask<Chunk>(ask, timeoutMs, signal)) {
      if (message.missing !== undefined) {
        throw new AiravataError("stream" in file ? "log_not_found" : "output_not_found", message.missing);
      }
      if (message.type !== "chunk" || message.offset !== at || at + message.data.length > offset + limit) {
        throw new AiravataError("file_changed", "the agent answered with other bytes than it was asked for");
      }
      at += message.data.length;
      yield message;
    }
  }

  /** The output files of some attempts. Throws `agent_offline`. */
  async list(
    group: AttemptGroup,
    signal: AbortSignal,
  ): Promise<{ outputs: ListedOutput[]; problem: string | undefined }> {
    const outputs: ListedOutput[] = [];
    let problem: string | undefined;
    const ask = (request: number): ToAgent => ({ type: "list", request, group });
    for await (const message of this.ask<Listed>(ask, FILE_ANSWER_TIMEOUT_MS, signal)) {
      if (message.type !== "listed" || outputs.length + message.outputs.length > LISTED_MAX) {
        throw new AiravataError("file_changed", `the agent listed more than ${LISTED_MAX} files`);
      }
      for (const output of message.outputs) outputs.push(output);
      problem ??= message.problem;
    }
    return { outputs, problem };
  }

  /** Sends a request and yields its answers; whoever stops early stops the agent too. */
  private async *ask<T extends Answer>(
    message: (request: number) => ToAgent,
    timeoutMs: number | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<T> {
    if (this.closed) throw this.closed;
    if (this.answers.size >= FILE_READS_PER_AGENT_MAX) {
      const text = `${FILE_READS_PER_AGENT_MAX} files of this agent are being read, which is the bound`;
      throw new AiravataError("too_many_connections", text);
    }
    signal.throwIfAborted();
    const request = ++this.last;
    const answers = new Answers(timeoutMs);
    const abort = (): void => answers.fail(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    this.answers.set(request, answers);
    let ended = false;
    try {
      this.send(message(request));
      while (!ended) {
        const answer = await answers.next();
        ended = answer.end;
        yield answer as T;
      }
    } finally {
      signal.removeEventListener("abort", abort);
      this.answers.delete(request);
      if (!ended && !this.closed) this.send({ type: "read_stop", request });
    }
  }
}

/** Answers that came and were not taken yet, for one reader. */
class Answers {
  private readonly queue: Answer[] = [];
  private readonly timeoutMs: number | undefined;
  private error: unknown;
  private wake: (() => void) | undefined;

  constructor(timeoutMs: number | undefined) {
    this.timeoutMs = timeoutMs;
  }

  push(answer: Answer): void {
    this.queue.push(answer);
    this.wake?.();
  }

  fail(error: unknown): void {
    this.error ??= error;
    this.wake?.();
  }

  async next(): Promise<Answer> {
    while (this.queue.length === 0) {
      if (this.error !== undefined) throw this.error;
      await this.woken();
    }
    return this.queue.shift()!;
  }

  private async woken(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.wake = resolve;
      if (this.timeoutMs === undefined) return;
      timer = setTimeout(
        () => this.fail(new AiravataError("agent_offline", `the agent did not answer within ${this.timeoutMs} ms`)),
        this.timeoutMs,
      );
    });
    clearTimeout(timer);
    this.wake = undefined;
  }
}
