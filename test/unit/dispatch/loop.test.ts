/** The loop's own figures: what an append held, how long its oldest part waited, what waits by class. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  createLoopFigures,
  Histogram,
  journalLagMs,
  observeFlush,
  queueDepths,
} from "../../../coordinator/dispatch/loop.ts";
import { experiment } from "./definitions.ts";
import { Stage } from "./stage.ts";

test("a value on a bound counts below it, one above all bounds at the end, each with its weight", () => {
  const histogram = new Histogram([1, 5]);
  histogram.observe(1);
  histogram.observe(5, 3);
  histogram.observe(5.1);
  assert.deepEqual([...histogram.counts], [1, 3, 1]);
  assert.equal(histogram.sum, 21.1);
});

test("a lease waits from the moment it was chosen, an append from the moment it was sent", () => {
  const stage = new Stage();
  const figures = createLoopFigures();
  stage.submit(experiment([{ count: 3 }]));
  stage.hello(1, 10);
  const cut = stage.core.inflight ?? assert.fail("nothing is appended");
  assert.equal(journalLagMs(stage.core, stage.mono + 7), 7);
  observeFlush(figures, cut, stage.mono + 4, stage.mono + 7);
  assert.deepEqual([figures.flushTasks.sum, total(figures.flushTasks)], [1, 1]);
  assert.deepEqual([figures.flushSeconds.sum, total(figures.flushSeconds)], [0.003, 1]);
  assert.deepEqual([figures.leaseSeconds.sum, total(figures.leaseSeconds)], [0.007, 1]);
  assert.equal(total(figures.acknowledgementSeconds), 0);
});

test("a cut that gathers while another one is appended begins to wait when its first decision is made", () => {
  const stage = new Stage();
  stage.submit(experiment([{ count: 3 }]));
  stage.hello(1, 10);
  stage.mono += 30;
  stage.step({
    type: "submit",
    request: 9,
    submit: { ...stage.journal[0]!.submits[0]!, specText: "", idempotency: null },
  });
  assert.equal(stage.core.gathered[0]?.openedMono, stage.mono);
  assert.equal(journalLagMs(stage.core, stage.mono), 30);
});

test("queued tasks are told by class, the deepest first, and neither leased ones nor empty classes", () => {
  const stage = new Stage();
  stage.submit(experiment([{ count: 3 }, { count: 5, requires: { cpus: 2 } }, { count: 1 }]));
  const depths = () =>
    queueDepths(stage.core).map(({ project, requirement, tasks }) => [project, requirement.cpus, tasks]);
  assert.deepEqual(depths(), [
    [1, 2, 5],
    [1, 1, 4],
  ]);
  stage.hello(1, 10);
  stage.commit();
  assert.equal(depths().find(([, cpus]) => cpus === 1)?.[2], 3);
});

function total({ counts }: Histogram): number {
  return counts.reduce((sum, count) => sum + count, 0);
}
