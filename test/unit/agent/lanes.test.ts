/** Local admission and credit in the agent's pure core: what starts where, and how much is asked for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { CoreMessage } from "../../../agent/lease/contract.ts";
import { creditAhead, fitCount } from "../../../agent/lease/credit.ts";
import { Blame, Outcome } from "../../../shared/model/attempt.ts";
import { AHEAD_MAX, AHEAD_MEDIAN_MAX_MS, OUTBOX_ATTEMPTS_MAX } from "../../../shared/model/constants.ts";
import { attempts, brief, CoreDriver } from "../../support/agent-core.ts";
import { SMALL_NEED, template } from "../../support/agent-templates.ts";

test("gpus are handed out by number and come back", () => {
  const capacity = { ...new CoreDriver().state.options.capacity, cpus: 8, gpus: 3 };
  const core = new CoreDriver({ capacity, gpuDevices: [4, 5, 6] }).ready();
  const two = template({ requires: { gpus: 2 } });
  assert.deepEqual(core.run(two, [0, 1]), ["17.0.0.1"]);
  assert.deepEqual(core.state.leases.get("17.0.0.1")?.devices, [4, 5]);
  core.feed({ type: "exited", key: "17.0.0.1" });
  core.turn();
  assert.deepEqual(core.state.leases.get("17.0.1.1")?.devices, [6, 4]);
});

test("memory, disk and custom resources bound what runs at once", () => {
  const capacity = { ...new CoreDriver().state.options.capacity, cpus: 100, custom: { licence: 3 } };
  const core = new CoreDriver({ capacity }).ready();
  assert.equal(core.run(template({ requires: { custom: { licence: 1 } } }), [0, 1, 2, 3, 4]).length, 3);
  const disk = new CoreDriver({ capacity }).ready();
  assert.equal(disk.run(template({ requires: { diskBytes: 2 ** 29 } }), [0, 1, 2, 3]).length, 2);
});

test("a lease that does not fit is passed by later ones only so often", () => {
  const core = new CoreDriver().ready();
  const large = template({ ordinal: 1, requires: { cpus: 2 } });
  core.run(template(), [0]);
  core.run(large, [0]);
  let started = 0;
  for (let i = 1; i < 40; i++) {
    started += core.run(template(), [i]).length;
    core.feed({ type: "exited", key: `17.0.${i}.1` });
  }
  assert.equal(started, 16);
  core.feed({ type: "exited", key: "17.0.0.1" });
  assert.ok(brief(core.turn()).includes("run 17.1.0.1 lane 0"));
});

test("short tasks of one template wait in a lane, as many as start within 8 ms; long ones do not", () => {
  const many = Array.from({ length: 40 }, (_, i) => i);
  for (const [medianMs, depth] of [
    [999, 2],
    [8, 2],
    [7.9, 3],
    [2, 5],
    [1, 8],
  ] as const) {
    const core = new CoreDriver().ready();
    assert.equal(core.run(template(), many, { medianMs }).length, 2 * depth, `${medianMs} ms`);
    assert.deepEqual(
      core.state.lanes.map((lane) => lane.waiting.length),
      [depth - 1, depth - 1],
    );
  }
  const long = new CoreDriver().ready();
  assert.equal(long.run(template(), [0, 1, 2, 3, 4], { medianMs: 1_000 }).length, 2);
  const unknown = new CoreDriver().ready();
  assert.equal(unknown.run(template(), [0, 1, 2, 3, 4], { medianMs: 0 }).length, 2);
});

test("what waits in a lane inherits its room; when trust ends it is taken back and later started again", () => {
  const core = new CoreDriver().ready();
  core.run(template(), [0, 1, 2, 3], { medianMs: 10 });
  core.feed({ type: "exited", key: "17.0.0.1" });
  assert.equal(core.state.free.cpus, 0);
  core.wait(15_999).receive({ type: "recall", groups: [] });
  assert.deepEqual(
    brief(core.wait(1).turn()).filter((line) => line.startsWith("recall")),
    ["recall 17.0.3.1"],
  );
  assert.deepEqual(core.feed({ type: "recalled", key: "17.0.3.1" }), []);
  core.turn();
  core.receive({ type: "renewed", sentAtMs: core.state.renewSentMono });
  assert.deepEqual(
    brief(core.turn()).filter((line) => line.startsWith("run")),
    ["run 17.0.3.1 lane 0"],
  );
});

test("recall reaches what waits in a lane; if it started meanwhile it stays", () => {
  const core = new CoreDriver().ready();
  core.run(template(), [0, 1, 2, 3], { medianMs: 10 });
  const recall: CoreMessage = { type: "recall", groups: [attempts(0, [2, 3])] };
  assert.deepEqual(brief(core.receive(recall)), ["recall 17.0.2.1", "recall 17.0.3.1"]);
  assert.deepEqual(core.receive(recall), []);
  assert.deepEqual(brief(core.feed({ type: "recalled", key: "17.0.2.1" })), ["discard 17.0.2.1"]);
  core.feed({ type: "exited", key: "17.0.1.1" });
  core.feed({ type: "started", key: "17.0.3.1", startedAtMs: 1 });
  core.feed({ type: "ended", end: core.end("17.0.3.1") });
  assert.deepEqual(
    brief(core.turn()).filter((line) => line !== "send free"),
    ["persist 17.0.3.1", "send ended"],
  );
});

test("a kill that came before the start ends it as CANCELED", () => {
  const core = new CoreDriver().ready();
  core.run(template(), [0, 1, 2], { medianMs: 10 });
  const cancel: CoreMessage = { type: "cancel", groups: [attempts(0, [2])], graceMs: 0, reason: "x" };
  assert.deepEqual(brief(core.receive(cancel)), ["kill 17.0.2.1"]);
  assert.deepEqual(brief(core.feed({ type: "recalled", key: "17.0.2.1" })), ["discard 17.0.2.1"]);
  assert.ok(brief(core.turn()).includes("send ended"));
  assert.equal(core.state.leases.get("17.0.2.1")?.end?.outcome, 2);
});

test("while it is held back nothing starts, nothing is asked for, and what has not started is another agent's", () => {
  const core = new CoreDriver().ready();
  const running = core.run(template(), [0, 1]);
  core.lease(template(), [2]);
  core.feed({ type: "hold", reason: "disk full" });
  core.lease(template(), [3]);
  const [ended, free, ...more] = core.turn();
  assert.deepEqual(more, []);
  assert.ok(ended?.type === "send" && ended.message.type === "ended");
  const { indexes, outcomes, blames } = ended.message.groups[0]!;
  assert.deepEqual(
    [indexes, outcomes, blames],
    [
      [2, 3],
      [Outcome.RELEASED, Outcome.RELEASED],
      [Blame.RELEASED, Blame.RELEASED],
    ],
  );
  assert.deepEqual(free, { type: "send", message: { type: "free", ahead: -1, lastsMs: null, draining: false } });
  // What runs goes on.
  assert.deepEqual(brief(core.feed({ type: "ended", end: core.end(running[0]!) })), []);
  core.receive({ type: "ack", groups: [attempts(0, [2, 3])] });
  core.wait(20);
  assert.deepEqual(brief(core.turn()), [`persist ${running[0]}`, "send ended"]);
  core.feed({ type: "hold", reason: null });
  assert.deepEqual(brief(core.turn()), ["send free"]);
});

test("a full outbox stops asking, at exactly its bound", () => {
  const ended = (count: number): CoreDriver => {
    const core = new CoreDriver();
    const ends = Array.from({ length: count }, (_, i) => core.end(`17.0.${i}.1`));
    core.feed({ type: "adopted", running: [], collecting: [], ended: ends });
    return core.session();
  };
  assert.equal(ended(OUTBOX_ATTEMPTS_MAX - 1).state.creditSent, 1);
  const full = ended(OUTBOX_ATTEMPTS_MAX);
  assert.equal(full.state.creditSent, -1);
  full.receive({ type: "ack", groups: [attempts(0, [0, 1, 2])] });
  assert.equal(full.turn().find((effect) => effect.type === "send")?.type, "send");
  assert.equal(full.state.creditSent, 2);
});

test("credit is stated again after the poll interval, and when it changed by an eighth", () => {
  const core = new CoreDriver({ pollIntervalMs: 10_000 }).ready();
  assert.equal(core.state.creditSent, 2);
  assert.deepEqual(brief(core.wait(9_999).turn()), ["send renew"]);
  assert.deepEqual(brief(core.wait(1).turn()), ["send free"]);
});

test("credit covers 200 ms of work, one per slot at least, a thousand at most, none for long tasks", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1_024 }),
      fc.double({ min: 0, max: 1e6, noNaN: true }),
      fc.nat(200_000),
      (slots, rate, medianMs) => {
        const ahead = creditAhead(slots, rate, medianMs);
        if (medianMs > AHEAD_MEDIAN_MAX_MS) assert.equal(ahead, 0);
        else {
          assert.ok(ahead >= Math.min(slots, AHEAD_MAX) && ahead <= AHEAD_MAX && Number.isInteger(ahead));
          assert.ok(ahead >= Math.min(AHEAD_MAX, rate / 5));
          assert.ok(ahead <= Math.max(slots, rate / 5 + 1));
        }
      },
    ),
  );
  assert.equal(creditAhead(2, 0, AHEAD_MEDIAN_MAX_MS), 2);
  assert.equal(creditAhead(2, 0, AHEAD_MEDIAN_MAX_MS + 1), 0);
});

test("as many fit as can be taken one by one", () => {
  const amount = fc.constantFrom(0, 0.5, 1, 2, 3);
  fc.assert(
    fc.property(amount, amount, amount, fc.nat(20), (cpus, gpus, licence, total) => {
      const need = { ...SMALL_NEED, cpus, gpus, memoryBytes: 0, custom: { licence } };
      const have = { cpus: total, gpus: total, memoryBytes: 0, vramBytes: 0, diskBytes: 0, custom: { licence: total } };
      let count = 0;
      while (count < 50 && Math.max(cpus, gpus, licence) * (count + 1) <= total) count++;
      assert.equal(fitCount(need, have, 50), count);
    }),
  );
});
