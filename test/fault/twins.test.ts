/**
 * Two processes with one agent's identity, because its state directory was copied. The one that comes last has it; both
 * are told; what the first one runs counts no more, and no task counts twice.
 */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { judge, Ledger } from "../support/fault-ledger.ts";
import { FaultProcess, until } from "../support/fault-process.ts";
import { endRunners, FaultStack } from "../support/fault-stack.ts";

const LANES = 4;
const TASKS = 3 * LANES;
const REQUIRES = { cpu: 1, ram_gb: 0.01, disk_gb: 0, time: "10m" };
/** The identity, without what says who runs there and what runs. */
const COPIED = ["agent.key", "agent.json"];

test("two processes with one identity: the last one has it, both are told, nothing counts twice", async () => {
  await FaultStack.with({ cpus: LANES }, async (stack) => {
    const ledger = new Ledger(join(stack.directory, "ledger"));
    const go = join(stack.directory, "go");
    const command = Ledger.command(`while [ ! -e "$GO" ]; do sleep 0.02; done`);
    const id = await stack.submit({
      tasks: { work: { command, task_inputs: { i: `1..${TASKS}` }, requires: REQUIRES } },
      resources: { environment: { LEDGER: ledger.path, GO: go } },
    });
    await until("the first tasks run", () => ledger.lines("begin").size === LANES);

    const twinDir = join(stack.directory, "twin");
    mkdirSync(join(twinDir, "state"), { recursive: true, mode: 0o700 });
    for (const file of COPIED) cpSync(join(stack.outputDir, "state", file), join(twinDir, "state", file));
    const twin = new FaultProcess({
      ...stack.agent.command,
      name: "twin",
      env: { ...stack.agent.command.env, OUTPUT_DIR: twinDir },
      log: join(stack.directory, "twin.log"),
    });
    twin.start();
    try {
      assert.notEqual(await stack.agent.gone(), 0);
      assert.match(
        readFileSync(stack.agent.command.log, "utf8"),
        /another process opened a later session as agent agent/,
      );
      await until("the twin is told", () =>
        /its state directory was copied/.test(readFileSync(twin.command.log, "utf8")),
      );
      // It holds none of what the first one ran, so that is given anew, to it.
      await until("the tasks run a second time", () => ledger.lines("begin").size === 2 * LANES);
      // The first one's runners have gone on without it: what they report later is refused.
      writeFileSync(go, "");
      assert.equal((await stack.ended(id)).state, "COMPLETED");
      stack.agent.start();
      assert.notEqual(await twin.gone(), 0);
      await until("what was left has been told", async () => (await stack.agentRecord())?.state === "READY");
      assert.deepEqual(await stack.taskStates(id), { COMPLETED: TASKS });
      const { contradictions, inVain } = await judge(stack, id, TASKS, ledger);
      assert.deepEqual({ contradictions, inVain }, { contradictions: [], inVain: { "LOST not_held": LANES } });
    } finally {
      await twin.kill("SIGKILL");
      await endRunners(twinDir);
    }
  });
});
