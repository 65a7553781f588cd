/** Edges: what a parent's end does to the tasks that wait for it, only once that end is durable, however far down. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Blame, Outcome } from "../../../shared/model/attempt.ts";
import { experiment } from "./definitions.ts";
import { capacity, leasesSent, report, Stage } from "./stage.ts";

test("foreach: each task waits for the one of the same index, and is leased only after that end is durable", () => {
  const stage = new Stage();
  const id = stage.submit(experiment([{ count: 3 }, { count: 3, foreach: [0] }]));
  assert.deepEqual(stage.states(id, 1), ["WAITING", "WAITING", "WAITING"]);
  stage.hello(1, 10, { capacity: capacity({ cpus: 9 }) });
  stage.settle();
  stage.skip();
  stage.ended(10, report(id, [[1, 1]]));
  assert.deepEqual(stage.states(id, 1), ["WAITING", "WAITING", "WAITING"]);
  const { leases } = stage.commit();
  assert.deepEqual(leases, []);
  assert.deepEqual(stage.states(id, 1), ["WAITING", "QUEUED", "WAITING"]);
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), [`10: ${id}.1 1#1`]);
});

test("needs: all tasks wait for all of the parent's", () => {
  const stage = new Stage();
  const id = stage.submit(experiment([{ count: 2 }, { count: 2, needs: [0] }]));
  stage.hello(1, 10, { capacity: capacity({ cpus: 9 }) });
  stage.settle();
  stage.ended(10, report(id, [[1, 1]]));
  stage.settle();
  assert.deepEqual(stage.states(id, 1), ["WAITING", "WAITING"]);
  stage.skip();
  stage.ended(10, report(id, [[0, 1]]));
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), [`10: ${id}.1 0#1 1#1`]);
});

test("a task with two parents waits for both; parents may stand below their children in the file", () => {
  const stage = new Stage();
  const id = stage.submit(experiment([{ needs: [2], foreach: [1] }, {}, {}]));
  stage.hello(1, 10, { capacity: capacity({ cpus: 9 }) });
  stage.settle();
  stage.ended(10, report(id, [[0, 1]], { template: 1 }));
  stage.settle();
  assert.deepEqual(stage.states(id, 0), ["WAITING"]);
  stage.ended(10, report(id, [[0, 1]], { template: 2 }));
  stage.settle();
  assert.deepEqual(stage.states(id, 0), ["LEASED"]);
});

test("a failure for good cancels what waited for it, along foreach only that index, and the rest goes on", () => {
  const stage = new Stage();
  const id = stage.submit(
    experiment([{ count: 2 }, { count: 2, foreach: [0] }, { count: 2, foreach: [1] }, { needs: [2] }, {}]),
  );
  stage.hello(1, 10, { capacity: capacity({ cpus: 9 }) });
  stage.settle();
  stage.ended(10, report(id, [[0, 1]], { outcome: Outcome.FAILED }));
  stage.settle();
  assert.deepEqual(
    [0, 1, 2, 3, 4].map((t) => stage.states(id, t)),
    [["FAILED", "LEASED"], ["CANCELED", "WAITING"], ["CANCELED", "WAITING"], ["CANCELED"], ["LEASED"]],
  );
});

test("a failure that is to be tried again cancels nothing", () => {
  const stage = new Stage();
  const id = stage.submit(experiment([{ retries: { max: 1, on: ["exit"] } }, { foreach: [0] }]));
  stage.hello(1, 10);
  stage.settle();
  stage.ended(10, report(id, [[0, 1]], { outcome: Outcome.FAILED, blame: Blame.EXIT }));
  stage.settle();
  assert.deepEqual(
    [0, 1].map((t) => stage.states(id, t)),
    [["QUEUED"], ["WAITING"]],
  );
});

test("a chain of 10,000 templates falls without a stack overflow", () => {
  const count = 10_000;
  const chain = Array.from({ length: count }, (_, i) => (i === 0 ? {} : { foreach: [i - 1] }));
  const stage = new Stage();
  const id = stage.submit(experiment(chain));
  stage.decide("cancel", id, { scope: [{ template: 0, ranges: [[0, 0]] }] });
  stage.settle();
  assert.deepEqual(stage.states(id, count - 1), ["CANCELED"]);
  assert.equal(stage.core.ledger.experiments.get(id)?.open, 0);
});
