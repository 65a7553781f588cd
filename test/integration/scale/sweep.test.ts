/** Ten thousand tasks with one agent: each counts exactly once, in the database and in the API. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { judge, Ledger } from "../../support/fault-ledger.ts";
import { FaultStack } from "../../support/fault-stack.ts";

const TASKS = 10_000;
/** For hangs only. */
const TIMEOUT_MS = 200_000;

test("ten thousand tasks are COMPLETED exactly once each", { timeout: TIMEOUT_MS }, async (t) => {
  await FaultStack.with({}, async (stack) => {
    const ledger = new Ledger(join(stack.directory, "ledger"));
    const id = await stack.submit({
      tasks: {
        work: {
          command: Ledger.command(":"),
          task_inputs: { i: `1..${TASKS}` },
          requires: { cpu: 1, ram_gb: 0.01, disk_gb: 0 },
        },
      },
      resources: { environment: { LEDGER: ledger.path } },
    });
    const startedMs = performance.now();
    const { state, tasks } = await stack.ended(id, TIMEOUT_MS);
    t.diagnostic(`${Math.round(TASKS / ((performance.now() - startedMs) / 1_000))} tasks a second`);
    assert.equal(state, "COMPLETED");
    assert.equal(tasks.completed, TASKS);
    assert.deepEqual(await stack.taskStates(id), { COMPLETED: TASKS });
    const { contradictions, ends } = await judge(stack, id, TASKS, ledger);
    assert.deepEqual(contradictions, []);
    assert.deepEqual(ends, { "COMPLETED none": TASKS });
  });
});
