/** How many tasks run, as people see it: what agents said to have started, through every way a task leaves its agent. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { experimentView } from "../../../coordinator/dispatch/views.ts";
import { SESSION_TTL_MS } from "../../../shared/model/constants.ts";
import type { ExperimentId } from "../../../shared/model/ids.ts";
import { experiment } from "./definitions.ts";
import { capacity, heldGroup, report, Stage } from "./stage.ts";

function leased(): { stage: Stage; id: ExperimentId } {
  const stage = new Stage();
  const id = stage.submit(experiment([{ count: 4 }]));
  stage.hello(1, 10, { capacity: capacity({ cpus: 4 }) });
  stage.settle();
  return { stage, id };
}

function running(stage: Stage, id: ExperimentId): number {
  const ledger = stage.core.ledger.experiments.get(id);
  assert.ok(ledger);
  return experimentView(stage.core, ledger).running;
}

function started(stage: Stage, id: ExperimentId, ...indexes: number[]): void {
  const attempts = indexes.map(() => 1);
  const groups = [{ experiment: id, template: 0, indexes, attempts, startedAtMs: attempts }];
  stage.step({ type: "message", peer: 10, message: { type: "started", groups } });
}

test("leased is not running; started is, and counts once however often it is said", () => {
  const { stage, id } = leased();
  assert.equal(running(stage, id), 0);
  started(stage, id, 0, 1);
  started(stage, id, 1);
  assert.equal(running(stage, id), 2);
});

test("what ended runs no more", () => {
  const { stage, id } = leased();
  started(stage, id, 0, 1);
  stage.ended(10, report(id, [[0, 1]]));
  stage.settle();
  assert.equal(running(stage, id), 1);
  // Ended without ever having been said to be started.
  stage.ended(10, report(id, [[2, 1]]));
  stage.settle();
  assert.equal(running(stage, id), 1);
});

test("a lost agent runs nothing; one that comes back says what it runs", () => {
  const { stage, id } = leased();
  started(stage, id, 0, 1);
  stage.hello(1, 11, {
    capacity: capacity({ cpus: 4 }),
    held: [
      heldGroup(id, [
        [0, 1, 0],
        [1, 1, 1],
        [2, 1, 1],
      ]),
    ],
  });
  stage.settle();
  assert.equal(running(stage, id), 2);
  stage.pass(SESSION_TTL_MS + 1_000);
  stage.settle();
  assert.equal(running(stage, id), 0);
  assert.equal(stage.core.running.size, 0);
});
