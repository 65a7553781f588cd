/**
 * The agent's end of one lane: the connection to its runner, the runs given to it, and the requests that wait for an
 * answer. A connection that ends is opened anew as long as anything is held; then what the runner tells is compared with
 * what was sent: a run that it neither holds nor has a record of was never started and is sent again.
 */
import type { Socket } from "node:net";
import { AiravataError } from "../../../shared/error/error.ts";
import type { EndedEvent, HeldRun, OutputWindow, RunEvent } from "./contract.ts";
import {
  Answer,
  ackFrame,
  ERROR_BUSY,
  Frame,
  FrameReader,
  helloFrame,
  killFrame,
  LANE_QUEUE_MAX,
  readFrame,
  readU64,
  recallFrame,
} from "./frames.ts";
import { decodeHeld, decodeRecord } from "./record.ts";

const RETRY_FIRST_MS = 20;
const RETRY_MOST_MS = 2_000;
/** 20 + 40 + … + 640 ms. */
const BUSY_TRIES = 6;

/** What a lane needs from its owner. */
export interface LaneOwner {
  /** A connected socket to the lane's runner, which is started if there is none. Keeps trying; rejects when closed. */
  reach(lane: number): Promise<Socket>;
  onEvent(event: RunEvent): void;
  /** False while `openSupervisor` gathers what was held before: ends are then collected instead of told. */
  readonly settled: boolean;
  /** An end came in: from now on `acknowledge` finds it. False: it is known already. */
  ended(lane: number, seq: number, event: EndedEvent): boolean;
  /** Is that key's end with us and not acknowledged yet? */
  knows(key: string): boolean;
  trouble(lane: number, reason: string | null): void;
}

type Request =
  | { kind: "kill"; key: string; graceMs: number; resolve(done: boolean): void }
  | { kind: "recall"; key: string; resolve(done: boolean): void }
  | { kind: "read"; key: string; bytes: Buffer; resolve(window: OutputWindow | null): void };

export class Lane {
  readonly number: number;
  readonly #owner: LaneOwner;
  /** Frame of each run that may have to be sent again; null once it is known to have been taken over. */
  readonly #runs = new Map<string, Buffer | null>();
  readonly #requests = new Map<number, Request>();
  #nextRequest = 1;
  #socket: Socket | undefined;
  #phase: "closed" | "opening" | "ready" = "closed";
  #out: Buffer[] = [];
  #acks: number[] = [];
  #flushing = false;
  #over = false;
  /** Connections that ended before the runner had told all; the next one waits for 20 ms × 2^n, at most 2 s. */
  #failures = 0;
  /** Told by the runner during the current opening. */
  #told = new Set<string>();
  /** Held by the runner when this process first came. */
  readonly held: HeldRun[] = [];
  #opened: PromiseWithResolvers<void> | undefined;

  constructor(number: number, owner: LaneOwner) {
    this.number = number;
    this.#owner = owner;
  }

  get full(): boolean {
    return this.#runs.size > LANE_QUEUE_MAX;
  }

  has(key: string): boolean {
    return this.#runs.has(key);
  }

  run(key: string, bytes: Buffer): void {
    this.#runs.set(key, bytes);
    this.#send(bytes);
  }

  kill(key: string, graceMs: number): Promise<boolean> {
    return new Promise((resolve) => this.#ask({ kind: "kill", key, graceMs, resolve }));
  }

  recall(key: string): Promise<boolean> {
    return new Promise((resolve) => this.#ask({ kind: "recall", key, resolve }));
  }

  read(key: string, stream: 1 | 2, offset: number, maxBytes: number): Promise<OutputWindow | null> {
    const bytes = readFrame(0, Buffer.from(key), stream, offset, maxBytes);
    return new Promise((resolve) => this.#ask({ kind: "read", key, bytes, resolve }));
  }

  acknowledge(seq: number): void {
    this.#acks.push(seq);
    if (this.#phase === "ready") this.#schedule();
    else if (!this.#over) this.open().catch(() => {});
  }

  /** Opens the connection; resolves when the runner has told all it holds. */
  open(): Promise<void> {
    if (this.#phase === "ready") return Promise.resolve();
    this.#opened ??= Promise.withResolvers<void>();
    if (this.#phase === "closed") {
      this.#phase = "opening";
      this.#owner.reach(this.number).then(
        (socket) => this.#connected(socket),
        (error) => this.#abandon(error),
      );
    }
    return this.#opened.promise;
  }

  close(): void {
    this.#over = true;
    this.#flush();
    this.#socket?.end();
    this.#abandon(undefined);
  }

  #abandon(error: unknown): void {
    this.#phase = "closed";
    for (const request of this.#requests.values())
      request.kind === "read" ? request.resolve(null) : request.resolve(false);
    this.#requests.clear();
    this.#opened?.promise.catch(() => {});
    this.#opened?.reject(error ?? new Error("closed"));
    this.#opened = undefined;
  }

  #ask(request: Request): void {
    const id = this.#nextRequest++;
    this.#requests.set(id, request);
    this.#send(requestFrame(id, request));
  }

  /** Before the lane is ready nothing need be kept: runs and requests are sent from their maps once it is. */
  #send(bytes: Buffer): void {
    if (this.#phase === "ready") {
      this.#out.push(bytes);
      this.#schedule();
    } else if (!this.#over) {
      this.open().catch(() => {});
    }
  }

  /** Whatever is said in one turn of the event loop goes out in one write. */
  #schedule(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    this.#flushing = false;
    if (this.#phase !== "ready") return;
    if (this.#acks.length > 0) {
      this.#out.push(ackFrame(this.#acks));
      this.#acks = [];
    }
    const out = this.#out;
    if (out.length === 0) return;
    this.#out = [];
    this.#socket?.write(out.length === 1 ? (out[0] as Buffer) : Buffer.concat(out));
  }

  #connected(socket: Socket): void {
    if (this.#over) {
      socket.destroy();
      return;
    }
    this.#socket = socket;
    this.#told.clear();
    const reader = new FrameReader((type, buffer, from, to) => this.#onFrame(type, buffer, from, to));
    socket.on("data", (chunk) => {
      if (!reader.push(chunk as Buffer)) socket.destroy();
    });
    socket.on("error", () => {});
    socket.on("close", () => this.#disconnected(socket));
    socket.write(helloFrame(0));
  }

  #disconnected(socket: Socket): void {
    if (this.#socket !== socket) return;
    const early = this.#phase === "opening";
    this.#socket = undefined;
    this.#phase = "closed";
    this.#out = [];
    if (this.#over) return;
    if (early)
      setTimeout(() => this.#reopen(), Math.min(RETRY_FIRST_MS * 2 ** this.#failures++, RETRY_MOST_MS)).unref();
    else this.#reopen();
  }

  /** With nothing held there is no hurry: the next run opens the lane again. */
  #reopen(): void {
    const needed = this.#runs.size + this.#requests.size + this.#acks.length > 0 || this.#opened !== undefined;
    if (needed && !this.#over && this.#phase === "closed") this.open().catch(() => {});
  }

  #onRefused(code: number, sentence: string): void {
    this.#owner.trouble(this.number, sentence);
    /* An agent that was killed is gone by now. A living one keeps its lanes: then this directory is not for us. */
    if (code === ERROR_BUSY && !this.#owner.settled && this.#failures >= BUSY_TRIES) {
      this.#over = true;
      this.#abandon(new AiravataError("state_directory_in_use", sentence));
    }
  }

  #onFrame(type: number, buffer: Buffer, from: number, to: number): void {
    switch (type) {
      case Frame.RECORD:
        this.#onRecord(buffer, from, to);
        return;
      case Frame.ANSWER:
        this.#onAnswer(buffer.readUInt32LE(from), buffer.readUInt32LE(from + 4));
        return;
      case Frame.DATA:
        this.#onData(buffer, from, to);
        return;
      case Frame.HELD: {
        const held = decodeHeld(buffer, from, to, this.number);
        if (held === undefined) return;
        this.#told.add(held.key);
        if (!this.#runs.has(held.key)) {
          this.held.push(held);
          this.#runs.set(held.key, null);
        }
        return;
      }
      case Frame.READY:
        this.#onReady();
        return;
      case Frame.ERROR:
        this.#onRefused(buffer.readUInt32LE(from), buffer.toString("utf8", from + 4, to));
        return;
      default:
        return;
    }
  }

  #onRecord(buffer: Buffer, from: number, to: number): void {
    const record = decodeRecord(buffer, from, to, this.number);
    if (record === undefined) {
      this.#socket?.destroy();
      return;
    }
    const { seq, event } = record;
    if (event.type === "started") {
      if (!this.#runs.has(event.key)) return;
      this.#runs.set(event.key, null);
      this.#owner.onEvent(event);
      return;
    }
    this.#told.add(event.key);
    const mine = this.#runs.delete(event.key);
    if (mine || !this.#owner.settled) {
      if (this.#owner.ended(this.number, seq, event) && this.#owner.settled) this.#owner.onEvent(event);
    } else if (!this.#owner.knows(event.key)) {
      /* Neither ours nor found at our start: we had acknowledged it, and the runner died before it knew. */
      this.#acks.push(seq);
    }
  }

  #onReady(): void {
    this.#phase = "ready";
    this.#failures = 0;
    this.#owner.trouble(this.number, null);
    for (const [key, bytes] of this.#runs) {
      if (this.#told.has(key)) continue;
      const recall = [...this.#requests].find(([, request]) => request.kind === "recall" && request.key === key);
      if (bytes === null) {
        /* It ran, and neither it nor a record of it is there: someone emptied the state directory. */
        this.#runs.delete(key);
        this.#owner.onEvent(lostWithoutRecord(key, this.number));
      } else if (recall !== undefined) {
        /* Never started, and not wanted any more. */
        this.#runs.delete(key);
        this.#requests.delete(recall[0]);
        (recall[1].resolve as (done: boolean) => void)(true);
      } else {
        this.#out.push(bytes);
      }
    }
    for (const [id, request] of this.#requests) this.#out.push(requestFrame(id, request));
    this.#opened?.resolve();
    this.#opened = undefined;
    this.#schedule();
  }

  #onAnswer(id: number, answer: number): void {
    const request = this.#requests.get(id);
    if (request === undefined || request.kind === "read") return;
    this.#requests.delete(id);
    if (request.kind === "recall" && answer === Answer.REMOVED) this.#runs.delete(request.key);
    request.resolve(request.kind === "recall" ? answer === Answer.REMOVED : answer !== Answer.UNKNOWN);
  }

  #onData(buffer: Buffer, from: number, to: number): void {
    const id = buffer.readUInt32LE(from);
    const request = this.#requests.get(id);
    if (request?.kind !== "read") return;
    this.#requests.delete(id);
    if (buffer.readUInt32LE(from + 4) === 0) request.resolve(null);
    else
      request.resolve({
        offset: readU64(buffer, from + 8),
        totalBytes: readU64(buffer, from + 16),
        data: Buffer.from(buffer.subarray(from + 24, to)),
      });
  }
}

function requestFrame(id: number, request: Request): Buffer {
  if (request.kind === "kill") return killFrame(id, Buffer.from(request.key), request.graceMs);
  if (request.kind === "recall") return recallFrame(id, Buffer.from(request.key));
  request.bytes.writeUInt32LE(id, 8);
  return request.bytes;
}

function lostWithoutRecord(key: string, lane: number): EndedEvent {
  const nothing = { bytes: 0, inline: Buffer.alloc(0), truncated: true };
  return {
    type: "ended",
    key,
    lane,
    cause: "runner_lost",
    exitCode: null,
    signal: null,
    stage: null,
    errno: 0,
    startedAtMs: 0,
    endedAtMs: Date.now(),
    durationMs: 0,
    cpuMs: 0,
    maxRssBytes: 0,
    readBytes: 0,
    writtenBytes: 0,
    stdout: nothing,
    stderr: nothing,
    coreDumped: false,
    folderEmpty: false,
    leftBehind: 0,
  };
}
