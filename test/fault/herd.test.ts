/**
 * A thousand agents lose their coordinator at once and come back at once, each with a task that runs: simulated sessions,
 * over real sockets, with an agent's own back-off. All are back in time, and nobody's lease is lost.
 *   AIRAVATA_FAULT_AGENTS=10000 bin/node --test test/fault/herd.test.ts
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { reconnectDelayMs } from "../../agent/lease/session.ts";
import { SESSION_TTL_MS, sessionTiming } from "../../shared/model/constants.ts";
import type { LeaseGroup, ToAgent } from "../../shared/protocol/messages.ts";
import { type AgentIdentityForTest, AgentPeer, endGroup, enrolTestAgent, helloOf } from "../support/agent-peer.ts";
import { until } from "../support/fault-process.ts";
import { FaultStack } from "../support/fault-stack.ts";

const AGENTS = Number(process.env.AIRAVATA_FAULT_AGENTS ?? 1_000);
/** Enrolments at once. */
const ENROLLING = 20;
/** Far above what it takes: an agent waits a second before it dials anew, and up to 8 s where it was refused. */
const TIMEOUT_MS = 120_000;

test("a thousand agents come back at once, and nothing that they hold is lost", { timeout: 300_000 }, async (t) => {
  await FaultStack.with({}, async (stack) => {
    await stack.agent.kill("SIGTERM");
    const identities: AgentIdentityForTest[] = [];
    const enrol = async (): Promise<void> => {
      for (let i = identities.length; i < AGENTS; i = identities.length) {
        identities.push(undefined as never);
        identities[i] = await enrolTestAgent(stack, `herd-${i}`);
      }
    };
    await Promise.all(Array.from({ length: ENROLLING }, enrol));
    const herd = identities.map((identity) => new Member(stack.url, identity));
    try {
      await until("all are there", () => herd.every(({ isWelcome }) => isWelcome), TIMEOUT_MS);
      const id = await stack.submit({
        tasks: { work: { argv: ["true"], task_inputs: { i: `1..${AGENTS}` }, requires: { cpu: 4, ram_gb: 1 } } },
      });
      await until("each holds one", () => herd.every(({ held }) => held !== undefined), TIMEOUT_MS);
      const diedMs = performance.now();
      await stack.coordinator.kill("SIGKILL");
      await until("all have noticed", () => herd.every(({ isWelcome }) => !isWelcome), TIMEOUT_MS);
      stack.coordinator.start();
      await stack.leads();
      const ledMs = performance.now();
      await until("all are back", () => herd.every(({ isWelcome }) => isWelcome), TIMEOUT_MS);
      const backMs = Math.round(performance.now() - ledMs);
      const refused = herd.reduce((sum, member) => sum + member.refused, 0);
      t.diagnostic(
        `${AGENTS} agents were back ${backMs} ms after the coordinator led, which took ${Math.round(ledMs - diedMs)} ms; ${refused} connections were refused`,
      );
      assert.deepEqual(
        herd.filter(({ superseded }) => superseded > 0).map(({ name }) => name),
        [],
      );
      for (const member of herd) member.complete();
      assert.equal((await stack.ended(id)).state, "COMPLETED");
      // What each held when its coordinator died is what counts: nothing was given to another one.
      const ends = await stack.rows<{ index: number; attempt: number }>(
        "select index, attempt from attempt where experiment = $1 and disposition = 'FINAL'",
        [id],
      );
      const held = herd.map((member) => `${member.held?.indexes[0]} ${member.held?.attempts[0]}`);
      assert.deepEqual(ends.map(({ index, attempt }) => `${index} ${attempt}`).sort(), held.sort());
    } finally {
      for (const member of herd) member.leave();
    }
  });
});

/** One session after the other, until it leaves. It holds what it is leased first, and asks for no more. */
class Member {
  held: LeaseGroup | undefined;
  isWelcome = false;
  refused = 0;
  superseded = 0;
  readonly #url: string;
  readonly #identity: AgentIdentityForTest;
  #peer!: AgentPeer;
  #failures = 0;
  #hasLeft = false;
  #timer: NodeJS.Timeout | undefined;
  #renewal: NodeJS.Timeout | undefined;

  constructor(url: string, identity: AgentIdentityForTest) {
    this.#url = url;
    this.#identity = identity;
    this.#connect();
  }

  get name(): string {
    return this.#identity.name;
  }

  complete(): void {
    if (this.held !== undefined) endGroup(this.#peer, this.held);
  }

  leave(): void {
    this.#hasLeft = true;
    clearTimeout(this.#timer);
    clearInterval(this.#renewal);
    this.#peer.socket.terminate();
  }

  #connect(): void {
    const peer = new AgentPeer(this.#url);
    this.#peer = peer;
    peer.on((message) => this.#receive(peer, message));
    peer.socket.on("close", () => {
      clearInterval(this.#renewal);
      if (!this.isWelcome) this.refused++;
      this.isWelcome = false;
      const { reconnectCapMs } = sessionTiming(SESSION_TTL_MS);
      const waitMs = reconnectDelayMs(this.#failures++, reconnectCapMs, Math.random());
      if (!this.#hasLeft) this.#timer = setTimeout(() => this.#connect(), waitMs);
    });
  }

  #receive(peer: AgentPeer, message: ToAgent): void {
    if (message.type === "challenge") {
      const { held } = this;
      const groups = held === undefined ? [] : [{ ...attemptsOf(held), phases: held.indexes.map(() => 1) }];
      peer.send(helloOf(this.#identity, message, { held: groups }));
    } else if (message.type === "welcome") {
      this.isWelcome = true;
      this.#failures = 0;
      this.superseded += message.superseded.length;
      const renew = (): void => peer.send({ type: "renew", sentAtMs: Math.round(performance.now()) });
      this.#renewal = setInterval(renew, message.ttlMs / 4);
      if (this.held === undefined) peer.send({ type: "free", ahead: 0, lastsMs: null, draining: false });
    } else if (message.type === "leases") this.held ??= message.groups[0];
  }
}

function attemptsOf({ experiment, template, indexes, attempts }: LeaseGroup) {
  return { experiment, template, indexes, attempts };
}
