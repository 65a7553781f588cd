/** What must never become durable: batches that contradict the state, and reports of what another agent has. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { emptyEnd } from "../../../coordinator/dispatch/batch.ts";
import { checkBatch } from "../../../coordinator/dispatch/ledger/check.ts";
import { BrokenInvariant } from "../../../coordinator/dispatch/ledger/ledger.ts";
import { experiment } from "./definitions.ts";
import { capacity, report, Stage } from "./stage.ts";

const NONE = new Map();

test("a batch that could not be folded is refused before it is appended, naming the task and both sides", () => {
  const stage = new Stage();
  const id = stage.submit(experiment([{ count: 2 }]));
  stage.hello(1, 10, { capacity: capacity({ cpus: 1 }) });
  stage.settle();
  const { ledger } = stage.core;
  const empty = { shard: 0, term: 1, seq: ledger.seq + 1, atMs: 0, submits: [], leases: [], ends: [], decisions: [] };
  const lease = { agent: 1 as never, epoch: 1, root: "r", experiment: id, template: 0, indexes: [0], attempts: [2] };
  const end = { ...emptyEnd(id, 0), indexes: [1], attempts: [1] };
  const refused = (part: object, text: RegExp): void => {
    assert.throws(
      () => checkBatch(ledger, { ...empty, deltas: [], ...part }, NONE),
      (error) => error instanceof BrokenInvariant && text.test(error.message),
    );
  };
  checkBatch(ledger, { ...empty, deltas: [] }, NONE);
  checkBatch(ledger, { ...empty, deltas: [], leases: [{ ...lease, indexes: [1], attempts: [1] }] }, NONE);
  refused({ leases: [lease] }, /0, LEASED at attempt 1, cannot be leased/);
  refused({ leases: [{ ...lease, indexes: [1] }] }, /1, QUEUED at attempt 0, cannot be given attempt 2/);
  refused({ ends: [end] }, /1, QUEUED at attempt 0, cannot be ended as attempt 1/);
  refused({ leases: [{ ...lease, template: 7 }] }, /template 7 of experiment/);
  refused({ seq: ledger.seq + 2 }, /cannot follow/);
});

test("an agent cannot end what another one has", () => {
  const stage = new Stage();
  const id = stage.submit(experiment([{}]));
  stage.hello(1, 10);
  stage.settle();
  stage.hello(2, 11);
  stage.skip();
  stage.ended(11, report(id, [[0, 1]]));
  const [answer] = stage.sent();
  assert.ok(answer?.message.type === "ack");
  assert.match(answer.message.refused?.[0]?.message ?? "", /is with agent 1, not with a2/);
  assert.deepEqual(stage.states(id), ["LEASED"]);
});
