/** SIGTERM lets an agent finish what it runs, take nothing new, and leave; the next one does the rest. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { judge, Ledger } from "../support/fault-ledger.ts";
import { until } from "../support/fault-process.ts";
import { FaultStack } from "../support/fault-stack.ts";

const TASKS = 20;

test("a drained agent finishes its running tasks, gives the others back and ends with 0", async () => {
  await FaultStack.with({ cpus: 4 }, async (stack) => {
    const ledger = new Ledger(join(stack.directory, "ledger"));
    const go = join(stack.directory, "go");
    const id = await stack.submit({
      tasks: {
        work: {
          command: Ledger.command(`while [ ! -e "$GO" ]; do sleep 0.02; done`),
          task_inputs: { i: `1..${TASKS}` },
          requires: { cpu: 1, ram_gb: 0.01, disk_gb: 0, time: "10m" },
        },
      },
      resources: { environment: { LEDGER: ledger.path, GO: go } },
    });
    await until("four tasks run", () => ledger.lines("begin").size === 4);
    stack.agent.signal("SIGTERM");
    await stack.agentIs("DRAINING");
    await until("the others are queued again", async () => (await stack.experiment(id)).tasks.queued === TASKS - 4);
    assert.equal(stack.agent.ended, undefined);
    writeFileSync(go, "");
    assert.equal(await stack.agent.gone(), 0);
    await stack.agentIs("GONE");
    const { tasks } = await stack.experiment(id);
    assert.deepEqual([tasks.completed, tasks.queued], [4, TASKS - 4]);

    stack.agent.start();
    assert.equal((await stack.ended(id)).state, "COMPLETED");
    const { contradictions, inVain, ends } = await judge(stack, id, TASKS, ledger);
    assert.deepEqual(contradictions, []);
    assert.deepEqual(inVain, {});
    const { "COMPLETED none": completed, "RELEASED released": _, ...others } = ends;
    assert.equal(completed, TASKS);
    assert.deepEqual(others, {});
  });
});
