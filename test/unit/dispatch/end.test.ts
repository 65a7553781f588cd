/** Ends: which reports count, what they cost, what becomes of the task, and what the agent is told, only once durable. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Blame, Charge, Disposition, Outcome } from "../../../shared/model/attempt.ts";
import { experiment } from "./definitions.ts";
import { capacity, endRow, heldGroup, leasesSent, report, Stage, WALL_START } from "./stage.ts";

/** One experiment whose task 0 is leased to agent 1 on peer 10. */
function leased(template: Parameters<typeof experiment>[0][number] = {}, part: Parameters<typeof experiment>[1] = {}) {
  const stage = new Stage();
  const id = stage.submit(experiment([{ count: 1, ...template }], part));
  stage.hello(1, 10);
  stage.settle();
  stage.skip();
  return { stage, id };
}

function acks(stage: Stage): unknown[] {
  return stage.sent().flatMap(({ peer, message }) => {
    if (message.type !== "ack") return [];
    const named = message.groups.map((group) => `${peer}: ${group.indexes}#${group.attempts}`);
    return [...named, ...(message.refused ?? []).map(({ code }) => `${peer}: ${code}`)];
  });
}

test("a good end is FINAL, acknowledged after its commit, and the experiment ends with it", () => {
  const { stage, id } = leased();
  stage.ended(10, report(id, [[0, 1]]));
  const end = {
    experiment: id,
    template: 0,
    indexes: [0],
    attempts: [1],
    agents: [1],
    dispositions: [Disposition.FINAL],
    outcomes: [Outcome.COMPLETED],
    blames: [Blame.NONE],
    charges: [Charge.NONE],
    exitCodes: [0],
    signals: [0],
    notBeforeMs: [0],
    startedAtMs: [10],
    endedAtMs: [30],
    cpuMs: [5],
    memoryMaxBytes: [100],
    tails: {},
    details: {},
  };
  const deltas = [{ experiment: id, leased: 0, completed: 1, failed: 0, canceled: 0, requeued: 0 }];
  const head = { shard: 0, term: 1, atMs: WALL_START + 1_000, submits: [], leases: [] };
  const batch = { ...head, seq: 3, ends: [end], decisions: [], deltas };
  stage.expect({ type: "append", batch } as never);
  stage.commit();
  const group = { experiment: id, template: 0, indexes: [0], attempts: [1] };
  const counts = { completed: 1, failed: 0, canceled: 0 };
  const decision = { kind: "ended", experiment: id, actor: 0, scope: null, reason: "", value: "COMPLETED", counts };
  const last = { ...head, seq: 4, ends: [], decisions: [decision], deltas: [] };
  stage.expect(
    { type: "send", peer: 10, message: { type: "ack", groups: [group] } },
    { type: "committed", batch, changed: [id] } as never,
    { type: "append", batch: last } as never,
  );
  stage.commit();
  stage.expect({ type: "committed", batch: last, changed: [id] } as never);
  assert.equal(stage.core.ledger.experiments.get(id)?.endedAtMs, WALL_START + 1_000);
});

test("dispositions: who pays for which end, and whether the task is tried again", () => {
  const retries = { max: 1, on: ["exit" as const] };
  const { FINAL, REQUEUE } = Disposition;
  const rows: [string, Outcome, Blame, object][] = [
    ["exit", Outcome.FAILED, Blame.EXIT, { disposition: REQUEUE, outcome: Outcome.FAILED, charge: Charge.USER }],
    ["signal", Outcome.FAILED, Blame.SIGNAL, { disposition: FINAL, outcome: Outcome.FAILED, charge: Charge.USER }],
    ["disk", Outcome.FAILED, Blame.DISK, { disposition: REQUEUE, charge: Charge.INFRASTRUCTURE }],
    ["runner", Outcome.FAILED, Blame.RUNNER_LOST, { disposition: REQUEUE, charge: Charge.INFRASTRUCTURE }],
    ["released", Outcome.RELEASED, Blame.RELEASED, { disposition: REQUEUE, charge: Charge.NONE, notBeforeMs: 0 }],
    ["canceled", Outcome.CANCELED, Blame.CANCELED, { disposition: FINAL, outcome: Outcome.CANCELED, charge: 0 }],
  ];
  for (const [name, outcome, blame, expected] of rows) {
    const { stage, id } = leased({ retries });
    stage.ended(10, report(id, [[0, 1]], { outcome, blame }));
    const row = endRow(stage.commit().ends[0]);
    for (const [key, value] of Object.entries(expected)) assert.equal(row[key], value, `${name}: ${key}`);
  }
});

test("a backoff that a clock an hour ahead wrote lasts no longer for a new reign than any of so many tries", () => {
  const stage = new Stage({ config: { random: () => 0.5 } });
  const id = stage.submit(experiment([{ retries: { max: 5, on: ["exit"] } }]));
  stage.mono += 3_600_000;
  stage.hello(1, 10);
  stage.settle();
  stage.ended(10, report(id, [[0, 1]], { outcome: Outcome.FAILED }));
  stage.settle();
  const next = new Stage({ ledger: stage.core.ledger, config: { term: 2 } });
  next.hello(1, 10);
  next.settle();
  assert.deepEqual(leasesSent(next.sent()), []);
  next.pass(1_000);
  next.settle();
  assert.deepEqual(leasesSent(next.sent()), [`10: ${id}.0 0#2`]);
});

test("backoff: uniform(½, 1) × 2^(n−1) seconds, on the wall clock in the journal, never earlier in fact", () => {
  for (const [random, low] of [
    [0, 500],
    [0.999_999, 1_000],
  ] as const) {
    const stage = new Stage({ config: { random: () => random } });
    const id = stage.submit(experiment([{ retries: { max: 5, on: ["exit"] } }]));
    stage.hello(1, 10);
    stage.settle();
    for (let n = 1; n <= 3; n++) {
      const delay = low * 2 ** (n - 1);
      stage.ended(10, report(id, [[0, n]], { outcome: Outcome.FAILED }));
      const row = endRow(stage.commit().ends[0]);
      assert.equal(row.notBeforeMs, stage.now().wall + delay);
      stage.settle();
      stage.skip();
      stage.mono += delay - 1;
      stage.renew(10);
      stage.tick();
      stage.settle();
      assert.deepEqual(leasesSent(stage.sent()), [], "not a millisecond early");
      stage.mono += 1;
      stage.tick();
      stage.settle();
      assert.deepEqual(leasesSent(stage.sent()), [`10: ${id}.0 0#${n + 1}`]);
    }
  }
});

test("the user's budget and the site's are apart", () => {
  const stage = new Stage({ config: { infrastructureRetries: 2 } });
  const id = stage.submit(experiment([{ retries: { max: 1, on: ["exit"] } }]));
  stage.hello(1, 10);
  stage.settle();
  const story: [Blame, string][] = [
    [Blame.DISK, "QUEUED"],
    [Blame.EXIT, "QUEUED"],
    [Blame.DISK, "QUEUED"],
    [Blame.EXIT, "FAILED"],
  ];
  story.forEach(([blame, state], i) => {
    stage.ended(10, report(id, [[0, i + 1]], { outcome: Outcome.FAILED, blame }));
    stage.settle();
    assert.deepEqual(stage.states(id), [state]);
    stage.renew(10);
    for (let s = 0; s < 3; s++) {
      stage.pass(1_000);
      stage.renew(10);
    }
    stage.settle();
  });
  const template = stage.core.ledger.experiments.get(id)?.templates[0];
  assert.deepEqual([template?.triedUser[0], template?.triedInfrastructure[0]], [2, 2]);
});

test("the site's budget ends too", () => {
  const stage = new Stage({ config: { infrastructureRetries: 0 } });
  const id = stage.submit(experiment([{}]));
  stage.hello(1, 10);
  stage.settle();
  stage.ended(10, report(id, [[0, 1]], { outcome: Outcome.FAILED, blame: Blame.DISK }));
  stage.settle();
  assert.deepEqual(stage.states(id), ["FAILED"]);
});

test("a report is repeated: the second is acknowledged with the first, and after it, and counts once", () => {
  const { stage, id } = leased();
  stage.ended(10, report(id, [[0, 1]]));
  stage.ended(10, report(id, [[0, 1]]));
  assert.deepEqual(acks(stage), [], "nothing before the commit");
  const { ends } = stage.commit();
  assert.equal(ends[0]?.indexes.length, 1);
  assert.deepEqual(acks(stage), ["10: 0#1", "10: 0#1"]);
  stage.settle();
  stage.skip();
  stage.ended(10, report(id, [[0, 1]]));
  assert.deepEqual(acks(stage), ["10: 0#1"]);
  assert.equal(stage.batch, null);
  assert.equal(stage.core.ledger.experiments.get(id)?.counted.completed, 1);
});

test("a repeated report of an attempt that is to be tried again counts once, also while it waits", () => {
  const { stage, id } = leased({ retries: { max: 3, on: ["exit"] } });
  stage.ended(10, report(id, [[0, 1]], { outcome: Outcome.FAILED }));
  stage.settle();
  stage.skip();
  stage.hello(1, 11, { held: [heldGroup(id, [[0, 1, 2]])].flat() });
  stage.ended(11, report(id, [[0, 1]], { outcome: Outcome.FAILED }));
  assert.deepEqual(acks(stage), ["11: 0#1"]);
  assert.equal(stage.batch, null, "nothing more is written");
  const template = stage.core.ledger.experiments.get(id)?.templates[0];
  assert.equal(template?.triedUser[0], 1);
});

test("reports of attempts that are not the latest, or were never given, are refused by name", () => {
  const { stage, id } = leased();
  stage.ended(10, report(id, [[0, 1]], { outcome: Outcome.RELEASED, blame: Blame.RELEASED }));
  stage.settle();
  stage.skip();
  stage.ended(10, report(id, [[0, 1]]));
  stage.ended(
    10,
    report(id, [
      [0, 3],
      [7, 1],
      [0, 0],
    ]),
  );
  stage.ended(10, report(99 as never, [[0, 1]]));
  assert.deepEqual(
    stage
      .sent()
      .flatMap(({ message }) => (message.type === "ack" ? (message.refused ?? []) : []))
      .map((r) => r.message),
    [
      "attempt 1 of task 1.t0.0 was superseded by attempt 2",
      "attempt 3 of task 1.t0.0 was never given; the latest is 2",
      "task 1.t0.7 does not exist; its template has 1 tasks",
      "attempt 0 of task 1.t0.0 was never given; the latest is 2",
      "experiment 99 is not known here: it is none of this history",
    ],
  );
  assert.deepEqual(stage.states(id), ["LEASED"]);
});

test("a refusal that rests on a lease which is not durable yet waits for its commit", () => {
  const { stage, id } = leased();
  stage.ended(10, report(id, [[0, 1]], { outcome: Outcome.RELEASED, blame: Blame.RELEASED }));
  stage.commit();
  stage.skip();
  stage.ended(10, report(id, [[0, 1]]));
  assert.deepEqual(acks(stage), []);
  stage.commit();
  assert.deepEqual(acks(stage), ["10: attempt_superseded"]);
});

test("the late report of the latest attempt is accepted from a later session, and nobody gets the task meanwhile", () => {
  const { stage, id } = leased();
  stage.pass(21_000);
  stage.settle();
  assert.deepEqual(stage.states(id), ["QUEUED"]);
  stage.hello(1, 11, { held: [heldGroup(id, [[0, 1, 2]])], draining: true });
  stage.hello(2, 20, { capacity: capacity({ cpus: 9 }) });
  stage.pass(5_000);
  stage.skip();
  stage.ended(11, report(id, [[0, 1]]));
  const { ends, leases } = stage.commit();
  assert.deepEqual([ends[0]?.attempts, leases], [[1], []]);
  assert.deepEqual(acks(stage), ["11: 0#1"]);
  assert.deepEqual(stage.states(id), ["COMPLETED"]);
});

test("a late report without a held attempt in hello is accepted as well", () => {
  const { stage, id } = leased({}, { onDisconnect: "requeue" });
  stage.pass(21_000);
  stage.settle();
  stage.hello(1, 11, { draining: true });
  stage.skip();
  stage.ended(11, report(id, [[0, 1]]));
  stage.ended(11, report(id, [[0, 1]]));
  stage.commit();
  assert.deepEqual(acks(stage), ["11: 0#1", "11: 0#1"]);
  assert.deepEqual(stage.states(id), ["COMPLETED"]);
});

test("a report that comes while the loss of its lease is on its way is judged after it, not taken for a repetition", () => {
  const { stage, id } = leased();
  stage.pass(20_000);
  assert.equal(stage.batch?.ends[0]?.blames[0], Blame.AGENT_LOST);
  stage.hello(1, 11, { draining: true });
  stage.skip();
  stage.ended(11, report(id, [[0, 1]]));
  assert.deepEqual(acks(stage), []);
  stage.commit();
  assert.deepEqual(acks(stage), [], "an acknowledged result is a durable one");
  const second = stage.commit();
  assert.equal(second.ends[0]?.outcomes[0], Outcome.COMPLETED);
  assert.deepEqual(acks(stage), ["11: 0#1"]);
  assert.deepEqual(stage.states(id), ["COMPLETED"]);
});

test("a late report that meets a cancel on its way is judged after it", () => {
  const { stage, id } = leased();
  stage.pass(21_000);
  stage.settle();
  stage.hello(1, 11, { draining: true });
  stage.decide("cancel", id);
  stage.skip();
  stage.ended(11, report(id, [[0, 1]]));
  stage.settle();
  assert.deepEqual(acks(stage), ["11: task_ended"]);
  assert.deepEqual(stage.states(id), ["CANCELED"]);
});

test("a task that failed because its agent was lost once too often does not take a late report", () => {
  const stage = new Stage({ config: { infrastructureRetries: 0 } });
  const id = stage.submit(experiment([{}]));
  stage.hello(1, 10);
  stage.settle();
  stage.pass(21_000);
  stage.settle();
  assert.deepEqual(stage.states(id), ["FAILED"]);
  stage.hello(1, 11);
  stage.skip();
  stage.ended(11, report(id, [[0, 1]]));
  assert.deepEqual(acks(stage), ["11: task_ended"]);
});

test("tails and details stand by position", () => {
  const stage = new Stage();
  const id = stage.submit(experiment([{ count: 2 }]));
  stage.hello(1, 10, { capacity: capacity({ cpus: 2 }) });
  stage.settle();
  const group = report(
    id,
    [
      [1, 1],
      [0, 1],
    ],
    { outcome: Outcome.FAILED },
  );
  stage.ended(10, { ...group, tails: { 1: "boom" }, details: { 0: "why" } });
  const [record] = stage.commit().ends;
  assert.deepEqual([record?.tails, record?.details], [{ 1: "boom" }, { 0: "why" }]);
});
