/** The single executable replaced by another program and back by itself, 110 MB over the wire, under running tasks. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { programText, publish } from "../support/agent-release.ts";
import { ROOT } from "../support/cli.ts";
import { judge } from "../support/fault-ledger.ts";
import { HeldTasks, rolledOut, rollOut, withUpdates } from "../support/fault-update.ts";

test("the single executable hands over, and is handed over to, with its tasks", async () => {
  const built = spawnSync(join(ROOT, "bin", "node"), [join(ROOT, "scripts", "build.ts")], { encoding: "utf8" });
  assert.equal(built.status, 0, built.stderr);
  const directory = mkdtempSync(join(tmpdir(), "airavata-single-"));
  const program = join(directory, "airavata");
  copyFileSync(join(ROOT, "dist", "airavata"), program);
  const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string };
  try {
    await withUpdates({ cpus: 2, agentProgram: program }, async ({ stack, releases }) => {
      const tasks = await new HeldTasks(stack, 4).begin(2);
      const { pid } = stack.agent;
      publish(releases, "99.0.0", await programText("99.0.0"));
      publish(releases, version, readFileSync(program));
      for (const to of ["99.0.0", version]) {
        const rollout = await rolledOut(stack, await rollOut(stack, to));
        assert.equal(rollout.state, "DONE", rollout.reason);
        assert.equal((await stack.agentRecord())?.session?.program, to);
        assert.equal(stack.agent.pid, pid);
      }
      tasks.finish();
      assert.equal((await stack.ended(tasks.id)).state, "COMPLETED");
      const { contradictions, inVain } = await judge(stack, tasks.id, tasks.tasks, tasks.ledger);
      assert.deepEqual([contradictions, inVain], [[], {}]);
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
