/**
 * Whatever happens in whatever order: room and gpus are never given twice, every lease is answered by one end or is
 * superseded, nothing is started without trust, and an agent that gave all back is exactly as it began.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { AgentEffect } from "../../../agent/lease/contract.ts";
import { isTrusted } from "../../../agent/lease/session.ts";
import { LeasePhase } from "../../../agent/lease/state.ts";
import { attempts, CoreDriver } from "../../support/agent-core.ts";
import { template } from "../../support/agent-templates.ts";

const TEMPLATES = [
  template({ ordinal: 0, requires: { cpus: 1 } }),
  template({ ordinal: 1, requires: { cpus: 3, gpus: 1 } }),
  template({ ordinal: 2, requires: { cpus: 0.1, gpus: 2 } }),
];

type Action = { kind: string; pick: number; ms: number };
const KINDS = [
  "lease",
  "lease",
  "prepared",
  "prepared",
  "started",
  "exited",
  "ended",
  "ended",
  "recalled",
  "turn",
  "turn",
  "turn",
  "renew",
  "renew",
  "wait",
  "cut",
  "welcome",
  "welcome",
  "cancel",
  "recall",
  "supersede",
  "ack",
  "hold",
];
const action = fc.record({ kind: fc.constantFrom(...KINDS), pick: fc.nat(1_000), ms: fc.nat(6_000) });

/** Does what a shell and a coordinator would, by the dice of fast-check, and keeps its own books. */
class Model {
  readonly core: CoreDriver;
  /** Given to a runner and not over: key to the order in which they were given. */
  readonly running: string[] = [];
  readonly started = new Set<string>();
  readonly preparing: string[] = [];
  readonly exited: string[] = [];
  /** Taken over from the coordinator and not answered yet. */
  readonly open = new Set<string>();
  readonly reported = new Set<string>();
  next = 0;

  constructor() {
    const capacity = { cpus: 4, memoryBytes: 2 ** 40, gpus: 2, vramBytes: 0, diskBytes: 0, custom: {}, labels: {} };
    this.core = new CoreDriver({ capacity, gpuDevices: [0, 1], lanesMax: 5 }).ready(8_000);
  }

  act({ kind, pick, ms }: Action): void {
    const { core } = this;
    const of = <T>(list: readonly T[]): T | undefined => list[pick % Math.max(1, list.length)];
    const some = of([...core.state.leases.values()]);
    const group = some && attempts(some.template, [some.index], [some.attempt]);
    const ready = core.state.session === "ready";
    switch (kind) {
      case "lease": {
        const leased = of(TEMPLATES);
        if (!ready || leased === undefined) return;
        const index = this.next++;
        this.open.add(`17.${leased.definition.ordinal}.${index}.1`);
        this.take(core.lease(leased, [index], { medianMs: [0, 10, 5_000][pick % 3] ?? 0 }));
        return;
      }
      case "prepared": {
        const key = this.preparing.shift();
        if (key !== undefined) this.take(core.feed({ type: "prepared", key }));
        return;
      }
      case "started": {
        const key = this.startable();
        if (key === undefined) return;
        this.started.add(key);
        this.take(core.feed({ type: "started", key, startedAtMs: 1 }));
        return;
      }
      case "exited": {
        const key = this.running.find((it) => this.started.has(it));
        if (key === undefined) return;
        this.running.splice(this.running.indexOf(key), 1);
        this.exited.push(key);
        this.take(core.feed({ type: "exited", key }));
        return;
      }
      case "ended": {
        const key = this.exited.shift() ?? this.running.find((it) => this.started.has(it));
        if (key === undefined) return;
        if (this.running.includes(key)) this.running.splice(this.running.indexOf(key), 1);
        this.take(core.feed({ type: "ended", end: core.end(key) }));
        return;
      }
      case "recalled": {
        const key = of(this.running.filter((it) => !this.started.has(it)));
        const lease = core.state.leases.get(key ?? "");
        if (key === undefined || (lease?.recalledFor === undefined && lease?.doom === undefined)) return;
        this.running.splice(this.running.indexOf(key), 1);
        this.take(core.feed({ type: "recalled", key }));
        return;
      }
      case "turn":
        this.take(core.turn(pick % 4 > 0));
        return;
      case "renew":
        if (ready) this.take(core.receive({ type: "renewed", sentAtMs: core.state.renewSentMono }));
        return;
      case "wait":
        this.take(core.wait(ms).feed({ type: "tick" }));
        return;
      case "cut":
        this.take(core.feed({ type: "disconnected", connection: core.state.connection, reason: "cut" }));
        return;
      case "welcome":
        if (core.state.session !== "connecting") return;
        this.take(core.receive({ type: "challenge", version: 1, versionOldest: 1, nonce: "n", timeline: 1 }));
        this.welcome(pick % 3 === 0 && group ? [group] : []);
        return;
      case "cancel":
        if (ready && group) this.take(core.receive({ type: "cancel", groups: [group], graceMs: 0, reason: "x" }));
        return;
      case "recall":
        if (ready && group) this.take(core.receive({ type: "recall", groups: [group] }));
        return;
      case "ack":
        if (ready && group && this.reported.has(some.key)) this.take(core.receive({ type: "ack", groups: [group] }));
        return;
      case "hold":
        this.take(core.feed({ type: "hold", reason: pick % 2 ? "full" : null }));
        return;
    }
  }

  /** Answers everything until nothing is left. */
  finish(): void {
    const { core } = this;
    this.take(core.feed({ type: "hold", reason: null }));
    for (let round = 0; core.state.leases.size > 0; round++) {
      assert.ok(round < 10_000, `these leases are never answered: ${[...core.state.leases.keys()].join(" ")}`);
      if (core.state.session !== "ready") this.act({ kind: "welcome", pick: 1, ms: 0 });
      core.wait(500);
      for (const kind of ["renew", "prepared", "recalled", "started", "ended", "turn", "ack"]) {
        this.act({ kind, pick: 1 + 4 * round, ms: 0 });
      }
    }
    this.take(core.turn());
  }

  welcome(superseded: ReturnType<typeof attempts>[]): void {
    for (const group of superseded) this.open.delete(`17.${group.template}.${group.indexes[0]}.${group.attempts[0]}`);
    this.take(this.core.receive({ type: "welcome", epoch: 1, timeline: 1, ttlMs: 8_000, superseded }));
  }

  /** The first of a lane is the one that a runner starts. */
  startable(): string | undefined {
    const lanes = new Set<number>();
    for (const key of this.running) {
      const lane = this.core.state.leases.get(key)?.lane ?? -1;
      if (!lanes.has(lane) && !this.started.has(key)) return key;
      lanes.add(lane);
    }
    return undefined;
  }

  take(effects: AgentEffect[]): void {
    const { state } = this.core;
    for (const effect of effects) {
      if (effect.type === "prepare") this.preparing.push(effect.lease.key);
      if (effect.type === "run") {
        const now = { mono: this.core.mono, wall: this.core.wall };
        assert.ok(isTrusted(state, now) && state.hold === null, "started without trust or while held back");
        assert.ok(!this.running.includes(effect.lease.key), "given to a runner twice");
        this.running.push(effect.lease.key);
      }
      if (effect.type === "send" && effect.message.type === "ended") {
        for (const { template: ordinal, indexes, attempts: numbers } of effect.message.groups) {
          for (const [i, index] of indexes.entries()) this.reported.add(`17.${ordinal}.${index}.${numbers[i]}`);
        }
      }
    }
    this.check();
  }

  check(): void {
    const { state } = this.core;
    const charged = state.lanes.flatMap((lane) => (lane.running ? [lane.running] : []));
    const cpus = charged.reduce((sum, lease) => sum + lease.of.need.cpus, 0);
    assert.ok(Math.abs(state.free.cpus + cpus - 4) < 1e-6, "processors were lost or given twice");
    const devices = [...state.devicesFree, ...charged.flatMap((lease) => lease.devices)].sort();
    assert.deepEqual(devices, [0, 1], "gpus were lost or given twice");
    assert.equal(state.runningCount, charged.length);
    assert.ok(charged.length <= 5);
    for (const lane of state.lanes) {
      for (const lease of [lane.running, ...lane.waiting]) if (lease) assert.equal(lease.phase, LeasePhase.RUNNING);
      if (lane.waiting.length > 0) assert.ok(lane.running, "something waits in an idle lane");
    }
    const phases = [...state.leases.values()].map((lease) => lease.phase);
    const count = (phase: LeasePhase): number => phases.filter((it) => it === phase).length;
    assert.equal(count(LeasePhase.HELD), state.heldCount);
    assert.equal(count(LeasePhase.PREPARING), state.preparing);
    assert.equal(count(LeasePhase.PREPARED), state.ready.length);
    assert.equal(count(LeasePhase.ENDED), state.endedCount);
  }
}

test("books stay straight through any sequence of events, and everything is answered in the end", () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 300, size: "max" }), (actions) => {
      const model = new Model();
      for (const it of actions) model.act(it);
      model.finish();
      for (const key of model.open) assert.ok(model.reported.has(key), `${key} was never reported`);
      const { state } = model.core;
      assert.deepEqual([state.free.cpus, state.free.gpus], [4, 2]);
      assert.deepEqual([state.heldCount, state.preparing, state.ready.length, state.endedCount], [0, 0, 0, 0]);
    }),
    { numRuns: 400 },
  );
});
