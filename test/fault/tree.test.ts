/** Nothing that a task started is alive once its end is known, whatever it did to get away: through the whole system. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { processesWith, until } from "../support/fault-process.ts";
import { FaultStack } from "../support/fault-stack.ts";

/** A daemon in a session of its own, one by a double fork, and a loop that starts new processes all the time. */
const ESCAPES = `setsid sleep 1000 &
(setsid sh -c 'sleep 1000 & sleep 1000' &) &
(while :; do sleep 0.01; done) &
touch "$READY.$AIRAVATA_TASK_INDEX"`;

const REQUIRES = { cpu: 1, ram_gb: 0.01, disk_gb: 0 };

test("daemons of a task end with it: at its end, at a cancel, at its time limit", async () => {
  await FaultStack.with({}, async (stack) => {
    const ready = join(stack.directory, "ready");
    const submit = (name: string, rest: string, time: string): Promise<number> =>
      stack.submit({
        name,
        tasks: { [name]: { command: `${ESCAPES}\n${rest}`, requires: { ...REQUIRES, time } } },
        resources: { environment: { READY: `${ready}.${name}`, MARK: mark(stack, name) } },
      });

    const [canceled, limited] = await Promise.all([
      submit("canceled", "sleep 1000", "10m"),
      submit("limited", "sleep 1000", "2s"),
    ]);
    await until("the first one's daemons run", () => existsSync(`${ready}.canceled.0`));
    assert.ok(processesWith(mark(stack, "canceled")).length >= 5);
    await stack.client.call("cancelExperiment", { params: { experiment: canceled }, body: {} });
    assert.equal((await stack.ended(canceled)).state, "CANCELED");
    assert.deepEqual(processesWith(mark(stack, "canceled")), []);

    assert.equal((await stack.ended(limited)).state, "FAILED");
    assert.deepEqual(processesWith(mark(stack, "limited")), []);
    assert.equal((await stack.lastAttempt(`${limited}.limited.0`)).blame, "timeout");

    const ended = await submit("ended", "exit 0", "10m");
    assert.equal((await stack.ended(ended)).state, "COMPLETED");
    assert.deepEqual(processesWith(mark(stack, "ended")), []);
    assert.ok(existsSync(`${ready}.ended.0`));
  });
});

/** Stands in the environment of everything that the task starts. */
function mark(stack: FaultStack, name: string): string {
  return `${stack.directory}-${name}-`;
}
