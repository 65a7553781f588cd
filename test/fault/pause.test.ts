/**
 * Stopped, not dead: an agent or a coordinator that stands still for longer than it is trusted, and then goes on as if no
 * time had passed. What was given to another one meanwhile counts there, and only there.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createClient } from "../../shared/api/client.ts";
import { Forwarder } from "../support/fault-forwarder.ts";
import { judge, Ledger } from "../support/fault-ledger.ts";
import { isAlive, processesWith, until } from "../support/fault-process.ts";
import { endRunners, FaultStack, listening } from "../support/fault-stack.ts";

const REQUIRES = { cpu: 1, ram_gb: 0.01, disk_gb: 0, time: "10m" };
const LANES = 4;

/** Tasks that wait for a file each, so that they are over when the test wants it. */
function waiting(ledger: Ledger, go: string, tasks: number): Record<string, unknown> {
  const command = Ledger.command(`while [ ! -e "$GO" ]; do sleep 0.02; done`);
  return {
    tasks: { work: { command, task_inputs: { i: `1..${tasks}` }, requires: REQUIRES } },
    resources: { environment: { LEDGER: ledger.path, GO: go } },
  };
}

test("an agent that was stopped finds its tasks with another one, and ends its own attempts", async () => {
  await FaultStack.with({ cpus: LANES, sessionTtl: "3s" }, async (stack) => {
    const otherDir = join(stack.directory, "other");
    const ledger = new Ledger(join(stack.directory, "ledger"));
    const go = join(stack.directory, "go");
    const id = await stack.submit(waiting(ledger, go, LANES));
    await until("all tasks run", () => ledger.lines("begin").size === LANES);
    const first = processesWith(go, "AIRAVATA_ATTEMPT=1");
    assert.ok(first.length >= LANES);
    stack.agent.signal("SIGSTOP");
    const other = await stack.startAgent("other", otherDir, stack.url);
    try {
      await until("all of them run a second time", () => ledger.lines("begin").size === 2 * LANES);
      assert.equal(await stack.agentRecord().then((agent) => agent?.state), "LOST");
      // Nobody tells the first attempts, whose agent stands still: they run on.
      assert.equal(ledger.lines("end").size, 0);
      stack.agent.signal("SIGCONT");
      await until("the superseded attempts are ended", () => !first.some((pid) => isAlive(pid)));
      writeFileSync(go, "");
      assert.equal((await stack.ended(id)).state, "COMPLETED");
      const { contradictions, inVain } = await judge(stack, id, LANES, ledger);
      assert.deepEqual(contradictions, []);
      assert.deepEqual(inVain, { "LOST agent_lost": LANES });
    } finally {
      await other.kill("SIGKILL");
      await endRunners(otherDir);
    }
  });
});

test("a coordinator that was stopped while another took over decides nothing any more", async () => {
  await FaultStack.with({ cpus: LANES }, async (stack) => {
    const second = stack.newCoordinator("second", 0);
    const forwarder = await Forwarder.listen(stack.url);
    const agentDir = join(stack.directory, "behind");
    // The agent of this test comes through the forwarder; the stack's own would cling to the first coordinator.
    await stack.agent.kill("SIGTERM");
    const agent = await stack.startAgent("behind", agentDir, forwarder.url);
    try {
      second.start();
      const secondUrl = await listening(second);
      const ledger = new Ledger(join(stack.directory, "ledger"));
      const go = join(stack.directory, "go");
      const tasks = 5 * LANES;
      const id = await stack.submit(waiting(ledger, go, tasks));
      await until("the first tasks run", () => ledger.lines("begin").size === LANES);

      stack.coordinator.signal("SIGSTOP");
      forwarder.turn(secondUrl);
      await stack.leads(secondUrl);
      // The first answers as soon as it can, and knows by then that its time is over: it sends on what it is asked.
      const client = createClient({ server: stack.url, token: stack.client.token as string, timeoutMs: 120_000 });
      const asked = client.call("submitExperiment", { body: { spec: { tasks: { a: { command: "true" } } } } }).then(
        (experiment) => experiment.id,
        (error: { code?: string }) => error.code,
      );
      stack.coordinator.signal("SIGCONT");
      const answered = await asked;
      if (typeof answered !== "number") assert.match(String(answered), /^(not_leading|server_unreachable)$/);
      stack.url = secondUrl;
      await stack.agentIs("READY", "behind");
      writeFileSync(go, "");
      assert.equal((await stack.ended(id)).state, "COMPLETED");
      const { contradictions, inVain, ends } = await judge(stack, id, tasks, ledger);
      assert.deepEqual(contradictions, []);
      assert.deepEqual(inVain, {});
      assert.equal(ends["COMPLETED none"], tasks);
      const { items } = await stack.client.call("listExperiments", { query: {} });
      // Newest first: what it took is the other one's, and nothing is anybody else's.
      assert.deepEqual(
        items.map((experiment) => experiment.id),
        typeof answered === "number" ? [answered, id] : [id],
      );
    } finally {
      forwarder.close();
      await agent.kill("SIGKILL");
      await endRunners(agentDir);
      await second.kill("SIGKILL");
    }
  });
});
