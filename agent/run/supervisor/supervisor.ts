/**
 * The agent's client of the runners: `openSupervisor` reaches or starts the supervisor of a state directory, learns what
 * is held there, and keeps connection and lanes alive through the death of any process but its own.
 */
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { AiravataError } from "../../../shared/error/error.ts";
import type { EndedEvent, OutputWindow, RunEvent, RunRequest, Supervisor, SupervisorOptions } from "./contract.ts";
import {
  ERROR_BUSY,
  ERROR_VERSION,
  Frame,
  FrameReader,
  frame,
  helloFrame,
  LANES_MAX,
  openLaneFrame,
} from "./frames.ts";
import { Lane, type LaneOwner } from "./lane.ts";
import { connectIn, reachSupervisor } from "./launch.ts";
import { encodeRun, invalid } from "./request.ts";

/** A broken lane or supervisor is tried again after 20 ms × 2^n, at most 2 s. */
const RETRY_FIRST_MS = 20;
const RETRY_MOST_MS = 2_000;
/** A supervisor answers a hello within microseconds; one that is stopped or hangs is not waited for longer. */
const HELLO_TIMEOUT_MS = 10_000;
/** Another agent's connection may still be closing when we come; a living one is refused after this. */
const BUSY_PATIENCE_MS = 1_000;

/** Throws `state_directory_in_use` when a living agent has it, `runner_unavailable` when no supervisor can be started. */
export async function openSupervisor(options: SupervisorOptions): Promise<Supervisor> {
  if (!Number.isInteger(options.lanes) || options.lanes < 1 || options.lanes > LANES_MAX)
    throw new AiravataError("setting_invalid", `An agent has 1 to ${LANES_MAX} lanes, not ${options.lanes}.`);
  const client = new Client(options);
  try {
    await client.open();
  } catch (error) {
    await client.close();
    throw error;
  }
  return client;
}

class Client implements Supervisor, LaneOwner {
  readonly adopted: Supervisor["adopted"] = { running: [], ended: [] };
  supervisorPid = 0;
  settled = false;
  readonly #options: SupervisorOptions;
  readonly #lanes = new Map<number, Lane>();
  /** Where each unacknowledged end is kept. */
  readonly #ends = new Map<string, { lane: number; seq: number }>();
  /** Lanes that somebody waits for. */
  readonly #waiting = new Map<number, PromiseWithResolvers<void>[]>();
  readonly #troubles = new Map<number, string>();
  #link: Socket | undefined;
  #over = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  async open(): Promise<void> {
    const holding = await this.#connect();
    await Promise.all(holding.map((lane) => this.#lane(lane).open()));
    for (const lane of this.#lanes.values()) this.adopted.running.push(...lane.held);
    this.settled = true;
  }

  onEvent(event: RunEvent): void {
    if (!this.#over) this.#options.onEvent(event);
  }

  run(lane: number, request: RunRequest): void {
    const { lanes } = this.#options;
    if (!Number.isInteger(lane) || lane < 0 || lane >= lanes)
      throw invalid(request, `its lane is ${lane} and there are ${lanes}, from 0`);
    if (this.#over) throw invalid(request, "the supervisor was closed");
    const it = this.#lane(lane);
    if (this.#ends.has(request.key) || it.has(request.key)) throw invalid(request, "its key is held already");
    if (it.full) throw invalid(request, `lane ${lane} is full`);
    it.run(request.key, encodeRun(request));
  }

  async kill(key: string, graceMs: number): Promise<boolean> {
    return (await this.#laneOf(key)?.kill(key, graceMs)) ?? false;
  }

  async recall(key: string): Promise<boolean> {
    return (await this.#laneOf(key)?.recall(key)) ?? false;
  }

  acknowledge(key: string): void {
    const end = this.#ends.get(key);
    if (end === undefined) return;
    this.#ends.delete(key);
    this.#lane(end.lane).acknowledge(end.seq);
  }

  async readOutput(
    key: string,
    stream: "stdout" | "stderr",
    offset: number,
    maxBytes: number,
  ): Promise<OutputWindow | null> {
    return (await this.#laneOf(key)?.read(key, stream === "stdout" ? 1 : 2, offset, maxBytes)) ?? null;
  }

  async close(options: { stop?: boolean; waitMs?: number } = {}): Promise<void> {
    this.#over = true;
    for (const lane of this.#lanes.values()) lane.close();
    for (const waiters of this.#waiting.values()) for (const waiter of waiters) waiter.reject(new Error("closed"));
    this.#waiting.clear();
    const link = this.#link;
    if (link === undefined || link.destroyed) return;
    if (options.stop !== true) {
      link.destroy();
      return;
    }
    link.write(frame(Frame.STOP, 0));
    const gone = new Promise<void>((resolve) => link.once("close", () => resolve()));
    const timeout = new AbortController();
    await Promise.race([gone, delay(options.waitMs ?? 0, undefined, { signal: timeout.signal }).catch(() => {})]);
    timeout.abort();
    link.destroy();
  }

  /** A socket to the lane's runner: asks the supervisor for one, and again, until it works or we are closed. */
  async reach(lane: number): Promise<Socket> {
    for (let pauseMs = RETRY_FIRST_MS; ; pauseMs = Math.min(pauseMs * 2, RETRY_MOST_MS)) {
      if (this.#over) throw new Error("closed");
      try {
        await this.#given(lane);
        return await connectIn(this.#options.stateDir, `lane-${lane}.sock`);
      } catch (error) {
        if (this.#over) throw error;
        /* A runner that just ended for lack of work is no trouble; one that fails twice is. */
        if (pauseMs > RETRY_FIRST_MS) this.trouble(lane, (error as Error).message);
      }
      await delay(pauseMs, undefined, { ref: false });
    }
  }

  ended(lane: number, seq: number, event: EndedEvent): boolean {
    if (this.#ends.has(event.key)) return false;
    this.#ends.set(event.key, { lane, seq });
    if (!this.settled) this.adopted.ended.push(event);
    return true;
  }

  knows(key: string): boolean {
    return this.#ends.has(key);
  }

  /** Keeps the reasons why runners are not to be had, and tells when the first comes and the last goes. */
  trouble(source: number, reason: string | null): void {
    const before = this.#troubles.size;
    if (reason === null) this.#troubles.delete(source);
    else this.#troubles.set(source, reason);
    if (reason !== null && before === 0) this.onEvent({ type: "unavailable", reason });
    if (reason === null && before === 1 && this.#troubles.size === 0) this.onEvent({ type: "available" });
  }

  #lane(number: number): Lane {
    let lane = this.#lanes.get(number);
    if (lane === undefined) {
      lane = new Lane(number, this);
      this.#lanes.set(number, lane);
    }
    return lane;
  }

  #laneOf(key: string): Lane | undefined {
    for (const lane of this.#lanes.values()) if (lane.has(key)) return lane;
    return undefined;
  }

  /** Resolves when the supervisor says that the lane's runner serves. */
  #given(lane: number): Promise<void> {
    const waiter = Promise.withResolvers<void>();
    const waiters = this.#waiting.get(lane);
    if (waiters === undefined) this.#waiting.set(lane, [waiter]);
    else waiters.push(waiter);
    this.#link?.write(openLaneFrame(lane));
    return waiter.promise;
  }

  /** Connects and says hello; resolves with the lanes that hold something. */
  async #connect(): Promise<number[]> {
    const patientUntil = performance.now() + BUSY_PATIENCE_MS;
    for (;;) {
      const socket = await reachSupervisor(this.#options.stateDir, this.#options.runnerPath, () => !this.#over);
      try {
        return await this.#hello(socket);
      } catch (error) {
        socket.destroy();
        if (this.#over || performance.now() > patientUntil) throw error;
      }
      await delay(RETRY_FIRST_MS);
    }
  }

  #hello(socket: Socket): Promise<number[]> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        socket.destroy();
        reject(new AiravataError("runner_unavailable", `The supervisor of ${this.#options.stateDir} does not answer.`));
      }, HELLO_TIMEOUT_MS);
      const reader = new FrameReader((type, buffer, from, to) => {
        if (type === Frame.WELCOME) {
          clearTimeout(timer);
          this.supervisorPid = buffer.readInt32LE(from + 4);
          this.#link = socket;
          for (const lane of this.#waiting.keys()) socket.write(openLaneFrame(lane));
          const lanes: number[] = [];
          for (let at = from + 40; at + 8 <= to; at += 8) lanes.push(buffer.readUInt32LE(at));
          resolve(lanes);
        } else if (type === Frame.LANE) {
          this.#onLane(buffer.readUInt32LE(from), buffer.readInt32LE(from + 4), buffer.toString("utf8", from + 8, to));
        } else if (type === Frame.ERROR) {
          reject(refusal(this.#options.stateDir, buffer.readUInt32LE(from), buffer.toString("utf8", from + 4, to)));
        }
      });
      socket.on("data", (chunk) => {
        if (!reader.push(chunk as Buffer)) socket.destroy();
      });
      socket.on("error", () => {});
      socket.on("close", () => {
        clearTimeout(timer);
        reject(new AiravataError("runner_unavailable", `The supervisor of ${this.#options.stateDir} hung up.`));
        if (this.#link === socket) this.#reconnect();
      });
      socket.write(helloFrame(this.#options.lanes));
    });
  }

  #onLane(lane: number, pid: number, sentence: string): void {
    const waiters = this.#waiting.get(lane) ?? [];
    this.#waiting.delete(lane);
    for (const waiter of waiters)
      if (pid !== 0) waiter.resolve();
      else waiter.reject(new AiravataError("runner_unavailable", sentence));
  }

  /** The supervisor died: runners serve on without it; a new one adopts them. */
  async #reconnect(): Promise<void> {
    this.#link = undefined;
    for (let pauseMs = RETRY_FIRST_MS; !this.#over; pauseMs = Math.min(pauseMs * 2, RETRY_MOST_MS)) {
      try {
        await this.#connect();
        if (this.#over) (this.#link as Socket | undefined)?.destroy();
        this.trouble(-1, null);
        return;
      } catch (error) {
        this.trouble(-1, (error as Error).message);
      }
      await delay(pauseMs, undefined, { ref: false });
    }
  }
}

function refusal(stateDir: string, code: number, sentence: string): AiravataError {
  if (code === ERROR_BUSY) return new AiravataError("state_directory_in_use", sentence, { data: { stateDir } });
  const hint =
    code === ERROR_VERSION ? " It leaves ten minutes after its last task; until then run the former version." : "";
  return new AiravataError("runner_unavailable", `${sentence}${hint}`, { data: { stateDir } });
}
