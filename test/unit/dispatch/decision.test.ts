/** Decisions: cancel, pause, resume, priority, retry by people; max_failures and the experiment's end by the system. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Blame, Outcome } from "../../../shared/model/attempt.ts";
import type { ExperimentId } from "../../../shared/model/ids.ts";
import { experiment } from "./definitions.ts";
import { capacity, heldGroup, leasesSent, report, Stage, WALL_START } from "./stage.ts";

function running(templates: Parameters<typeof experiment>[0], part: Parameters<typeof experiment>[1] = {}, cpus = 1) {
  const stage = new Stage();
  const id = stage.submit(experiment(templates, part));
  stage.hello(1, 10, { capacity: capacity({ cpus }) });
  stage.settle();
  stage.skip();
  return { stage, id };
}

function replies(stage: Stage): unknown[] {
  const found = stage.effects.flatMap((effect) => (effect.type === "reply" ? [effect.result] : []));
  stage.skip();
  return found;
}

function decisionsOf(stage: Stage): string[] {
  return stage.journal.flatMap((batch) => batch.decisions.map((d) => `${d.kind} ${JSON.stringify(d.value)}`));
}

test("cancel: waiting and queued at once, leased when its agent says so; the agent is told after the commit", () => {
  const { stage, id } = running([{ count: 2 }, { count: 2, foreach: [0] }]);
  const request = stage.decide("cancel", id, { reason: "enough" });
  const decision = { kind: "cancel", experiment: id, actor: 1, scope: null, reason: "enough", value: null };
  const batch = {
    shard: 0,
    term: 1,
    seq: 3,
    atMs: WALL_START + 1_000,
    submits: [],
    leases: [],
    ends: [],
    decisions: [decision],
    deltas: [],
  };
  stage.expect({ type: "append", batch } as never);
  stage.commit();
  const groups = [{ experiment: id, template: 0, indexes: [0], attempts: [1] }];
  stage.expect(
    { type: "send", peer: 10, message: { type: "cancel", groups, graceMs: 10_000, reason: "enough" } },
    { type: "reply", request, result: { ok: "decided", affected: 4 } },
    { type: "committed", batch, changed: [id] } as never,
  );
  assert.deepEqual(
    [stage.states(id, 0), stage.states(id, 1)],
    [
      ["LEASED", "CANCELED"],
      ["CANCELED", "CANCELED"],
    ],
  );
  stage.ended(10, report(id, [[0, 1]], { outcome: Outcome.CANCELED, blame: Blame.CANCELED }));
  stage.settle();
  assert.deepEqual(stage.states(id), ["CANCELED", "CANCELED"]);
  assert.deepEqual(decisionsOf(stage), ["cancel null", 'ended "CANCELED"']);
});

test("a canceled task that fails, is released or is lost is not tried again; one that completed has completed", () => {
  const story: [Outcome, Blame, string][] = [
    [Outcome.FAILED, Blame.EXIT, "CANCELED"],
    [Outcome.RELEASED, Blame.RELEASED, "CANCELED"],
    [Outcome.COMPLETED, Blame.NONE, "COMPLETED"],
  ];
  for (const [outcome, blame, state] of story) {
    const { stage, id } = running([{ retries: { max: 9, on: ["exit"] } }]);
    stage.decide("cancel", id);
    stage.settle();
    stage.ended(10, report(id, [[0, 1]], { outcome, blame }));
    stage.settle();
    assert.deepEqual(stage.states(id), [state]);
  }
  const { stage, id } = running([{}]);
  stage.decide("cancel", id);
  stage.settle();
  stage.pass(21_000);
  stage.settle();
  assert.deepEqual(stage.states(id), ["CANCELED"]);
});

test("an end that was judged before the cancel became durable meets it: nothing is tried again", () => {
  const { stage, id } = running([{ retries: { max: 9, on: ["exit"] } }]);
  stage.decide("cancel", id);
  stage.ended(10, report(id, [[0, 1]], { outcome: Outcome.FAILED, blame: Blame.EXIT }));
  stage.settle();
  assert.deepEqual(stage.states(id), ["CANCELED"]);
});

test("cancel by ranges touches those and what waits for them", () => {
  const { stage, id } = running([{ count: 6 }, { count: 6, foreach: [0] }]);
  const request = stage.decide("cancel", id, {
    scope: [
      {
        template: 0,
        ranges: [
          [1, 2],
          [5, 99],
        ],
      },
    ],
  });
  stage.settle();
  const counts = (t: number): string =>
    stage
      .states(id, t)
      .map((s) => s[0])
      .join("");
  assert.deepEqual([counts(0), counts(1)], ["LCCQQC", "WCCWWC"]);
  assert.ok(replies(stage).some((r) => JSON.stringify(r) === JSON.stringify({ ok: "decided", affected: 3 })));
  assert.equal(request, 2);
});

test("an agent that was away hears of a cancel in its next session", () => {
  const { stage, id } = running([{}]);
  stage.step({ type: "disconnected", peer: 10 });
  stage.decide("cancel", id);
  stage.settle();
  stage.skip();
  stage.hello(1, 11, { held: [heldGroup(id, [[0, 1, 1]])] });
  assert.deepEqual(
    stage.sent().map(({ message }) => message.type),
    ["welcome", "cancel"],
  );
});

test("pause: no new leases, what runs goes on; resume: the rest", () => {
  const { stage, id } = running([{ count: 3 }]);
  stage.decide("pause", id);
  // While it is under way nothing is leased either.
  stage.hello(2, 20);
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), []);
  stage.ended(10, report(id, [[0, 1]]));
  stage.settle();
  assert.deepEqual(stage.states(id), ["COMPLETED", "QUEUED", "QUEUED"]);
  assert.deepEqual(leasesSent(stage.sent()), []);
  stage.decide("pause", id);
  assert.deepEqual(replies(stage), [
    {
      error: "experiment_state_conflict",
      message: `experiment ${id} is PAUSED but must be CREATED or EXECUTING to be paused`,
    },
  ]);
  stage.decide("resume", id);
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), [`10: ${id}.0 1#1`, `20: ${id}.0 2#1`]);
  stage.decide("resume", id);
  assert.match(JSON.stringify(replies(stage)), /is EXECUTING but must be PAUSED to be resumed/);
});

test("a paused experiment that was canceled has ended: it is not resumed, for nobody may load it any more", () => {
  const stage = new Stage();
  const id = stage.submit(experiment([{ count: 2 }]));
  stage.decide("pause", id);
  stage.decide("cancel", id);
  stage.settle();
  assert.notEqual(stage.core.ledger.experiments.get(id)?.endedAtMs, null);
  stage.decide("resume", id);
  assert.match(JSON.stringify(replies(stage)), /is CANCELED but must be PAUSED to be resumed/);
});

test("a paused experiment does not stand in the way of another of its class", () => {
  const stage = new Stage();
  const first = stage.submit(experiment([{ count: 2 }], { priority: 9 }));
  const second = stage.submit(experiment([{}]));
  stage.decide("pause", first);
  stage.settle();
  stage.hello(1, 10, { capacity: capacity({ cpus: 9 }) });
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), [`10: ${second}.0 0#1`]);
});

test("priority moves an experiment within its class and among classes", () => {
  const stage = new Stage();
  const ids = [1, 2, 3].map(() => stage.submit(experiment([{}, { foreach: [0] }])));
  stage.decide("priority", ids[2] as ExperimentId, { value: 10 });
  stage.decide("priority", ids[0] as ExperimentId, { value: -10 });
  stage.settle();
  stage.hello(1, 10);
  const order: unknown[] = [];
  for (let i = 0; i < 6; i++) {
    stage.settle();
    const [lease] = leasesSent(stage.sent());
    order.push(lease);
    const [, id, template] = /(\d+)\.(\d+) 0#1/.exec(lease ?? "") ?? [];
    stage.ended(10, report(Number(id) as ExperimentId, [[0, 1]], { template: Number(template) }));
  }
  const names = order.map((line) => String(line).slice(4, 7));
  assert.deepEqual(names, ["3.0", "3.1", "2.0", "2.1", "1.0", "1.1"]);
});

test("decisions about what is unknown or ended are refused naming both states", () => {
  const { stage, id } = running([{}]);
  stage.decide("cancel", 99 as ExperimentId);
  stage.decide("retry", id);
  stage.ended(10, report(id, [[0, 1]]));
  stage.settle();
  const first = replies(stage);
  stage.decide("cancel", id);
  assert.deepEqual(
    [...first, ...replies(stage)],
    [
      { error: "experiment_not_found", message: "there is no experiment 99 that has not ended long ago" },
      {
        error: "experiment_state_conflict",
        message: `experiment ${id} is EXECUTING and has no failed or canceled task there that could run again; a task whose need failed is reopened by retrying that need`,
      },
      {
        error: "experiment_state_conflict",
        message: `experiment ${id} is COMPLETED but must be unfinished to be canceled`,
      },
    ],
  );
});

test("retry: the failed and what fell with them; tries begin anew, attempts go on counting, the experiment executes again", () => {
  const { stage, id } = running([{ count: 2 }, { count: 2, foreach: [0] }, { needs: [1] }], {}, 2);
  stage.ended(10, report(id, [[0, 1]], { outcome: Outcome.FAILED }));
  stage.ended(10, report(id, [[1, 1]]));
  stage.settle();
  stage.ended(10, report(id, [[1, 1]], { template: 1 }));
  stage.settle();
  assert.deepEqual(decisionsOf(stage), ['ended "FAILED"']);
  stage.skip();
  stage.decide("retry", id);
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), [`10: ${id}.0 0#2`]);
  const ledger = stage.core.ledger.experiments.get(id);
  assert.deepEqual([ledger?.endedAtMs, ledger?.templates[0]?.triedUser[0]], [null, 0]);
  assert.deepEqual([stage.states(id, 1), stage.states(id, 2)], [["WAITING", "COMPLETED"], ["WAITING"]]);
  stage.ended(10, report(id, [[0, 2]]));
  stage.settle();
  stage.ended(10, report(id, [[0, 1]], { template: 1 }));
  stage.settle();
  stage.ended(10, report(id, [[0, 1]], { template: 2 }));
  stage.settle();
  assert.equal(decisionsOf(stage).at(-1), 'ended "COMPLETED"');
});

test("retry of an experiment that was only canceled takes the canceled", () => {
  const { stage, id } = running([{ count: 2 }, { needs: [0] }]);
  stage.decide("cancel", id);
  stage.settle();
  stage.ended(10, report(id, [[0, 1]], { outcome: Outcome.CANCELED, blame: Blame.CANCELED }));
  stage.settle();
  const request = stage.decide("retry", id);
  stage.settle();
  assert.ok(stage.effects.some((e) => e.type === "reply" && e.request === request && "ok" in e.result));
  assert.deepEqual([stage.states(id), stage.states(id, 1)], [["LEASED", "QUEUED"], ["WAITING"]]);
});

test("retry by ranges takes those and their dependents only", () => {
  const { stage, id } = running([{ count: 3 }, { count: 3, foreach: [0] }], {}, 3);
  stage.ended(
    10,
    report(
      id,
      [
        [0, 1],
        [1, 1],
        [2, 1],
      ],
      { outcome: Outcome.FAILED },
    ),
  );
  stage.settle();
  stage.decide("retry", id, { scope: [{ template: 0, ranges: [[1, 1]] }] });
  stage.settle();
  assert.deepEqual(stage.states(id), ["FAILED", "LEASED", "FAILED"]);
  assert.deepEqual(stage.states(id, 1), ["CANCELED", "WAITING", "CANCELED"]);
});

test("what an attempt from before a retry still reports does not count any more", () => {
  const { stage, id } = running([{}]);
  stage.decide("cancel", id);
  stage.settle();
  stage.pass(21_000);
  stage.settle();
  assert.deepEqual(stage.states(id), ["CANCELED"]);
  stage.decide("retry", id);
  stage.settle();
  stage.skip();
  stage.hello(1, 11, { held: [heldGroup(id, [[0, 1, 2]])], draining: true });
  stage.ended(11, report(id, [[0, 1]], { outcome: Outcome.CANCELED, blame: Blame.CANCELED }));
  const refused = stage.sent().flatMap(({ message }) => (message.type === "ack" ? (message.refused ?? []) : []));
  assert.deepEqual(
    refused.map((r) => r.message),
    [`attempt 1 of task ${id}.t0.0 was given up when the task was retried`],
  );
  assert.deepEqual(stage.states(id), ["QUEUED"]);
});

test("a repeated report from before a retry is a repetition, not a new end", () => {
  const { stage, id } = running([{}]);
  stage.ended(10, report(id, [[0, 1]], { outcome: Outcome.FAILED }));
  stage.settle();
  stage.hello(1, 11, { draining: true });
  stage.decide("retry", id);
  stage.settle();
  stage.skip();
  stage.ended(11, report(id, [[0, 1]], { outcome: Outcome.FAILED }));
  assert.deepEqual(stage.sent()[0]?.message, {
    type: "ack",
    groups: [{ experiment: id, template: 0, indexes: [0], attempts: [1] }],
  });
  assert.deepEqual([stage.batch, stage.states(id)], [null, ["QUEUED"]]);
});

test("a task canceled during its backoff and retried need not wait for the old one", () => {
  const { stage, id } = running([{ retries: { max: 8, on: ["exit"] } }]);
  stage.ended(10, report(id, [[0, 1]], { outcome: Outcome.FAILED }));
  stage.settle();
  stage.decide("cancel", id);
  stage.settle();
  stage.decide("retry", id);
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), [`10: ${id}.0 0#2`]);
});

test("max_failures: after so many the rest is canceled, and retrying the failed reopens all of it", () => {
  const { stage, id } = running([{ count: 6 }, { needs: [0] }], { maxFailures: 2 }, 3);
  stage.ended(10, report(id, [[0, 1]], { outcome: Outcome.FAILED }));
  stage.settle();
  stage.skip();
  stage.ended(10, report(id, [[1, 1]], { outcome: Outcome.FAILED }));
  stage.commit();
  const cancel = { kind: "cancel", experiment: id, actor: 0, scope: null, reason: "max_failures", value: 2 };
  assert.deepEqual(stage.batch?.decisions, [cancel]);
  stage.settle();
  const told = stage.sent().flatMap(({ message }) => (message.type === "cancel" ? message.groups : []));
  assert.deepEqual(
    told.map((group) => group.indexes),
    [[2, 3]],
  );
  assert.deepEqual(stage.states(id), ["FAILED", "FAILED", "LEASED", "LEASED", "CANCELED", "CANCELED"]);
  stage.ended(10, report(id, [[2, 1]], { outcome: Outcome.CANCELED, blame: Blame.CANCELED }));
  stage.ended(10, report(id, [[3, 1]]));
  stage.settle();
  assert.equal(decisionsOf(stage).at(-1), 'ended "FAILED"');
  stage.decide("retry", id);
  stage.settle();
  assert.deepEqual(stage.states(id), ["LEASED", "LEASED", "LEASED", "COMPLETED", "QUEUED", "QUEUED"]);
  assert.deepEqual(stage.states(id, 1), ["WAITING"]);
});

test("max_failures counts failures since the last retry, so that retrying some of the failed is not undone at once", () => {
  const { stage, id } = running([{ count: 5 }], { maxFailures: 2 }, 3);
  stage.ended(
    10,
    report(
      id,
      [
        [0, 1],
        [1, 1],
        [2, 1],
      ],
      { outcome: Outcome.FAILED },
    ),
  );
  stage.settle();
  stage.decide("retry", id, { scope: [{ template: 0, ranges: [[1, 1]] }] });
  stage.settle();
  assert.deepEqual(stage.states(id), ["FAILED", "LEASED", "FAILED", "CANCELED", "CANCELED"]);
  stage.decide("retry", id, { scope: [{ template: 0, ranges: [[3, 4]] }] });
  stage.settle();
  assert.deepEqual(stage.states(id), ["FAILED", "LEASED", "FAILED", "LEASED", "LEASED"]);
  stage.ended(10, report(id, [[1, 2]], { outcome: Outcome.FAILED }));
  stage.settle();
  assert.equal(decisionsOf(stage).at(-1), "retry null");
  stage.ended(10, report(id, [[3, 1]], { outcome: Outcome.FAILED }));
  stage.settle();
  assert.equal(decisionsOf(stage).at(-1), "cancel 2");
});

test("a retry that could reopen nothing is refused; retrying the need reopens both", () => {
  const { stage, id } = running([{}, { foreach: [0] }]);
  stage.ended(10, report(id, [[0, 1]], { outcome: Outcome.FAILED }));
  stage.settle();
  stage.skip();
  stage.decide("retry", id, { scope: [{ template: 1, ranges: [[0, 0]] }] });
  const [reply] = stage.effects.filter((effect) => effect.type === "reply");
  assert.match(JSON.stringify(reply), /experiment_state_conflict.*a task whose need failed is reopened/);
  assert.equal(stage.batch, null, "nothing is written");
  stage.skip();
  stage.decide("retry", id, { scope: [{ template: 0, ranges: [[0, 0]] }] });
  stage.settle();
  assert.deepEqual([stage.states(id), stage.states(id, 1)], [["LEASED"], ["WAITING"]]);
  const replies = stage.effects.filter((effect) => effect.type === "reply");
  assert.deepEqual(
    replies.map((effect) => effect.result),
    [{ ok: "decided", affected: 2 }],
  );
});

test("what a person canceled is not reopened by retrying the failed", () => {
  const { stage, id } = running([{ count: 3 }], {}, 2);
  stage.decide("cancel", id, { scope: [{ template: 0, ranges: [[1, 2]] }] });
  stage.settle();
  stage.ended(10, report(id, [[1, 1]], { outcome: Outcome.CANCELED, blame: Blame.CANCELED }));
  stage.ended(10, report(id, [[0, 1]], { outcome: Outcome.FAILED }));
  stage.settle();
  stage.decide("retry", id);
  stage.settle();
  assert.deepEqual(stage.states(id), ["LEASED", "CANCELED", "CANCELED"]);
});

test("a new dispatcher draws the conclusions that the old one did not live to draw", () => {
  const { stage, id } = running([{}]);
  stage.ended(10, report(id, [[0, 1]]));
  stage.commit();
  assert.deepEqual(decisionsOf(stage), [], "the end of the experiment was on its way");
  const next = new Stage({ ledger: stage.core.ledger, config: { term: 2 } });
  next.tick();
  next.settle();
  assert.deepEqual(decisionsOf(next), ['ended "COMPLETED"']);
  assert.equal(next.core.ledger.experiments.get(id)?.endedAtMs, WALL_START + 1_000);

  const other = running([{ count: 3 }], { maxFailures: 1 });
  other.stage.ended(10, report(other.id, [[0, 1]], { outcome: Outcome.FAILED }));
  other.stage.commit();
  const after = new Stage({ ledger: other.stage.core.ledger, config: { term: 2 } });
  after.tick();
  after.settle();
  assert.deepEqual(after.states(other.id), ["FAILED", "CANCELED", "CANCELED"]);
});

test("an experiment is CREATED until its first lease, and ends once", () => {
  const { stage, id } = running([{ count: 2 }], {}, 2);
  stage.ended(
    10,
    report(id, [
      [0, 1],
      [1, 1],
    ]),
  );
  stage.settle();
  stage.tick();
  stage.hello(2, 20);
  stage.settle();
  assert.deepEqual(decisionsOf(stage), ['ended "COMPLETED"']);
});

test("an empty scope touches nothing", () => {
  const { stage, id } = running([{}]);
  stage.decide("cancel", id, { scope: [] });
  stage.settle();
  assert.deepEqual(stage.states(id), ["LEASED"]);
});
