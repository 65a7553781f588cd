/**
 * A process with a share of the simulated agents: each a real session over a real socket, with its own key, that proves
 * itself, states its credit and renews as an agent does, and comes back with an agent's own back-off when its socket ends.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { reconnectDelayMs } from "../../../agent/lease/session.ts";
import { readIdentityKey, signHello } from "../../../shared/identity/identity.ts";
import { sessionTiming } from "../../../shared/model/constants.ts";
import type { AgentId } from "../../../shared/model/ids.ts";
import { decodeToAgent, encodeFrames } from "../../../shared/protocol/codec.ts";
import { type FromAgent, PROTOCOL_VERSION, type ToAgent } from "../../../shared/protocol/messages.ts";
import { exitOnSignals } from "../system/ending.ts";
import { FleetSocket } from "./socket.ts";

export interface Member {
  agent: number;
  name: string;
  /** PKCS #8 in PEM. */
  key: string;
}

export type FleetRequest =
  | { type: "begin"; url: string; members: Member[]; address: string; ttlMs: number; spreadMs: number }
  | { type: "count" };
export type FleetAnswer = { welcomed: number; refused: number };

const GIB = 2 ** 30;

let welcomed = 0;
/** Connections that were refused or broke before their welcome. */
let refused = 0;

class Session {
  private readonly member: Member;
  private readonly begin: Extract<FleetRequest, { type: "begin" }>;
  private readonly key: ReturnType<typeof readIdentityKey>;
  private failures = 0;
  private isWelcome = false;
  private renewal: NodeJS.Timeout | undefined;

  constructor(member: Member, begin: Extract<FleetRequest, { type: "begin" }>) {
    this.member = member;
    this.begin = begin;
    this.key = readIdentityKey(member.key);
  }

  connect(): void {
    const socket = new FleetSocket(new URL(this.begin.url), this.begin.address, {
      frame: (data) => this.receive(socket, data),
      closed: () => this.again(),
    });
  }

  private again(): void {
    clearInterval(this.renewal);
    if (this.isWelcome) welcomed--;
    else refused++;
    this.isWelcome = false;
    const { reconnectCapMs } = sessionTiming(this.begin.ttlMs);
    setTimeout(() => this.connect(), reconnectDelayMs(this.failures++, reconnectCapMs, Math.random()));
  }

  private receive(socket: FleetSocket, data: Buffer): void {
    // What comes after the welcome are answers to renewals.
    if (this.isWelcome) return;
    const message = decodeToAgent(data) as ToAgent;
    if (message.type === "challenge") this.hello(socket, message);
    else if (message.type === "welcome") {
      welcomed++;
      this.isWelcome = true;
      this.failures = 0;
      send(socket, { type: "free", ahead: 0, lastsMs: null, draining: false });
      const { heartbeatMs } = sessionTiming(message.ttlMs);
      const renew = (): void => send(socket, { type: "renew", sentAtMs: Math.round(performance.now()) });
      // Each at a moment of its own, as they are after any night.
      this.renewal = setTimeout(() => {
        renew();
        this.renewal = setInterval(renew, heartbeatMs);
      }, Math.random() * heartbeatMs);
    }
  }

  private hello(socket: FleetSocket, { nonce, timeline }: Extract<ToAgent, { type: "challenge" }>): void {
    const { agent, name } = this.member;
    const room = { cpus: 64, memoryBytes: 256 * GIB, gpus: 0, vramBytes: 0, diskBytes: 100 * GIB };
    send(socket, {
      type: "hello",
      version: PROTOCOL_VERSION,
      agent: agent as AgentId,
      name,
      proof: signHello(this.key, { nonce, timeline, agent, name }),
      program: "0.1.0",
      hostname: `${name}.cluster.example.org`,
      root: `/scratch/airavata/${name}`,
      capacity: { ...room, custom: {}, labels: {} },
      lastsMs: null,
      draining: false,
      held: [],
    });
  }
}

function send(socket: FleetSocket, message: FromAgent): void {
  for (const frame of encodeFrames(message)) socket.send(frame);
}

async function serve(): Promise<void> {
  exitOnSignals();
  process.once("disconnect", () => process.exit(0));
  process.on("message", async (request: FleetRequest) => {
    if (request.type === "count") {
      process.send?.({ welcomed, refused } satisfies FleetAnswer);
      return;
    }
    const pauseMs = request.spreadMs / request.members.length;
    let dueMs = performance.now();
    for (const member of request.members) {
      new Session(member, request).connect();
      dueMs += pauseMs;
      if (dueMs > performance.now()) await sleep(Math.max(1, dueMs - performance.now()));
    }
  });
}

if (process.send && process.argv[1] === fileURLToPath(import.meta.url)) await serve();
