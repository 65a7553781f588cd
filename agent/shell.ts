/**
 * Performs the core's effects and feeds it what happens, one event after the other. A loop turn that saw events ends with
 * one `turn`, in which tasks start and reports go out together: nothing waits for a timer.
 */

import type { KeyObject } from "node:crypto";
import { join } from "node:path";
import { AiravataError, errorLine } from "../shared/error/error.ts";
import { signHello } from "../shared/identity/identity.ts";
import { type Logger, visible } from "../shared/log/log.ts";
import { HELLO_TIMEOUT_MS } from "../shared/model/constants.ts";
import { type AttemptKey, attemptKeyText } from "../shared/model/ids.ts";
import type { UnknownMessage } from "../shared/protocol/codec.ts";
import type { ToAgent } from "../shared/protocol/messages.ts";
import type { Clock } from "../shared/time/clock.ts";
import type { AgentEffect, AgentEvent, Now, UnsignedHello } from "./lease/contract.ts";
import { type AgentState, isPending } from "./lease/state.ts";
import { step } from "./lease/step.ts";
import { type MetricsSampler, startMetrics } from "./metrics/sampler.ts";
import type { Outbox } from "./report/outbox.ts";
import { isDiskLow } from "./run/resources.ts";
import type { RunPort, Runs } from "./run/runs.ts";
import { FileServer } from "./session/files.ts";
import { type Identity, saveIdentity } from "./session/identity.ts";
import { type KeyOwner, keyMadeAtMs, keyThatCounts, ownKey, rotateKey } from "./session/keys.ts";
import type { Ownership } from "./session/owner.ts";
import type { TlsFiles } from "./session/proxy.ts";
import { SessionSocket } from "./session/socket.ts";
import { Updater, type UpdaterOptions } from "./update/updater.ts";

/** How an agent left, and the sentence about it. */
export interface Ending {
  reason: Extract<AgentEffect, { type: "exit" }>["reason"] | "stopped" | "updated";
  message: string;
}

interface ShellOptions {
  stateDir: string;
  outputDir: string;
  apiUrl: string;
  env: Record<string, string | undefined>;
  tls?: TlsFiles | undefined;
  /** Period of the node's figures; 0: none are sampled. */
  metricsIntervalMs: number;
  update: Pick<UpdaterOptions, "own" | "news" | "trialMs">;
  identity: Identity;
  /** A key that is older is replaced; 0: none is. */
  keyMaxAgeMs: number;
  ownership: Ownership;
  log: Logger;
  clock: Clock;
}

/** A task that is over sooner is told by its end alone. */
const SAMPLED_AFTER_MS = 1_000;
/** Samples are left out while more waits to be sent: they come last. */
const METRICS_QUEUE_BYTES = 64 * 1024;
/** The disk is looked at this often; a full one is noticed by failing writes at once. */
const DISK_MS = 5_000;
/** After these the former key counts, or none does; `unauthorized` is what a coordinator says that knows no changes. */
const KEY_REFUSALS = new Set<string>(["agent_key_changed", "agent_revoked", "hello_refused", "unauthorized"]);
/** Its age is looked at this often, the first time anywhere in it, so that a site's agents do not come together. */
const KEY_LOOK_MS = 600_000;
/** Longest wait of a timer; beyond 2^31 ms Node would fire at once. */
const WAKE_MAX_MS = 60_000;
/** The version of the protocol from which on updates are spoken of. */
const UPDATES_SINCE = 2;
/** What is no fault of anybody is not worth a line in a quiet log. */
const QUIET_NOTES = new Set(["disconnected", "end_stale"]);

export class Shell {
  readonly over: Promise<Ending>;
  readonly #updater: Updater;
  readonly #options: ShellOptions;
  readonly #ended = Promise.withResolvers<Ending>();
  readonly #queue: AgentEvent[] = [];
  readonly #holds = new Map<string, string>();
  #state!: AgentState;
  #runs!: Runs;
  #outbox!: Outbox;
  #socket: SessionSocket | undefined;
  #files: FileServer | undefined;
  #feeding = false;
  #turnDue = false;
  #over = false;
  #connectTimer: NodeJS.Timeout | undefined;
  #wakeTimer: NodeJS.Timeout | undefined;
  #wakeAtMono = Number.POSITIVE_INFINITY;
  #diskTimer: NodeJS.Timeout | undefined;
  #drainTimer: NodeJS.Timeout | undefined;
  #keyTimer: NodeJS.Timeout | undefined;
  #metrics: MetricsSampler | undefined;

  constructor(options: ShellOptions) {
    this.#options = options;
    this.over = this.#ended.promise;
    const { stateDir, apiUrl, env, tls, log, update } = options;
    this.#updater = new Updater({
      ...update,
      stateDir,
      apiUrl,
      env,
      tls,
      log,
      send: (message) => {
        if (this.#state.version >= UPDATES_SINCE) this.#socket?.send(message);
      },
      leave: (version) => {
        const message = `version ${version} takes over; tasks run on`;
        void this.#leave({ reason: "updated", message });
      },
    });
  }

  readonly runPort: RunPort = {
    prepared: (key) => this.feed({ type: "prepared", key }),
    prepareFailed: (end) => this.feed({ type: "prepare_failed", end }),
    started: (key, startedAtMs) => this.feed({ type: "started", key, startedAtMs }),
    recalled: (key) => this.feed({ type: "recalled", key }),
    exited: (key) => this.feed({ type: "exited", key }),
    ended: (end) => this.feed({ type: "ended", end }),
    unavailable: (reason) => this.hold("runners", reason),
  };

  /** The core's first event, and everything after it. */
  begin(state: AgentState, runs: Runs, outbox: Outbox): void {
    this.#state = state;
    this.#runs = runs;
    this.#outbox = outbox;
    const reported = (key: string): boolean => outbox.has(key);
    const running = runs.adopted.running.filter(({ key }) => !reported(key));
    const collecting = runs.adopted.collecting.filter((key) => !reported(key));
    this.feed({ type: "adopted", running, collecting, ended: outbox.ends() });
    runs.start(reported);
    const reason = [...this.#holds.values()][0] ?? null;
    if (reason !== null) this.feed({ type: "hold", reason });
    this.#watchDisk();
    this.#measure();
    this.#watchKey();
    this.#updater.started();
  }

  /** The plan of the update that this agent left for. */
  get planPath(): string {
    return this.#updater.releases.planPath;
  }

  /** Takes an event; the core sees them in order, also those that performing an effect brings about. */
  feed(event: AgentEvent): void {
    if (this.#over) return;
    this.#queue.push(event);
    // Also for what comes while a turn is fed: a preparation may be over at once.
    if (event.type !== "turn") this.#turnLater();
    if (this.#feeding) return;
    this.#feeding = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        for (const effect of step(this.#state, next, this.#now())) this.#perform(effect);
      }
    } finally {
      this.#feeding = false;
    }
    this.#wakeLater();
  }

  /** Sets or lifts one of the reasons for which nothing is started. */
  hold(source: string, reason: string | null): void {
    const before = this.#holds.get(source);
    if (before === (reason ?? undefined)) return;
    if (reason === null) this.#holds.delete(source);
    else this.#holds.set(source, reason);
    this.#options.log[reason === null ? "info" : "warn"](reason ?? `${source}: all is well again`);
    if (this.#state !== undefined) this.feed({ type: "hold", reason: [...this.#holds.values()][0] ?? null });
  }

  /** Begins to leave, and leaves when that takes too long. */
  drain(reason: string, timeoutMs: number): void {
    this.feed({ type: "drain", reason });
    if (this.#drainTimer !== undefined || this.#over) return;
    this.#drainTimer = setTimeout(() => {
      const held = this.#state.leases.size;
      const message = `${held} attempts were still held ${timeoutMs} ms after the drain began; tasks run on`;
      void this.#leave({ reason: "stopped", message });
    }, timeoutMs);
  }

  async stop(): Promise<void> {
    await this.#leave({ reason: "stopped", message: "stopped; tasks run on" });
  }

  #now(): Now {
    const { clock } = this.#options;
    return { mono: clock.mono(), wall: clock.wall() };
  }

  #turnLater(): void {
    if (this.#turnDue) return;
    this.#turnDue = true;
    setImmediate(() => {
      this.#turnDue = false;
      this.feed({ type: "turn", writable: this.#socket?.writable ?? true });
    });
  }

  #wakeLater(): void {
    const { wakeAtMono } = this.#state;
    if (wakeAtMono === this.#wakeAtMono || this.#over) return;
    this.#wakeAtMono = wakeAtMono;
    clearTimeout(this.#wakeTimer);
    const delayMs = Math.min(WAKE_MAX_MS, Math.max(1, Math.ceil(wakeAtMono - this.#options.clock.mono())));
    this.#wakeTimer = setTimeout(() => {
      this.#wakeAtMono = Number.NaN;
      // After a pause of the whole process what the sockets have is read first, then time is looked at.
      setImmediate(() => this.feed({ type: "tick" }));
    }, delayMs);
  }

  #perform(effect: AgentEffect): void {
    switch (effect.type) {
      case "connect":
        this.#connect(effect.connection, effect.delayMs);
        break;
      case "disconnect":
        this.#disconnect(effect.reason);
        break;
      case "hello":
        void this.#hello(effect.nonce, effect.timeline, effect.message);
        break;
      case "send":
        this.#socket?.send(effect.message);
        break;
      case "prepare":
        this.#runs.prepare(effect.lease);
        break;
      case "discard":
        this.#runs.discard(effect.lease.key);
        break;
      case "run":
        this.#runs.run(effect.lease);
        break;
      case "recall":
        this.#runs.recall(effect.key);
        break;
      case "kill":
        this.#options.log.info("ending a task", { attempt: effect.key, reason: effect.reason });
        this.#runs.kill(effect.key, effect.graceMs);
        break;
      case "persist":
        this.#outbox.append(effect.ends);
        break;
      case "forget":
        this.#outbox.forget(effect.keys);
        this.#runs.forget(effect.keys);
        break;
      case "publish":
        this.#publish(effect.attempt);
        break;
      case "remember":
        void this.#remember(effect.timeline);
        break;
      case "note":
        this.#options.log[QUIET_NOTES.has(effect.code) ? "info" : "warn"](visible(effect.message), {
          code: effect.code,
        });
        break;
      case "exit":
        if (effect.reason !== "drained") this.#updater.refused(effect.message);
        void this.#leave({ reason: effect.reason, message: this.#advice(effect.reason, effect.message) });
        break;
    }
  }

  #publish(attempt: AttemptKey): void {
    const key = attemptKeyText(attempt);
    if (this.#runs.leftNothing(key)) return;
    void this.#runs.publish(key, attempt).catch((error) => {
      this.#options.log.warn("an attempt could not be linked", { attempt: key, error });
    });
  }

  #connect(connection: number, delayMs: number): void {
    clearTimeout(this.#connectTimer);
    this.#disconnect("a new connection is made");
    this.#connectTimer = setTimeout(() => {
      const { apiUrl, env, tls, update } = this.#options;
      const socket: SessionSocket = new SessionSocket({
        apiUrl,
        env,
        tls,
        program: update.own.version,
        timeoutMs: HELLO_TIMEOUT_MS,
        opened: () => this.feed({ type: "connected", connection }),
        message: (message) => this.#receive(socket, connection, message),
        closed: (reason) => this.feed({ type: "disconnected", connection, reason }),
        drained: () => this.#turnLater(),
      });
      this.#socket = socket;
      this.#files = new FileServer(this.#runs, {
        send: (message) => socket.send(message),
        queuedBytes: () => socket.queuedBytes,
        isPending: (key) => isPending(this.#state, key),
      });
    }, delayMs);
  }

  #disconnect(reason: string): void {
    this.#files?.close();
    this.#socket?.close(reason);
    this.#files = undefined;
    this.#socket = undefined;
  }

  #receive(socket: SessionSocket, connection: number, message: ToAgent | UnknownMessage): void {
    if (socket !== this.#socket) return;
    switch (message.type) {
      case "read":
        this.#files?.read(message);
        break;
      case "read_stop":
        this.#files?.stop(message.request);
        break;
      case "list":
        this.#files?.list(message);
        break;
      case "unknown": {
        const text = `this agent does not know the message ${JSON.stringify(message.name)}`;
        this.#options.log.warn(visible(text));
        socket.send({ type: "error", code: "frame_invalid", message: text, reaction: "none" });
        break;
      }
      case "update":
        this.#updater.asked(message);
        break;
      default:
        this.feed({ type: "received", connection, message });
        if (message.type === "welcome" && this.#state.session === "ready") this.#updater.welcomed();
    }
  }

  async #hello(nonce: string, timeline: number, message: UnsignedHello): Promise<void> {
    const socket = this.#socket;
    const { connection } = this.#state;
    const { agent, name } = this.#options.identity;
    try {
      const key = await keyThatCounts(this.#keyOwner).catch((error: unknown) => this.#keyDespite(error));
      if (socket === this.#socket)
        socket?.send({ ...message, proof: signHello(key, { nonce, timeline, agent, name }) });
    } catch (error) {
      socket?.close("the agent does not know which of its keys counts");
      this.feed({ type: "disconnected", connection, reason: errorLine(error) });
    }
  }

  /** What the coordinator refuses a change with it says in its answer to the hello as well: the former key signs that. */
  #keyDespite(error: unknown): Promise<KeyObject> {
    if (!(error instanceof AiravataError && KEY_REFUSALS.has(error.code))) throw error;
    this.#options.log.warn("the key could not be changed", { error });
    return ownKey(this.#options.stateDir);
  }

  get #keyOwner(): KeyOwner {
    const { stateDir, apiUrl, identity, env, tls } = this.#options;
    return { stateDir, apiUrl, agent: identity.agent, name: identity.name, way: { env, tls } };
  }

  #watchKey(): void {
    const { keyMaxAgeMs, stateDir, log, clock } = this.#options;
    if (keyMaxAgeMs === 0) return;
    const look = async (): Promise<void> => {
      try {
        const isOld = clock.wall() - (await keyMadeAtMs(stateDir)) >= keyMaxAgeMs;
        // The coordinator ends the session with the former key; leases live on until the next one.
        if (isOld && this.#state.session === "ready") {
          await rotateKey(this.#keyOwner);
          log.info("the key was changed", { age_ms: keyMaxAgeMs });
        }
      } catch (error) {
        log.warn("the key could not be changed; it is tried again", { error });
      }
      if (!this.#over) this.#keyTimer = setTimeout(look, Math.min(KEY_LOOK_MS, keyMaxAgeMs));
    };
    this.#keyTimer = setTimeout(look, Math.min(KEY_LOOK_MS, keyMaxAgeMs) * Math.random());
  }

  #advice(reason: Ending["reason"], message: string): string {
    if (reason !== "enrol" && reason !== "revoked") return message;
    const { stateDir } = this.#options;
    const files = `${join(stateDir, "agent.json")} and agent.key beside it`;
    return `${message}; to enrol anew remove ${files} and start with a new AIRAVATA_ENROLMENT_TOKEN`;
  }

  /** Only when the outbox holds nothing of the former history any more: the next process would tell it to this one. */
  async #remember(timeline: number): Promise<void> {
    const { identity, stateDir, log } = this.#options;
    if (!(await this.#outbox.flushed())) return;
    identity.timeline = timeline;
    await saveIdentity(stateDir, identity).catch((error) => log.error("the timeline could not be kept", { error }));
  }

  #watchDisk(): void {
    const { outputDir } = this.#options;
    const look = async (): Promise<void> => {
      const low = await isDiskLow(outputDir).catch(() => false);
      if (this.#over) return;
      this.hold("disk", low ? `the disk of ${outputDir} is nearly full: nothing is started until there is room` : null);
      this.#diskTimer = setTimeout(look, DISK_MS);
    };
    void look();
  }

  #measure(): void {
    const { metricsIntervalMs: intervalMs, outputDir, clock, log } = this.#options;
    if (intervalMs === 0) return;
    this.#metrics = startMetrics({
      outputDir,
      intervalMs,
      running: () => this.#runs.running(clock.wall() - SAMPLED_AFTER_MS),
      isWanted: () =>
        this.#state.session === "ready" &&
        this.#state.version >= 2 &&
        (this.#socket?.queuedBytes ?? Number.POSITIVE_INFINITY) <= METRICS_QUEUE_BYTES,
      send: (message) => this.#socket?.send(message),
      failed: (error) => log.warn("figures of this node could not be sampled", { error }),
      mono: () => clock.mono(),
      wall: () => clock.wall(),
    });
  }

  async #leave(ending: Ending): Promise<void> {
    if (this.#over) {
      await this.over;
      return;
    }
    this.#over = true;
    this.#updater.close();
    for (const timer of [this.#connectTimer, this.#wakeTimer, this.#diskTimer, this.#drainTimer, this.#keyTimer]) {
      clearTimeout(timer);
    }
    this.#metrics?.stop();
    const socket = this.#socket;
    this.#disconnect(ending.message);
    await socket?.gone;
    await this.#runs.close(ending.reason === "drained" || ending.reason === "revoked");
    await this.#outbox.close();
    await this.#options.ownership.release();
    this.#ended.resolve(ending);
  }
}
