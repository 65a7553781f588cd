/**
 * Random histories: a list of small numbers becomes submits, hellos, reports (also stale, repeated and invented ones),
 * losses, decisions and commits, so that a failing history shrinks to a short one.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Blame, Outcome } from "../../../shared/model/attempt.ts";
import type { ExperimentId } from "../../../shared/model/ids.ts";
import type { HeldGroup } from "../../../shared/protocol/messages.ts";
import { experiment, submitOf, type TemplatePart } from "./definitions.ts";
import { capacity, report, Stage } from "./stage.ts";

export type Move = { kind: number; a: number; b: number; c: number };

const byte = fc.nat({ max: 255 });
export const histories = fc.array(fc.record({ kind: fc.nat({ max: 99 }), a: byte, b: byte, c: byte }), {
  minLength: 60,
  maxLength: 250,
  size: "max",
});

const RETRIES = { max: 1, on: ["exit" as const] };
const SHAPES: TemplatePart[][] = [
  [{ count: 5, retries: RETRIES }],
  [{ count: 3, retries: RETRIES }, { count: 3, foreach: [0] }, { needs: [1] }],
  [{ count: 2 }, { count: 2, needs: [0] }, { count: 2, foreach: [0, 1], retries: RETRIES }],
  [{ needs: [1] }, { count: 4, requires: { cpus: 2 }, retries: RETRIES }],
];
const ENDS: [Outcome, Blame][] = [
  [Outcome.COMPLETED, Blame.NONE],
  [Outcome.COMPLETED, Blame.NONE],
  [Outcome.COMPLETED, Blame.NONE],
  [Outcome.FAILED, Blame.EXIT],
  [Outcome.FAILED, Blame.DISK],
  [Outcome.RELEASED, Blame.RELEASED],
  [Outcome.CANCELED, Blame.CANCELED],
];
const KINDS = ["cancel", "pause", "resume", "priority", "retry", "retry", "cancel"] as const;

interface Given {
  agent: number;
  experiment: ExperimentId;
  template: number;
  index: number;
  attempt: number;
}

export class History {
  readonly stage: Stage;
  readonly given: Given[] = [];
  private readonly peerOf = new Map<number, number>();
  private peerLast = 0;

  constructor(stage: Stage = new Stage({ config: { infrastructureRetries: 2 } })) {
    this.stage = stage;
  }

  play(move: Move): void {
    const { stage } = this;
    const { kind, a, b, c } = move;
    if (kind < 30) {
      if (stage.batch) stage.commit();
    } else if (kind < 36) this.submit(a, b);
    else if (kind < 48) this.hello(1 + (a % 3), b, c);
    else if (kind < 76) this.report(a, b, c);
    else if (kind < 84) this.decide(a, b, c);
    else if (kind < 88) this.disconnect(1 + (a % 3));
    else if (kind < 94) stage.pass([400, 1_500, 6_000, 21_000][a % 4] as number);
    else if (kind < 97) this.withPeer(1 + (a % 3), (peer) => stage.renew(peer));
    else this.withPeer(1 + (a % 3), (peer) => stage.free(peer, (b % 6) - 1));
    this.note();
  }

  private submit(a: number, b: number): void {
    const shape = SHAPES[a % SHAPES.length] as TemplatePart[];
    const key = b % 3 === 0 ? `key${b % 9}` : null;
    const definition = experiment(shape, {
      priority: b % 4,
      maxFailures: b % 5 === 0 ? 2 : null,
      onDisconnect: b % 7 === 0 ? "wait" : "requeue",
    });
    this.stage.step({ type: "submit", request: 0, submit: submitOf(definition, key, String(a % SHAPES.length)) });
  }

  /** `b` chooses how much of what it was given the agent still has. */
  private hello(agent: number, b: number, c: number): void {
    const held: HeldGroup[] = [];
    for (const given of this.given) {
      if (given.agent !== agent || (given.index + given.attempt + b) % 3 === 0) continue;
      const { experiment: id, template, index, attempt } = given;
      held.push({ experiment: id, template, indexes: [index], attempts: [attempt], phases: [(index + c) % 3] });
    }
    const peer = ++this.peerLast;
    this.peerOf.set(agent, peer);
    this.stage.hello(agent, peer, { held, capacity: capacity({ cpus: 1 + (c % 4) }) });
    this.stage.free(peer, c % 3);
  }

  private report(a: number, b: number, c: number): void {
    if (this.given.length === 0) return;
    const newest = this.given[this.given.length - 1 - (a % Math.min(this.given.length, 12))] as Given;
    // Mostly its own agent reports, sometimes another one; mostly the attempt itself, sometimes an invented one.
    const agent = b % 16 === 0 ? 1 + (c % 3) : newest.agent;
    const attempt = newest.attempt + (b % 23 === 0 ? 1 : 0);
    const [outcome, blame] = ENDS[c % ENDS.length] as [Outcome, Blame];
    this.withPeer(agent, (peer) => {
      const { experiment: id, template, index } = newest;
      this.stage.ended(peer, report(id, [[index, attempt]], { template, outcome, blame }));
    });
  }

  private decide(a: number, b: number, c: number): void {
    const id = (1 + (a % Math.max(1, this.stage.core.experimentLast))) as ExperimentId;
    const scope = c % 2 === 0 ? null : [{ template: 0, ranges: [[c % 3, c % 5] as [number, number]] }];
    this.stage.decide(KINDS[b % KINDS.length] as "cancel", id, { scope, value: (c % 7) - 3 });
  }

  private disconnect(agent: number): void {
    this.withPeer(agent, (peer) => this.stage.step({ type: "disconnected", peer }));
    this.peerOf.delete(agent);
  }

  private withPeer(agent: number, action: (peer: number) => void): void {
    const peer = this.peerOf.get(agent);
    if (peer !== undefined) action(peer);
  }

  /** Remembers who was given what. */
  private note(): void {
    for (const { peer, message } of this.stage.sent()) {
      if (message.type !== "leases") continue;
      const agent = [...this.peerOf].find(([, number]) => number === peer)?.[0];
      if (agent === undefined) continue;
      for (const { experiment: id, template, indexes, attempts } of message.groups) {
        indexes.forEach((index, i) => {
          this.given.push({ agent, experiment: id, template, index, attempt: attempts[i] as number });
        });
      }
    }
  }

  /** Everybody is well again: one agent with room for all does what it gets, until nothing is left. */
  finish(): void {
    const { stage } = this;
    stage.settle();
    for (const id of stage.core.ledger.experiments.keys()) stage.decide("resume", id);
    // Whatever others hold is lost (or, where the experiment waits for them, given up).
    for (let agent = 1; agent <= 3; agent++) {
      const peer = ++this.peerLast;
      stage.hello(agent, peer, { draining: true });
      stage.step({ type: "disconnected", peer });
    }
    stage.settle();
    const peer = ++this.peerLast;
    stage.hello(9, peer, { capacity: capacity({ cpus: 1_000 }) });
    stage.skip();
    for (let round = 0; ; round++) {
      assert.ok(round < 2_000, "everything ends within a bounded time");
      stage.settle();
      const groups = stage.sent().flatMap(({ message }) => (message.type === "leases" ? message.groups : []));
      for (const { experiment: id, template, indexes, attempts } of groups) {
        const pairs = indexes.map((index, i): [number, number] => [index, attempts[i] as number]);
        stage.ended(peer, report(id, pairs, { template }));
      }
      if (stage.batch) continue;
      if ([...stage.core.ledger.experiments.values()].every(({ endedAtMs }) => endedAtMs !== null)) return;
      stage.pass(1_000);
      stage.renew(peer);
    }
  }
}
