/** Leases in the agent's pure core: exact effects from their arrival to their acknowledgement, and on every way out. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CoreMessage } from "../../../agent/lease/contract.ts";
import { LeasePhase } from "../../../agent/lease/state.ts";
import { Blame, Outcome } from "../../../shared/model/attempt.ts";
import { attempts, brief, CoreDriver } from "../../support/agent-core.ts";
import { SMALL_NEED, template } from "../../support/agent-templates.ts";

test("a lease is prepared, run, reported, linked and forgotten, with nothing else done", () => {
  const core = new CoreDriver().ready();
  assert.deepEqual(core.lease(template(), [5]), []);
  assert.deepEqual(brief(core.turn()), ["prepare 17.0.5.1"]);
  assert.deepEqual(core.feed({ type: "prepared", key: "17.0.5.1" }), []);
  assert.deepEqual(brief(core.turn()), ["run 17.0.5.1 lane 0"]);
  assert.deepEqual(core.feed({ type: "started", key: "17.0.5.1", startedAtMs: 77 }), []);
  assert.deepEqual(core.turn(), [
    { type: "send", message: { type: "started", groups: [{ ...attempts(0, [5]), startedAtMs: [77] }] } },
  ]);
  assert.deepEqual(core.feed({ type: "exited", key: "17.0.5.1" }), []);
  const end = core.end("17.0.5.1", { tail: "t", detail: "d" });
  assert.deepEqual(core.feed({ type: "ended", end }), []);
  assert.deepEqual(core.turn(), [
    { type: "persist", ends: [end] },
    {
      type: "send",
      message: {
        type: "ended",
        groups: [
          {
            ...attempts(0, [5]),
            outcomes: [0],
            blames: [0],
            exitCodes: [0],
            signals: [0],
            startedAtMs: [end.startedAtMs],
            endedAtMs: [end.endedAtMs],
            cpuMs: [5],
            memoryMaxBytes: [4096],
            tails: { 0: "t" },
            details: { 0: "d" },
          },
        ],
      },
    },
  ]);
  assert.deepEqual(core.receive({ type: "ack", groups: [attempts(0, [5])] }), [
    { type: "publish", attempt: { experiment: 17, template: 0, index: 5, attempt: 1 } },
    { type: "forget", keys: ["17.0.5.1"] },
  ]);
  assert.deepEqual(core.turn(), []);
  assert.equal(core.state.leases.size, 0);
});

test("a start that ended within the same turn is told by its end alone", () => {
  const core = new CoreDriver().ready();
  core.run(template(), [0]);
  core.feed({ type: "started", key: "17.0.0.1", startedAtMs: 5 });
  core.feed({ type: "ended", end: core.end("17.0.0.1") });
  assert.deepEqual(brief(core.turn()), ["persist 17.0.0.1", "send ended"]);
});

test("reports wait while the socket is full; the outbox does not", () => {
  const core = new CoreDriver().ready();
  core.run(template(), [0]);
  core.feed({ type: "ended", end: core.end("17.0.0.1") });
  assert.deepEqual(brief(core.turn(false)), ["persist 17.0.0.1"]);
  assert.deepEqual(brief(core.turn()), ["send ended"]);
});

test("ends gather for 20 ms while work goes on; the first, the last and a hundred go at once", () => {
  const core = new CoreDriver().ready();
  core.run(template(), [0, 1, 2, 3], { medianMs: 10 });
  const endIt = (index: number): void => {
    core.feed({ type: "ended", end: core.end(`17.0.${index}.1`) });
  };
  const sent = (): number[] => {
    const frames = core.turn().flatMap((effect) => (effect.type === "send" ? [effect.message] : []));
    return frames.flatMap((message) => (message.type === "ended" ? message.groups.flatMap((g) => g.indexes) : []));
  };
  endIt(0);
  assert.deepEqual(sent(), [0]);
  endIt(1);
  assert.deepEqual(sent(), []);
  assert.equal(core.state.wakeAtMono, core.mono + 20);
  core.wait(19);
  core.receive({ type: "ack", groups: [attempts(0, [0])] });
  endIt(2);
  assert.deepEqual(sent(), [], "an acknowledgement does not hurry them");
  core.wait(1);
  assert.deepEqual(sent(), [1, 2]);
  endIt(3);
  assert.deepEqual(sent(), [3], "nothing else is held that could end");
});

test("twenty ends wait for more of them, twice as long", () => {
  const core = new CoreDriver().ready();
  core.run(
    template(),
    Array.from({ length: 22 }, (_, i) => i),
    { medianMs: 10 },
  );
  const endIt = (index: number): void => {
    core.feed({ type: "ended", end: core.end(`17.0.${index}.1`) });
  };
  endIt(0);
  assert.deepEqual(
    brief(core.turn()).filter((name) => name.startsWith("send")),
    ["send ended"],
  );
  for (let index = 1; index < 20; index++) endIt(index);
  core.turn();
  assert.equal(core.state.wakeAtMono, core.mono + 20, "nineteen");
  endIt(20);
  core.turn();
  assert.equal(core.state.wakeAtMono, core.mono + 40, "twenty");
  assert.deepEqual(brief(core.wait(39).turn()), []);
  assert.deepEqual(brief(core.wait(1).turn()), ["send ended"]);
});

test("a hundred ends do not wait for their time", () => {
  const core = new CoreDriver().ready();
  core.lease(
    template(),
    Array.from({ length: 130 }, (_, i) => i),
  );
  core.turn();
  const recall = (index: number): void => {
    core.receive({ type: "recall", groups: [attempts(0, [index])] });
  };
  const frames = (): number[] =>
    core
      .turn()
      .flatMap((effect) => (effect.type === "send" && effect.message.type === "ended" ? [effect.message] : []))
      .map((message) => message.groups.reduce((sum, group) => sum + group.indexes.length, 0));
  let last = 129;
  recall(last--);
  assert.deepEqual(frames(), [1]);
  while (core.state.toldEnds.length < 99) recall(last--);
  assert.deepEqual(frames(), []);
  recall(last);
  assert.deepEqual(frames(), [100]);
});

test("starts gather too, and go along with ends", () => {
  const core = new CoreDriver().ready();
  core.run(template(), [0, 1, 2, 3], { medianMs: 10 });
  const sent = (): string[] => brief(core.turn()).filter((line) => line.startsWith("send"));
  core.feed({ type: "started", key: "17.0.0.1", startedAtMs: 1 });
  assert.deepEqual(sent(), ["send started"]);
  core.feed({ type: "started", key: "17.0.1.1", startedAtMs: 1 });
  assert.deepEqual(sent(), []);
  core.feed({ type: "ended", end: core.end("17.0.0.1") });
  assert.deepEqual(sent(), ["send started", "send ended"]);
});

test("ends gather while there is no session, and the outbox is forgotten only by their acknowledgement", () => {
  const core = new CoreDriver().ready();
  core.run(template(), [0]);
  core.feed({ type: "disconnected", connection: 1, reason: "cut" });
  core.feed({ type: "ended", end: core.end("17.0.0.1") });
  assert.deepEqual(brief(core.turn()), ["persist 17.0.0.1"]);
  core.wait(500).session();
  assert.equal(core.state.endedCount, 1);
  assert.deepEqual(brief(core.receive({ type: "ack", groups: [attempts(0, [0])] })), [
    "publish 0.0.1",
    "forget 17.0.0.1",
  ]);
});

test("an end that is refused is named, forgotten and not linked", () => {
  const core = new CoreDriver().ready();
  core.run(template(), [0]);
  core.feed({ type: "ended", end: core.end("17.0.0.1") });
  core.turn();
  const group = attempts(0, [0]);
  const refused = [{ group, code: "attempt_stale", message: "attempt 2 was given" }];
  assert.deepEqual(brief(core.receive({ type: "ack", groups: [group], refused })), [
    "note attempt_stale",
    "forget 17.0.0.1",
  ]);
});

test("an acknowledgement of what is not held does nothing", () => {
  const core = new CoreDriver().ready();
  core.run(template(), [0]);
  assert.deepEqual(core.receive({ type: "ack", groups: [attempts(0, [0, 1, 2])] }), []);
  assert.equal(core.state.leases.size, 1);
});

test("an end of what is not held is named and forgotten, never reported", () => {
  const core = new CoreDriver().ready();
  const effects = core.feed({ type: "ended", end: core.end("17.0.9.4") });
  assert.deepEqual(brief(effects), ["note end_stale", "forget 17.0.9.4"]);
  assert.deepEqual(core.turn(), []);
});

test("a lease that comes twice is held once", () => {
  const core = new CoreDriver().ready();
  core.lease(template(), [0]);
  assert.deepEqual(brief(core.lease(template(), [0])), ["note lease_repeated"]);
  assert.equal(core.state.leases.size, 1);
});

test("a preparation that fails ends the attempt with its blame", () => {
  const core = new CoreDriver().ready();
  core.lease(template(), [0]);
  core.turn();
  const end = core.end("17.0.0.1", { outcome: Outcome.FAILED, blame: Blame.DISK, startedAtMs: 0 });
  core.feed({ type: "prepare_failed", end });
  assert.deepEqual(brief(core.turn()), ["persist 17.0.0.1", "send ended"]);
  // Nothing ran, so there is nothing to link.
  assert.deepEqual(brief(core.receive({ type: "ack", groups: [attempts(0, [0])] })), ["forget 17.0.0.1"]);
});

test("what this machine can never run is failed with both sides of the reason", () => {
  const core = new CoreDriver().ready();
  core.lease(template({ requires: { cpus: 3 } }), [0]);
  const [, sent] = core.turn();
  assert.ok(sent?.type === "send" && sent.message.type === "ended");
  assert.deepEqual(sent.message.groups[0]?.blames, [Blame.AGENT]);
  assert.match(sent.message.groups[0]?.details?.[0] ?? "", /cpus 3 .* has 2/);
});

/** One lease in each phase: 0 and 1 run, 2 is prepared, 3 is being prepared, 4 ended. */
function inEveryPhase(): CoreDriver {
  const core = new CoreDriver().ready();
  core.run(template(), [4]);
  core.feed({ type: "ended", end: core.end("17.0.4.1") });
  core.turn();
  core.run(template(), [0, 1, 2]);
  core.lease(template(), [3]);
  core.turn();
  // Beyond the time for which reports gather while an acknowledgement is awaited.
  return core.wait(20);
}

test("recall gives back what has not started, at once or when it is prepared, and nothing that runs", () => {
  const core = inEveryPhase();
  const group = attempts(0, [0, 1, 2, 3, 4]);
  assert.deepEqual(brief(core.receive({ type: "recall", groups: [group] })), ["discard 17.0.2.1"]);
  const [sent] = core.turn();
  assert.ok(sent?.type === "send" && sent.message.type === "ended");
  assert.deepEqual(sent.message.groups[0]?.indexes, [2]);
  assert.deepEqual(sent.message.groups[0]?.outcomes, [Outcome.RELEASED]);
  assert.deepEqual(brief(core.feed({ type: "prepared", key: "17.0.3.1" })), ["discard 17.0.3.1"]);
  assert.deepEqual(brief(core.wait(20).turn()), ["send ended"]);
});

test("cancel kills what runs, ends the rest as CANCELED, and what was killed is reported as CANCELED", () => {
  const core = inEveryPhase();
  const cancel: CoreMessage = { type: "cancel", groups: [attempts(0, [0, 2, 3, 4])], graceMs: 3_000, reason: "enough" };
  assert.deepEqual(
    core.receive(cancel).filter((effect) => effect.type === "kill"),
    [{ type: "kill", key: "17.0.0.1", lane: 0, graceMs: 3_000, reason: "enough" }],
  );
  core.feed({ type: "prepared", key: "17.0.3.1" });
  core.feed({ type: "ended", end: core.end("17.0.0.1", { outcome: Outcome.FAILED, blame: Blame.SIGNAL, signal: 15 }) });
  const [persisted, sent] = core.turn();
  // Canceled unstarted needs no outbox: not held says the same.
  assert.ok(persisted?.type === "persist" && persisted.ends.length === 1);
  assert.ok(sent?.type === "send" && sent.message.type === "ended");
  const [group] = sent.message.groups;
  assert.deepEqual(group?.indexes, [2, 3, 0]);
  assert.deepEqual(group?.outcomes, [Outcome.CANCELED, Outcome.CANCELED, Outcome.CANCELED]);
  assert.deepEqual(group?.signals, [0, 0, 15]);
});

test("what was superseded while away is ended and forgotten, and never reported", () => {
  const core = inEveryPhase();
  core.feed({ type: "disconnected", connection: 1, reason: "cut" });
  core.receive({ type: "challenge", version: 1, versionOldest: 1, nonce: "n", timeline: 1 });
  const superseded = [attempts(0, [0, 2, 3, 4])];
  assert.deepEqual(brief(core.receive({ type: "welcome", epoch: 2, timeline: 1, ttlMs: 20_000, superseded })), [
    "kill 17.0.0.1",
    "discard 17.0.2.1",
    "forget 17.0.2.1",
    "forget 17.0.4.1",
  ]);
  assert.deepEqual(brief(core.feed({ type: "prepared", key: "17.0.3.1" })), ["discard 17.0.3.1", "forget 17.0.3.1"]);
  assert.deepEqual(brief(core.feed({ type: "ended", end: core.end("17.0.0.1") })), ["forget 17.0.0.1"]);
  assert.deepEqual(
    brief(core.turn()).filter((line) => line !== "send free"),
    [],
  );
  assert.deepEqual([...core.state.leases.keys()], ["17.0.1.1"]);
});

test("an attempt that is superseded while it is canceled is not reported either", () => {
  const core = new CoreDriver().ready();
  core.run(template(), [0]);
  core.receive({ type: "cancel", groups: [attempts(0, [0])], graceMs: 1_000, reason: "x" });
  core.feed({ type: "disconnected", connection: 1, reason: "cut" });
  core.receive({ type: "challenge", version: 1, versionOldest: 1, nonce: "n", timeline: 1 });
  core.receive({ type: "welcome", epoch: 2, timeline: 1, ttlMs: 20_000, superseded: [attempts(0, [0])] });
  assert.deepEqual(brief(core.feed({ type: "ended", end: core.end("17.0.0.1") })), ["forget 17.0.0.1"]);
});

test("drain gives back what has not started, finishes the rest, says goodbye and leaves", () => {
  const core = inEveryPhase();
  assert.deepEqual(brief(core.feed({ type: "drain", reason: "SIGTERM" })), ["discard 17.0.2.1"]);
  const told = core.turn();
  assert.deepEqual(brief(told), ["send ended", "send free"]);
  assert.deepEqual(told[1], {
    type: "send",
    message: { type: "free", ahead: 0, lastsMs: null, draining: true },
  });
  core.feed({ type: "prepared", key: "17.0.3.1" });
  core.lease(template(), [9]);
  assert.deepEqual(brief(core.wait(20).turn()), ["send ended"]);
  for (const key of ["17.0.0.1", "17.0.1.1"]) core.feed({ type: "ended", end: core.end(key) });
  core.wait(20).turn();
  core.receive({ type: "ack", groups: [attempts(0, [0, 1, 2, 3, 4, 9])] });
  assert.deepEqual(core.turn(), [
    { type: "send", message: { type: "goodbye", reason: "SIGTERM" } },
    { type: "disconnect", connection: 1, reason: "SIGTERM" },
    { type: "exit", reason: "drained", message: "SIGTERM" },
  ]);
  assert.deepEqual(core.feed({ type: "tick" }), []);
});

test("what waits in a lane that was adopted is taken back and given back: this process could not run it", () => {
  const core = new CoreDriver();
  const part = { need: SMALL_NEED, lane: 0, devices: [] };
  const adopted = core.feed({
    type: "adopted",
    running: [
      { key: "17.0.0.1", startedAtMs: 1, ...part },
      { key: "17.0.1.1", startedAtMs: 0, ...part },
    ],
    collecting: [],
    ended: [],
  });
  assert.deepEqual(brief(adopted), ["recall 17.0.1.1", "connect 0"]);
  core.feed({ type: "recalled", key: "17.0.1.1" });
  const { end, phase } = core.state.leases.get("17.0.1.1") ?? {};
  assert.deepEqual([end?.outcome, phase], [Outcome.RELEASED, LeasePhase.ENDED]);
});

test("what was adopted is held as what it is, and goes on from there", () => {
  const core = new CoreDriver();
  const need = template().definition.requires;
  core.feed({
    type: "adopted",
    running: [{ key: "17.0.0.1", need, lane: 3, devices: [], startedAtMs: 9 }],
    collecting: ["17.0.1.1"],
    ended: [core.end("18.2.5.4")],
  });
  core.feed({ type: "connected", connection: 1 });
  const [hello] = core.receive({ type: "challenge", version: 1, versionOldest: 1, nonce: "n", timeline: 1 });
  assert.ok(hello?.type === "hello");
  assert.deepEqual(hello.message.held, [
    { ...attempts(0, [0, 1]), phases: [1, 1] },
    { ...attempts(2, [5], [4]), experiment: 18, phases: [2] },
  ]);
  core.receive({ type: "welcome", epoch: 1, timeline: 1, ttlMs: 20_000, superseded: [] });
  core.feed({ type: "ended", end: core.end("17.0.1.1") });
  const effects = core.turn();
  assert.deepEqual(brief(effects), ["persist 17.0.1.1", "send ended", "send free"]);
  // One of two processors is taken by what was adopted.
  assert.deepEqual(core.run(template(), [10, 11]), ["17.0.10.1"]);
  core.feed({ type: "ended", end: core.end("17.0.0.1") });
  assert.ok(brief(core.turn()).includes("run 17.0.11.1 lane 3"));
});
