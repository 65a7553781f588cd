/**
 * Two processes with one agent's identity, because its state directory was copied. The one that works keeps it, the other
 * one is told and waits; nothing runs twice, and when the first one is gone the second one has its place.
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

test("two processes with one identity: the one that works keeps it, the other one is told and has its place later", async () => {
  await FaultStack.with({ cpus: LANES }, async (stack) => {
    const ledger = new Ledger(join(stack.directory, "ledger"));
    const go = join(stack.directory, "go");
    const command = Ledger.command(`while [ ! -e "$GO" ]; do sleep 0.02; done`);
    const submit = (): Promise<number> =>
      stack.submit({
        tasks: { work: { command, task_inputs: { i: `1..${TASKS}` }, requires: REQUIRES } },
        resources: { environment: { LEDGER: ledger.path, GO: go } },
      });
    const id = await submit();
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
      await until("the twin is told", () => /has the same identity/.test(readFileSync(twin.command.log, "utf8")));
      writeFileSync(go, "");
      assert.equal((await stack.ended(id)).state, "COMPLETED");
      const { contradictions, inVain } = await judge(stack, id, TASKS, ledger);
      assert.deepEqual({ contradictions, inVain }, { contradictions: [], inVain: {} });
      await stack.agent.kill("SIGKILL");
      assert.equal((await stack.ended(await submit())).state, "COMPLETED");
    } finally {
      await twin.kill("SIGKILL");
      await endRunners(twinDir);
    }
  });
});
