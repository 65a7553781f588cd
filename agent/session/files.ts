/**
 * Answers the coordinator's questions about files of attempts: parts of logs (also of running ones, and on as they grow)
 * and of outputs, and lists of outputs. Strictly beneath the attempt's directory; in small chunks that wait while the
 * socket is full, so that a log never delays a lease.
 */

import { attemptKeyText } from "../../shared/model/ids.ts";
import type { FileRequest, FromAgent, ListedOutput, ToAgent } from "../../shared/protocol/messages.ts";
import { parseGlob } from "../../shared/spec/glob.ts";
import { BeneathError, openBeneath } from "../link/beneath.ts";
import { matchingFiles } from "../run/outputs.ts";
import { STREAM_FILES } from "../run/prepare.ts";
import type { Runs } from "../run/runs.ts";

const CHUNK_BYTES = 64 * 1024;
/** Sending pauses while more than this waits in the socket. */
const QUEUED_BYTES_MAX = 512 * 1024;
/** A running task's output is looked at this often while somebody follows it. */
const FOLLOW_MS = 200;
const PAUSE_MS = 20;
/** Files in one `listed`: at most 4 KiB of path each, they stay below half a frame. */
const LISTED_AT_ONCE = 200;
/** Requests served at once; the coordinator asks for no more than 64. */
const REQUESTS_MAX = 128;

type Read = Extract<ToAgent, { type: "read" }>;
type List = Extract<ToAgent, { type: "list" }>;

export interface FilePort {
  send(message: FromAgent): void;
  queuedBytes(): number;
  /** True for an attempt that is held and whose process has not started: its log is yet to come. */
  isPending(key: string): boolean;
}

/** One session's requests. A new session has a new one of these: request numbers begin again. */
export class FileServer {
  readonly #runs: Runs;
  readonly #port: FilePort;
  readonly #requests = new Map<number, AbortController>();

  constructor(runs: Runs, port: FilePort) {
    this.#runs = runs;
    this.#port = port;
  }

  read(message: Read): void {
    this.#serve(
      message.request,
      (signal) => this.#read(message, signal),
      (sentence) => {
        this.#chunk(message.request, message.offset, EMPTY, 0, true, sentence);
      },
    );
  }

  list(message: List): void {
    this.#serve(
      message.request,
      (signal) => this.#list(message, signal),
      (sentence) => {
        this.#port.send({ type: "listed", request: message.request, outputs: [], problem: sentence, end: true });
      },
    );
  }

  stop(request: number): void {
    this.#requests.get(request)?.abort();
  }

  /** The session is over. */
  close(): void {
    for (const controller of this.#requests.values()) controller.abort();
  }

  #serve(request: number, serve: (signal: AbortSignal) => Promise<void>, refuse: (sentence: string) => void): void {
    if (this.#requests.size >= REQUESTS_MAX) {
      refuse(`${REQUESTS_MAX} files of this agent are being read, which is the bound`);
      return;
    }
    const controller = new AbortController();
    this.#requests.set(request, controller);
    serve(controller.signal)
      .catch((error: Error) => {
        if (!controller.signal.aborted) refuse(error.message);
      })
      .finally(() => this.#requests.delete(request));
  }

  async #read(message: Read, signal: AbortSignal): Promise<void> {
    const { request, file, limit } = message;
    if (message.follow) await this.#begun(file, signal);
    const { experiment, template } = file;
    const leased = await this.#runs.templates.find(experiment, template);
    if (leased === undefined) throw new Error(`attempt ${attemptKeyText(file)} is not known to this agent`);
    const directory = this.#runs.directoryOf({ ...file, template: leased.definition.name });
    let at = message.offset;
    const until = Math.min(Number.MAX_SAFE_INTEGER, message.offset + limit);
    if ("stream" in file) at = await this.#readRunning(message, file, until, signal);
    if (at < 0) return;
    await this.#readFile(request, directory, file, at, until, signal);
  }

  /** Whoever follows the log of an attempt that waits for its start waits with it. */
  async #begun(file: FileRequest, signal: AbortSignal): Promise<void> {
    const key = attemptKeyText(file);
    while (this.#port.isPending(key)) await pause(FOLLOW_MS, signal);
  }

  /**
   * Sends what a running task has written, and waits for more when following. Returns where the finished file goes on, or
   * −1 when the request is answered.
   */
  async #readRunning(
    message: Read,
    file: FileRequest & { stream: "stdout" | "stderr" },
    until: number,
    signal: AbortSignal,
  ): Promise<number> {
    const key = attemptKeyText(file);
    let at = message.offset;
    while (true) {
      signal.throwIfAborted();
      const most = Math.min(CHUNK_BYTES, until - at);
      const window = await this.#runs.readOutput(key, file.stream, at, Math.max(1, most));
      if (window === null) return at;
      // Where bytes were left out, the finished file goes on with a sentence: whoever follows gets that one.
      const data = window.offset === at ? window.data.subarray(0, most) : EMPTY;
      if (data.length > 0) {
        at += data.length;
        await this.#chunkLater(message.request, at - data.length, data, window.totalBytes, at >= until, signal);
      }
      if (at >= until && data.length > 0) return -1;
      if (data.length === 0) {
        if (!message.follow || most <= 0) {
          this.#chunk(message.request, at, EMPTY, window.totalBytes, true);
          return -1;
        }
        await pause(FOLLOW_MS, signal);
      }
    }
  }

  async #readFile(
    request: number,
    directory: string,
    wanted: FileRequest,
    from: number,
    until: number,
    signal: AbortSignal,
  ): Promise<void> {
    const path = "stream" in wanted ? STREAM_FILES[wanted.stream] : wanted.path;
    let opened: Awaited<ReturnType<typeof openBeneath>>;
    try {
      opened = await openBeneath(directory, path);
    } catch (error) {
      // A task that wrote nothing has no file: its log is empty, not missing.
      const silent = "stream" in wanted && error instanceof BeneathError && error.why === "missing";
      if (!silent) throw error;
      this.#chunk(request, from, EMPTY, 0, true);
      return;
    }
    const { file, sizeBytes } = opened;
    try {
      let at = from;
      const end = Math.min(until, sizeBytes);
      while (at < end) {
        const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(Math.min(CHUNK_BYTES, end - at)), 0, null, at);
        if (bytesRead === 0) break;
        at += bytesRead;
        await this.#chunkLater(request, at - bytesRead, buffer.subarray(0, bytesRead), sizeBytes, at >= end, signal);
        if (at >= end) return;
      }
      this.#chunk(request, at, EMPTY, sizeBytes, true);
    } finally {
      await file.close();
    }
  }

  async #list({ request, group }: List, signal: AbortSignal): Promise<void> {
    const { experiment, template, indexes, attempts } = group;
    const leased = await this.#runs.templates.find(experiment, template);
    if (leased === undefined) throw new Error(`template ${experiment}.${template} is not known to this agent`);
    const { name, outputs } = leased.definition;
    let batch: ListedOutput[] = [];
    let problem: string | undefined;
    const send = (end: boolean): void => {
      this.#port.send({
        type: "listed",
        request,
        outputs: batch,
        ...(end && problem !== undefined && { problem }),
        end,
      });
      batch = [];
    };
    for (const [i, index] of indexes.entries()) {
      const directory = this.#runs.directoryOf({ experiment, template: name, index, attempt: attempts[i] ?? 0 });
      for (const output of outputs) {
        signal.throwIfAborted();
        const glob = parseGlob(output.glob);
        if ("message" in glob) continue;
        const found = await matchingFiles(directory, glob);
        problem ??= found.problem;
        for (const { path, sizeBytes } of found.files) {
          batch.push({ index, output: output.name, path, sizeBytes });
          if (batch.length < LISTED_AT_ONCE) continue;
          await this.#room(signal);
          send(false);
        }
      }
    }
    send(true);
  }

  async #chunkLater(
    request: number,
    offset: number,
    data: Uint8Array,
    totalBytes: number,
    end: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#room(signal);
    this.#chunk(request, offset, data, totalBytes, end);
  }

  async #room(signal: AbortSignal): Promise<void> {
    while (this.#port.queuedBytes() > QUEUED_BYTES_MAX) await pause(PAUSE_MS, signal);
    signal.throwIfAborted();
  }

  #chunk(request: number, offset: number, data: Uint8Array, totalBytes: number, end: boolean, missing?: string): void {
    this.#port.send({
      type: "chunk",
      request,
      offset,
      data,
      totalBytes,
      end,
      ...(missing !== undefined && { missing }),
    });
  }
}

const EMPTY = new Uint8Array(0);

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stopped = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stopped);
      resolve();
    }, ms);
    signal.addEventListener("abort", stopped, { once: true });
  });
}
