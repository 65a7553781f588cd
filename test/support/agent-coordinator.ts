/**
 * A coordinator for agents under test: real HTTP and WebSocket on loopback, no decisions of its own. A test says what it
 * sends and waits for what came; messages are kept in order.
 */
import { createPublicKey, verify } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";
import type { ExperimentId } from "../../shared/model/ids.ts";
import { decodeFromAgent, encodeFrames } from "../../shared/protocol/codec.ts";
import {
  type AttemptGroup,
  type EndGroup,
  type FromAgent,
  helloProofText,
  type LeasedTemplate,
  type LeaseGroup,
  PROTOCOL_VERSION,
  type ToAgent,
} from "../../shared/protocol/messages.ts";

type Hello = Extract<FromAgent, { type: "hello" }>;

/** One reported end, out of its columns. */
export interface ReportedEnd {
  index: number;
  attempt: number;
  outcome: number;
  blame: number;
  exitCode: number;
  signal: number;
  startedAtMs: number;
  tail: string | undefined;
  detail: string | undefined;
}

export class FakeCoordinator {
  ttlMs = 3_000;
  /** The newest version it speaks. */
  version = PROTOCOL_VERSION;
  timeline = 1;
  /** False: renewals are left unanswered. */
  renewing = true;
  /** True: every end is acknowledged at once. */
  acking = true;
  /** What the next welcome calls superseded. */
  superseded: AttemptGroup[] = [];
  readonly received: FromAgent[] = [];
  readonly hellos: Hello[] = [];
  readonly ends: ReportedEnd[] = [];
  epoch = 0;
  url = "";
  #server: Server | undefined;
  #sockets: WebSocketServer | undefined;
  #current: WebSocket | undefined;
  #publicKey = "";
  #port = 0;
  #waiters = new Set<() => void>();

  /** Listens; a second call after `stop` takes the same port again. */
  async start(): Promise<void> {
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const body = JSON.parse(Buffer.concat(chunks).toString() || "{}") as { public_key?: string; name?: string };
        const ok = request.url === "/api/v1/agent/enrol" && request.method === "POST";
        if (ok) this.#publicKey = body.public_key ?? "";
        response.writeHead(ok ? 201 : 404, { "content-type": "application/json" });
        response.end(JSON.stringify(ok ? { agent: 7, name: body.name, timeline: this.timeline } : {}));
      });
    });
    this.#sockets = new WebSocketServer({ server, path: "/api/v1/agent/session", perMessageDeflate: false });
    this.#sockets.on("connection", (socket) => this.#serve(socket));
    server.listen(this.#port, "127.0.0.1");
    await once(server, "listening");
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
    this.url = `http://127.0.0.1:${this.#port}`;
  }

  /** Cuts every connection and stops listening. */
  async stop(): Promise<void> {
    for (const socket of this.#sockets?.clients ?? []) socket.terminate();
    this.#sockets?.close();
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }

  send(message: ToAgent): void {
    for (const frame of encodeFrames(message)) this.#current?.send(frame);
  }

  sendBytes(bytes: Uint8Array): void {
    this.#current?.send(bytes);
  }

  cut(): void {
    this.#current?.terminate();
  }

  lease(experiment: number, leased: LeasedTemplate, indexes: number[], more: Partial<LeaseGroup> = {}): void {
    const attempts = more.attempts ?? indexes.map(() => 1);
    const group = { template: leased.definition.ordinal, indexes, attempts, leased, medianMs: 0, ...more };
    this.send({ type: "leases", groups: [{ ...group, experiment: experiment as ExperimentId }] });
  }

  ack(experiment: number, template: number, indexes: number[], attempts = indexes.map(() => 1)): void {
    this.send({ type: "ack", groups: [{ experiment: experiment as ExperimentId, template, indexes, attempts }] });
  }

  /** Waits until the condition holds; it is looked at whenever something came. */
  async until(what: string, condition: () => boolean, timeoutMs = 20_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!condition()) {
      const left = deadline - performance.now();
      if (left <= 0) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`);
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          clearTimeout(timer);
          this.#waiters.delete(wake);
          resolve();
        };
        const timer = setTimeout(wake, Math.min(left, 50));
        this.#waiters.add(wake);
      });
    }
  }

  /** Waits for a message of this type, after the first `skip` ones. */
  async message<T extends FromAgent["type"]>(type: T, skip = 0): Promise<Extract<FromAgent, { type: T }>> {
    const found = (): FromAgent | undefined => this.received.filter((message) => message.type === type)[skip];
    await this.until(`a message "${type}"`, () => found() !== undefined);
    return found() as Extract<FromAgent, { type: T }>;
  }

  #serve(socket: WebSocket): void {
    const nonce = `nonce-${Math.random()}`;
    socket.binaryType = "nodebuffer";
    socket.on("error", () => {});
    socket.on("message", (data) => {
      const message = decodeFromAgent(data as Buffer);
      if (message.type === "unknown") throw new Error(`the agent sent an unknown message ${message.name}`);
      this.#receive(socket, nonce, message);
      for (const wake of [...this.#waiters]) wake();
    });
    const { timeline } = this;
    this.#send(socket, {
      type: "challenge",
      version: this.version,
      versionOldest: 1,
      nonce,
      timeline,
    });
  }

  #receive(socket: WebSocket, nonce: string, message: FromAgent): void {
    this.received.push(message);
    const { timeline, ttlMs, superseded } = this;
    if (message.type === "hello") {
      const key = createPublicKey({ key: Buffer.from(this.#publicKey, "base64"), format: "der", type: "spki" });
      const text = Buffer.from(helloProofText(nonce, timeline, message.agent, message.name));
      if (!verify(null, text, key, Buffer.from(message.proof, "base64"))) throw new Error("the proof is wrong");
      this.hellos.push(message);
      this.#current = socket;
      this.#send(socket, { type: "welcome", epoch: ++this.epoch, timeline, ttlMs, superseded });
    } else if (message.type === "renew" && this.renewing) {
      this.#send(socket, { type: "renewed", sentAtMs: message.sentAtMs });
    } else if (message.type === "ended") {
      for (const group of message.groups) this.ends.push(...rowsOf(group));
      if (!this.acking) return;
      const groups = message.groups.map(({ experiment, template, indexes, attempts }) => ({
        experiment,
        template,
        indexes,
        attempts,
      }));
      this.#send(socket, { type: "ack", groups });
    }
  }

  #send(socket: WebSocket, message: ToAgent): void {
    for (const frame of encodeFrames(message)) socket.send(frame);
  }
}

function rowsOf(group: EndGroup): ReportedEnd[] {
  return group.indexes.map((index, i) => ({
    index,
    attempt: group.attempts[i] ?? 0,
    outcome: group.outcomes[i] ?? -1,
    blame: group.blames[i] ?? -1,
    exitCode: group.exitCodes[i] ?? -2,
    signal: group.signals[i] ?? -1,
    startedAtMs: group.startedAtMs[i] ?? -1,
    tail: group.tails?.[i],
    detail: group.details?.[i],
  }));
}
