/**
 * Two coordinators on one database: the second sends on what it is asked, takes over when the first is killed, and the
 * agent's tasks, which run through it, count as if nothing had happened. And the first, back again, waits in its turn.
 */
import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createClient } from "../../shared/api/client.ts";
import type { Health } from "../../shared/api/health.ts";
import { Forwarder } from "../support/fault-forwarder.ts";
import { judge, Ledger } from "../support/fault-ledger.ts";
import { until } from "../support/fault-process.ts";
import { FaultStack, listening } from "../support/fault-stack.ts";

const TASKS = 40;
const REQUIRES = { cpu: 1, ram_gb: 0.01, disk_gb: 0, time: "10m" };

test("a second coordinator waits for its turn and takes over while an agent runs tasks", async () => {
  await FaultStack.with({ cpus: 8 }, async (stack) => {
    const second = stack.newCoordinator("second", 0);
    let forwarder: Forwarder | undefined;
    try {
      second.start();
      const secondUrl = await listening(second);
      const ledger = new Ledger(join(stack.directory, "ledger"));
      const go = join(stack.directory, "go");
      const id = await stack.submit({
        tasks: {
          work: {
            command: Ledger.command(`while [ ! -e "$GO" ]; do sleep 0.02; done`),
            task_inputs: { i: `1..${TASKS}` },
            requires: REQUIRES,
          },
        },
        resources: { environment: { LEDGER: ledger.path, GO: go } },
      });
      await until("eight tasks run", () => ledger.lines("begin").size === 8);
      await sendsOn(secondUrl, stack, id);

      await stack.coordinator.kill("SIGKILL");
      // What a load balancer does: the address is served by whoever leads.
      forwarder = await Forwarder.listen(secondUrl, Number(new URL(stack.url).port));
      await stack.leads();
      await stack.agentIs("READY");
      assert.equal(ledger.lines("end").size, 0);
      assert.ok(!existsSync(go));

      const first = stack.newCoordinator("first again", 0);
      try {
        first.start();
        await sendsOn(await listening(first), stack, id);
        writeFileSync(go, "");
        assert.equal((await stack.ended(id)).state, "COMPLETED");
      } finally {
        await first.kill("SIGKILL");
      }
      const { contradictions, inVain, ends } = await judge(stack, id, TASKS, ledger);
      assert.deepEqual(contradictions, []);
      assert.deepEqual(inVain, {});
      assert.equal(ends["COMPLETED none"], TASKS);
      assert.equal(ends["LOST agent_lost"], undefined);
      for (let index = 0; index < 8; index++) assert.equal(ledger.lines("end").get(`${index}.1`), 1);
    } finally {
      forwarder?.close();
      await second.kill("SIGKILL");
    }
  });
});

/** It is alive, does not lead, and answers what the one that leads answers. */
async function sendsOn(url: string, stack: FaultStack, experiment: number): Promise<void> {
  const health = await fetch(`${url}/api/v1/health`);
  assert.equal(((await health.json()) as Health).leading, false);
  const client = createClient({ server: url, token: stack.client.token as string });
  const request = { params: { experiment }, query: {} };
  assert.deepEqual(await client.call("getExperiment", request), await stack.client.call("getExperiment", request));
}
