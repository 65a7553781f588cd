/** An agent without processes: a real session over a real socket that reports every lease as completed at once. */
import WebSocket from "ws";
import type { Client } from "../../../shared/api/client.ts";
import { generateIdentityKey, readIdentityKey, signHello } from "../../../shared/identity/identity.ts";
import type { AgentId } from "../../../shared/model/ids.ts";
import { decodeToAgent, encodeFrames } from "../../../shared/protocol/codec.ts";
import { type FromAgent, type LeaseGroup, PROTOCOL_VERSION, type ToAgent } from "../../../shared/protocol/messages.ts";

/** What it says it has: enough that credit, not room, is the bound. */
const CPUS = 2_000;
const AHEAD = 1_000;
const GIB = 2 ** 30;

interface InstantIdentity {
  agent: AgentId;
  name: string;
  key: ReturnType<typeof readIdentityKey>;
}

export async function enrolInstant(client: Client): Promise<InstantIdentity> {
  const created = await client.call("createEnrolmentToken", { body: { note: "bench" } });
  const { privatePem, publicKey } = generateIdentityKey();
  const name = `bench-${process.pid}`;
  const enrolled = await client.call("enrolAgent", { body: { token: created.token, name, public_key: publicKey } });
  return { agent: enrolled.agent as AgentId, name, key: readIdentityKey(privatePem) };
}

export class InstantAgent {
  /** Settles with its first lease. */
  readonly leased = Promise.withResolvers<void>();
  private readonly socket: WebSocket;
  private acked = 0;
  private wanted = 0;
  private finish: () => void = () => {};
  private fail: (error: Error) => void = () => {};
  private closing = false;
  private renewals: NodeJS.Timeout | undefined;

  private constructor(socket: WebSocket) {
    this.socket = socket;
  }

  /** Enrols as any agent does and opens its session; resolves when it was welcomed. */
  static async enrol(url: string, client: Client): Promise<InstantAgent> {
    return InstantAgent.connect(url, await enrolInstant(client));
  }

  /** Opens the session of one that is enrolled. With `ahead` −1 it takes nothing, not even what fits. */
  static async connect(url: string, identity: InstantIdentity, ahead = AHEAD): Promise<InstantAgent> {
    const socket = new WebSocket(`${url.replace(/^http/, "ws")}/api/v1/agent/session`, { perMessageDeflate: false });
    const agent = new InstantAgent(socket);
    await agent.open(identity, ahead);
    return agent;
  }

  /** States its credit anew. */
  credit(ahead = AHEAD): void {
    this.send({ type: "free", ahead, lastsMs: null, draining: false });
  }

  /** Ends that were acknowledged since `expect` was called. */
  get ended(): number {
    return this.acked;
  }

  /** Resolves when that many more ends were acknowledged. */
  expect(tasks: number): Promise<void> {
    this.acked = 0;
    this.wanted = tasks;
    return new Promise((resolve, reject) => {
      this.finish = resolve;
      this.fail = reject;
    });
  }

  close(): void {
    this.closing = true;
    clearInterval(this.renewals);
    this.socket.close();
  }

  private open({ agent, name, key }: InstantIdentity, ahead: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.socket.on("error", reject);
      this.fail = reject;
      this.socket.on("close", () => {
        if (!this.closing) this.fail(new Error("the coordinator closed the session"));
      });
      this.socket.on("message", (data) => {
        const message = decodeToAgent(data as Buffer);
        if (message.type === "challenge") this.hello(message, key, agent, name);
        else if (message.type === "welcome") {
          this.credit(ahead);
          this.renewals = setInterval(
            () => this.send({ type: "renew", sentAtMs: Math.round(performance.now()) }),
            message.ttlMs / 4,
          );
          resolve();
        } else if (message.type === "leases") {
          this.leased.resolve();
          this.endAll(message.groups);
        } else if (message.type === "ack") this.count(message);
        else if (message.type === "error") this.fail(new Error(message.message));
      });
    });
  }

  private hello(
    challenge: Extract<ToAgent, { type: "challenge" }>,
    key: ReturnType<typeof readIdentityKey>,
    agent: AgentId,
    name: string,
  ): void {
    const { nonce, timeline } = challenge;
    const proof = signHello(key, { nonce, timeline, agent, name });
    const room = { cpus: CPUS, memoryBytes: 1024 * GIB, gpus: 0, vramBytes: 0, diskBytes: 1024 * GIB };
    this.send({
      type: "hello",
      version: PROTOCOL_VERSION,
      agent,
      name,
      proof,
      program: "bench",
      hostname: "bench",
      root: name,
      capacity: { ...room, custom: {}, labels: {} },
      lastsMs: null,
      draining: false,
      held: [],
    });
  }

  private endAll(groups: LeaseGroup[]): void {
    const now = Date.now();
    this.send({
      type: "ended",
      groups: groups.map(({ experiment, template, indexes, attempts }) => {
        const zeros = indexes.map(() => 0);
        const times = indexes.map(() => now);
        return {
          ...{ experiment, template, indexes, attempts },
          ...{ outcomes: zeros, blames: zeros, exitCodes: zeros, signals: zeros, cpuMs: zeros, memoryMaxBytes: zeros },
          ...{ startedAtMs: times, endedAtMs: times },
        };
      }),
    });
  }

  private count(message: Extract<ToAgent, { type: "ack" }>): void {
    if (message.refused && message.refused.length > 0) throw new Error(message.refused[0]?.message);
    for (const group of message.groups) this.acked += group.indexes.length;
    if (this.acked >= this.wanted) this.finish();
  }

  private send(message: FromAgent): void {
    for (const frame of encodeFrames(message)) this.socket.send(frame);
  }
}
