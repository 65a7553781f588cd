/**
 * An array of a million tasks: accepted as one row of ranges, kept in little memory, started at once, canceled at once.
 * Times are printed, since they are the machine's; the memory is asserted.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { memoryOf } from "../../support/fault-process.ts";
import { FaultStack } from "../../support/fault-stack.ts";

const TASKS = 1_000_000;
const GROWTH_BYTES_MAX = 64 * 1024 * 1024;
/** Memory has settled when so many looks, this far apart, differ by no more than a megabyte. */
const SETTLED_LOOKS = 4;
const LOOK_MS = 250;
const MIB = 1024 * 1024;

test("a million tasks are accepted, begun, found again and canceled; the coordinator grows by less than 64 MB", async (t) => {
  await FaultStack.with({}, async (stack) => {
    const work = {
      command: "sleep 0.2",
      requires: { cpu: 1, ram_gb: 0.01, disk_gb: 0 },
    };
    // The first submit of a process compiles what it needs; that is no growth of the array.
    await stack.ended(await stack.submit({ tasks: { work } }));
    const beforeBytes = await settled(stack.coordinator.pid);

    const submittedMs = performance.now();
    const id = await stack.submit({ tasks: { work: { ...work, task_inputs: { i: `1..${TASKS}` } } } });
    const acceptedMs = performance.now() - submittedMs;
    const first = await stack.firstStart(`${id}.work.0`);
    const { submitted_at, tasks } = await stack.experiment(id);
    assert.equal(tasks.total, TASKS);
    const grownBytes = (await settled(stack.coordinator.pid)) - beforeBytes;
    t.diagnostic(`accepted within ${Math.round(acceptedMs)} ms`);
    t.diagnostic(`first task started ${first.getTime() - Date.parse(submitted_at)} ms after acceptance`);
    t.diagnostic(`the coordinator grew by ${(grownBytes / MIB).toFixed(1)} MiB`);
    assert.ok(grownBytes < GROWTH_BYTES_MAX, `the coordinator grew by ${grownBytes} bytes`);

    // The next dispatcher finds them all again.
    const diedMs = performance.now();
    await stack.coordinator.kill("SIGKILL");
    stack.coordinator.start();
    await stack.leads();
    t.diagnostic(`led again ${Math.round(performance.now() - diedMs)} ms after its death`);
    assert.equal((await stack.experiment(id)).tasks.total, TASKS);
    await stack.agentIs("READY");

    const canceledMs = performance.now();
    await stack.client.call("cancelExperiment", { params: { experiment: id }, body: {} });
    const ended = await stack.ended(id);
    t.diagnostic(`canceled within ${Math.round(performance.now() - canceledMs)} ms`);
    assert.equal(ended.state, "CANCELED");
    assert.ok(ended.tasks.completed > 0 || ended.tasks.canceled === TASKS);
    assert.equal(ended.tasks.completed + ended.tasks.canceled, TASKS);
    const afterBytes = (await settled(stack.coordinator.pid)) - beforeBytes;
    t.diagnostic(`at the end it had grown by ${(afterBytes / MIB).toFixed(1)} MiB`);
    assert.ok(afterBytes < GROWTH_BYTES_MAX, `the coordinator grew by ${afterBytes} bytes`);
  });
});

/** Resident bytes once they stand still. */
async function settled(pid: number): Promise<number> {
  let last = memoryOf(pid).nowBytes;
  for (let looks = 0; looks < SETTLED_LOOKS; ) {
    await delay(LOOK_MS);
    const now = memoryOf(pid).nowBytes;
    looks = Math.abs(now - last) < MIB ? looks + 1 : 0;
    last = now;
  }
  return last;
}
