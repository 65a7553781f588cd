/** An agent's program is replaced while its tasks run: adopted, none killed, none run twice; what goes wrong is undone. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { Rollout, RolloutDetail } from "../../shared/api/release.ts";
import { brokenProgram, programText, publish } from "../support/agent-release.ts";
import { judge } from "../support/fault-ledger.ts";
import { until } from "../support/fault-process.ts";
import { endRunners, type FaultStack } from "../support/fault-stack.ts";
import { HeldTasks, rolledOut, rollOut, withUpdates } from "../support/fault-update.ts";

/** How long the coordinator is away; ten minutes by `npm run zero-kill`. */
const AWAY_MS = Number(process.env.AIRAVATA_FAULT_AWAY_MS ?? 15_000);

test("an agent is updated in place, twice: same process, tasks run on and count once", async () => {
  await withUpdates({ cpus: 2 }, async ({ stack, releases }) => {
    const tasks = await new HeldTasks(stack, 6).begin(2);
    const { pid } = stack.agent;
    for (const version of ["1.1.0", "1.2.0"]) {
      publish(releases, version, await programText(version));
      const rollout = await rolledOut(stack, await rollOut(stack));
      assert.deepEqual(
        [rollout.state, rollout.version, rollout.agents[0]?.state],
        ["DONE", version, "UPDATED"],
        rollout.reason,
      );
      assert.equal((await stack.agentRecord())?.session?.program, version);
      assert.equal(stack.agent.pid, pid);
      assert.equal(stack.agent.ended, undefined);
    }
    tasks.finish();
    assert.equal((await stack.ended(tasks.id)).state, "COMPLETED");
    const { contradictions, inVain } = await judge(stack, tasks.id, tasks.tasks, tasks.ledger);
    assert.deepEqual([contradictions, inVain], [[], {}]);
    // Its signal reaches the agent, whose end is the process's end.
    stack.agent.signal("SIGTERM");
    assert.equal(await stack.agent.gone(), 0);
    await stack.agentIs("GONE");
    // The operator's own file becomes what was chosen.
    stack.agent.start();
    await stack.agentIs("READY");
    assert.equal((await stack.agentRecord())?.session?.program, "1.2.0");
  });
});

test("what is not right is refused or rolled back, told, and stops the rollout; no task notices", async () => {
  await withUpdates({ cpus: 2 }, async ({ stack, releases }) => {
    const tasks = await new HeldTasks(stack, 3).begin(2);
    const { pid } = stack.agent;
    const cases: [version: string, text: string, sha256: string | undefined, state: string, sentence: RegExp][] = [
      ["2.0.0", "echo hello\n", "0".repeat(64), "FAILED", /its SHA-256 is not 0000/],
      ["2.0.1", brokenProgram("2.0.2", "exit 0"), undefined, "FAILED", /asked for its version it says "2\.0\.2"/],
      ["2.0.3", brokenProgram("2.0.3", "exit 7"), undefined, "ROLLED_BACK", /ended with exit code 7 before/],
      ["2.0.4", brokenProgram("2.0.4", "sleep 1000"), undefined, "ROLLED_BACK", /said nothing of itself for 8 s/],
      ["2.0.5", brokenProgram("2.0.5", "kill -9 $$"), undefined, "ROLLED_BACK", /ended by signal 9 before/],
      // Keeps up appearances and then dies of its own accord.
      ["2.0.6", brokenProgram("2.0.6", SAYS_UP), undefined, "ROLLED_BACK", /it does not like this place/],
    ];
    for (const [version, text, sha256, state, sentence] of cases) {
      publish(releases, version, text, { sha256 });
      const rollout = await rolledOut(stack, await rollOut(stack, version));
      const [target] = rollout.agents;
      assert.deepEqual([version, rollout.state, target?.state], [version, "STOPPED", state], rollout.reason);
      assert.match(target?.message ?? "", sentence);
      assert.match(rollout.reason, sentence);
      await stack.agentIs("READY");
      assert.equal((await stack.agentRecord())?.session?.program, "1.0.0");
      assert.equal(stack.agent.pid, pid);
    }
    // And what is right is still taken after all that.
    publish(releases, "2.1.0", await programText("2.1.0"));
    assert.equal((await rolledOut(stack, await rollOut(stack))).state, "DONE");
    tasks.finish();
    assert.equal((await stack.ended(tasks.id)).state, "COMPLETED");
    const { contradictions, inVain } = await judge(stack, tasks.id, tasks.tasks, tasks.ledger);
    assert.deepEqual([contradictions, inVain], [[], {}]);
  });
});

/** What a program on trial may say on the descriptor that its environment names. */
const SAYS_UP =
  'fd=$(echo "$AIRAVATA_KEEPER" | cut -d: -f2); echo up >&$fd; echo "failed it does not like this place" >&$fd; sleep 1000';

test("an agent is updated while no coordinator is there: it waits, then its tasks count once", async () => {
  // A program on trial may be without a coordinator for thirty times this.
  const trial = `${Math.max(8, Math.ceil(AWAY_MS / 20_000))}s`;
  await withUpdates(
    { cpus: 2, sessionTtl: "3s", agentWords: ["--update-trial", trial] },
    async ({ stack, releases }) => {
      const tasks = await new HeldTasks(stack, 4).begin(2, { on_disconnect: "wait" });
      const gate = join(stack.directory, "gate");
      publish(releases, "1.1.0", await programText("1.1.0", gate));
      await rollOut(stack);
      await until("the agent hands over", () =>
        readFileSync(stack.agent.command.log, "utf8").includes('"reason":"updated"'),
      );
      await stack.coordinator.kill("SIGKILL");
      writeFileSync(gate, "");
      // Several times its silence, and beyond the end of its leases.
      await delay(AWAY_MS);
      assert.equal(stack.agent.ended, undefined);
      stack.coordinator.start();
      await stack.leads();
      await until("the rollout is done", async () => (await latestRollout(stack))?.state === "DONE");
      assert.equal((await stack.agentRecord())?.session?.program, "1.1.0");
      tasks.finish();
      assert.equal((await stack.ended(tasks.id)).state, "COMPLETED");
      const { contradictions, inVain } = await judge(stack, tasks.id, tasks.tasks, tasks.ledger);
      assert.deepEqual([contradictions, inVain], [[], {}]);
    },
  );
});

test("one agent first: its failure stops the rollout; who is pinned elsewhere or refuses is skipped", async () => {
  await withUpdates({ cpus: 1 }, async ({ stack, releases }) => {
    const others = [];
    for (const name of ["second", "third", "fourth"]) {
      others.push(await stack.startAgent(name, join(stack.directory, name), stack.url));
    }
    try {
      const states = (rollout: RolloutDetail) => rollout.agents.map(({ name, state }) => `${name} ${state}`);
      publish(releases, "3.0.0", brokenProgram("3.0.0", "exit 1"));
      const failed = await rolledOut(stack, await rollOut(stack));
      assert.deepEqual(states(failed), ["agent ROLLED_BACK", "second WAITING", "third WAITING", "fourth WAITING"]);
      const ids = new Map(failed.agents.map(({ name, agent }) => [name, agent]));
      const policy = (name: string, pinned: string | null): Promise<unknown> =>
        stack.client.call("setUpdatePolicy", {
          params: { agent: ids.get(name) as number },
          body: { pinned_version: pinned, updates_refused: pinned === null },
        });
      await policy("second", "1.0.0");
      await policy("third", null);
      publish(releases, "3.0.1", await programText("3.0.1"));
      const done = await rolledOut(stack, await rollOut(stack));
      assert.deepEqual(states(done), ["agent UPDATED", "second SKIPPED", "third SKIPPED", "fourth UPDATED"]);
      assert.match(done.agents[1]?.message ?? "", /pinned to version 1\.0\.0/);
      assert.match(done.agents[2]?.message ?? "", /operator refuses/);
      for (const [name, version] of [
        ["second", "1.0.0"],
        ["third", "1.0.0"],
        ["fourth", "3.0.1"],
      ] as const) {
        assert.equal((await stack.agentRecord(name))?.session?.program, version);
      }
    } finally {
      for (const other of others) await other.kill("SIGKILL");
      for (const name of ["second", "third", "fourth"]) await endRunners(join(stack.directory, name));
    }
  });
});

async function latestRollout(stack: FaultStack): Promise<Rollout | undefined> {
  const page = await stack.client.call("listRollouts", { query: { limit: 1 } }).catch(() => undefined);
  return page?.items[0];
}
