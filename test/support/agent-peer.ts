/**
 * An agent that a test plays by hand, over a real WebSocket with real frames: it enrols, proves itself, and then does
 * what the test says. Nothing is answered by itself but what `serve` is asked to.
 */
import { setTimeout as delay } from "node:timers/promises";
import { WebSocket } from "ws";
import type { z } from "zod";
import type { RotateAgentKey } from "../../shared/api/agent.ts";
import { API_PREFIX } from "../../shared/api/routes.ts";
import {
  generateIdentityKey,
  publicKeyText,
  readIdentityKey,
  signHello,
  signRotation,
} from "../../shared/identity/identity.ts";
import { Blame, Outcome } from "../../shared/model/attempt.ts";
import type { AgentId } from "../../shared/model/ids.ts";
import { decodeToAgent, encodeFrames } from "../../shared/protocol/codec.ts";
import type { AttemptGroup, FromAgent, ToAgent } from "../../shared/protocol/messages.ts";
import type { TestCoordinator } from "./coordinator.ts";

const GIB = 2 ** 30;

export interface AgentIdentityForTest {
  agent: AgentId;
  name: string;
  privatePem: string;
}

/** Enrols an agent through the API, with a token made for it. */
export async function enrolTestAgent(
  at: Pick<TestCoordinator, "client">,
  name = "peer-1",
): Promise<AgentIdentityForTest> {
  const { token } = await at.client.call("createEnrolmentToken", {});
  const { privatePem, publicKey } = generateIdentityKey();
  const enrolled = await at.client.call("enrolAgent", { body: { token, name, public_key: publicKey } });
  return { agent: enrolled.agent as AgentId, name, privatePem };
}

/** A request that gives the agent another key, and the identity that it has afterwards. */
export function rotationOf(identity: AgentIdentityForTest): {
  body: z.input<typeof RotateAgentKey>;
  next: AgentIdentityForTest;
} {
  const { agent, name } = identity;
  const before = readIdentityKey(identity.privatePem);
  const { privatePem, publicKey } = generateIdentityKey();
  const claim = { agent, name, previousKey: publicKeyText(before), publicKey };
  const body = {
    agent,
    name,
    previous_key: claim.previousKey,
    public_key: publicKey,
    proof: signRotation(before, claim),
    new_proof: signRotation(readIdentityKey(privatePem), claim),
  };
  return { body, next: { ...identity, privatePem } };
}

type MessageOf<T extends ToAgent["type"]> = Extract<ToAgent, { type: T }>;

export class AgentPeer {
  readonly socket: WebSocket;
  readonly received: ToAgent[] = [];
  closed: { code: number; reason: string } | undefined;
  private readonly handlers = new Set<(message: ToAgent) => void>();

  constructor(url: string) {
    this.socket = new WebSocket(`${url.replace(/^http/, "ws")}${API_PREFIX}/agent/session`);
    this.socket.on("message", (data) => {
      const message = decodeToAgent(data as Buffer) as ToAgent;
      this.received.push(message);
      for (const handler of this.handlers) handler(message);
    });
    this.socket.on("error", () => {});
    this.socket.on("close", (code, reason) => (this.closed = { code, reason: reason.toString() }));
  }

  /** Also what came before: leases follow a welcome at once. */
  on(handler: (message: ToAgent) => void): void {
    for (const message of [...this.received]) handler(message);
    this.handlers.add(handler);
  }

  send(message: FromAgent): void {
    for (const frame of encodeFrames(message)) this.socket.send(frame);
  }

  /** The first received message of this type that the condition holds for, waiting for it. */
  async next<T extends ToAgent["type"]>(
    type: T,
    holds: (message: MessageOf<T>) => boolean = () => true,
  ): Promise<MessageOf<T>> {
    const isIt = (message: ToAgent): message is MessageOf<T> => message.type === type && holds(message as MessageOf<T>);
    return until(() => this.received.find(isIt), `a message "${type}"`);
  }

  waitClosed(): Promise<{ code: number; reason: string }> {
    return until(() => this.closed, "the end of the connection");
  }

  close(): void {
    this.socket.close();
  }
}

/** Polls a condition; a test's own limit is far above what anything here takes. */
export async function until<T>(
  look: () => T | undefined | false | Promise<T | undefined | false>,
  what: string,
  limitMs = 10_000,
): Promise<T> {
  for (const end = performance.now() + limitMs; performance.now() < end; await delay(5)) {
    const value = await look();
    if (value !== undefined && value !== false) return value;
  }
  throw new Error(`waited ${limitMs} ms for ${what}`);
}

/** A hello with four cpus and 8 GiB; `change` may spoil it. */
export function helloOf(
  identity: AgentIdentityForTest,
  challenge: MessageOf<"challenge">,
  change: Partial<Extract<FromAgent, { type: "hello" }>> = {},
): FromAgent {
  const { agent, name } = identity;
  const { nonce, timeline } = challenge;
  const proof = signHello(readIdentityKey(identity.privatePem), { nonce, timeline, agent, name });
  return {
    type: "hello",
    version: 1,
    agent,
    name,
    proof,
    program: "0.0.0-test",
    hostname: "test",
    root: `root-${name}`,
    capacity: {
      cpus: 4,
      memoryBytes: 8 * GIB,
      gpus: 0,
      vramBytes: 0,
      diskBytes: 100 * GIB,
      custom: {},
      labels: {},
    },
    lastsMs: null,
    draining: false,
    held: [],
    ...change,
  };
}

/** Connects and says hello; resolves when it is welcome. It renews by itself until it is closed. */
export async function connectAgent(at: TestCoordinator, identity: AgentIdentityForTest): Promise<AgentPeer> {
  const peer = new AgentPeer(at.url);
  peer.send(helloOf(identity, await peer.next("challenge")));
  const { ttlMs } = await peer.next("welcome");
  const renewal = setInterval(() => peer.send({ type: "renew", sentAtMs: Math.round(performance.now()) }), ttlMs / 4);
  peer.socket.on("close", () => clearInterval(renewal));
  return peer;
}

/** Reports that tasks of a group ended: by default all of them well. */
export function endGroup(peer: AgentPeer, group: AttemptGroup, exitCode = 0, tail?: string): void {
  const all = <T>(value: T): T[] => group.indexes.map(() => value);
  const now = Date.now();
  const failed = exitCode !== 0;
  peer.send({
    type: "ended",
    groups: [
      {
        experiment: group.experiment,
        template: group.template,
        indexes: group.indexes,
        attempts: group.attempts,
        outcomes: all(failed ? Outcome.FAILED : Outcome.COMPLETED),
        blames: all(failed ? Blame.EXIT : Blame.NONE),
        exitCodes: all(exitCode),
        signals: all(0),
        startedAtMs: all(now - 1_500),
        endedAtMs: all(now),
        cpuMs: all(10),
        memoryMaxBytes: all(1 << 20),
        ...(tail === undefined ? {} : { tails: Object.fromEntries(group.indexes.map((_, i) => [String(i), tail])) }),
      },
    ],
  });
}

/** Ends every lease well as soon as it comes, and asks for more. */
export function completeEverything(peer: AgentPeer, ahead = 10): void {
  peer.on((message) => {
    if (message.type !== "leases") return;
    for (const group of message.groups) endGroup(peer, group);
  });
  peer.send({ type: "free", ahead, lastsMs: null, draining: false });
}
