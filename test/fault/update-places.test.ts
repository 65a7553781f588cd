/** Updates where agents live: under a service manager, as the entry of a batch script or a container. */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { brokenProgram, installProgram, programText, publish, RUNNER } from "../support/agent-release.ts";
import { Container } from "../support/container.ts";
import { judge } from "../support/fault-ledger.ts";
import { until } from "../support/fault-process.ts";
import { HeldTasks, rolledOut, rollOut, withUpdates } from "../support/fault-update.ts";
import { needs } from "../support/services.ts";

/**
 * What systemd does with KillMode=process, done here by hand: SIGTERM to the main process and to nothing else, everything
 * else is left where it is, and the command of the unit is started anew.
 */
test("a service with KillMode=process is stopped and started around an update: tasks run on", async () => {
  await withUpdates({ cpus: 2, agentWords: ["--drain-timeout", "200ms"] }, async ({ stack, releases }) => {
    const tasks = await new HeldTasks(stack, 4).begin(2);
    for (const version of ["1.1.0", "1.2.0"]) {
      publish(releases, version, await programText(version));
      assert.equal((await rolledOut(stack, await rollOut(stack))).state, "DONE");
      stack.agent.signal("SIGTERM");
      assert.equal(await stack.agent.gone(), 0);
      stack.agent.start();
      await until("the chosen program has a session", async () => {
        const agent = await stack.agentRecord();
        return agent?.state === "READY" && agent.session?.program === version;
      });
    }
    tasks.finish();
    assert.equal((await stack.ended(tasks.id)).state, "COMPLETED");
    const { contradictions, inVain } = await judge(stack, tasks.id, tasks.tasks, tasks.ledger);
    assert.deepEqual([contradictions, inVain], [[], {}]);
  });
});

test("in a batch script, under the supervisor as its entry: updated, killed, started again, ended", async () => {
  const directory = mkdtempSync(join(tmpdir(), "airavata-batch-"));
  try {
    const program = join(directory, "airavata");
    const script = join(directory, "job.sh");
    await installProgram(program, "1.0.0");
    writeFileSync(
      script,
      `#!/bin/bash\n#SBATCH --signal=B:TERM@60\nset -e\nmkdir -p "$OUTPUT_DIR/state"\nexec '${RUNNER}' supervise "$OUTPUT_DIR/state/runners" --agent '${program}' "$@"\n`,
    );
    chmodSync(script, 0o755);
    await withUpdates({ cpus: 2, agentProgram: script }, async ({ stack, releases }) => {
      const { pid } = stack.agent;
      const agentPid = (): number | undefined => {
        try {
          const text = readFileSync(join(stack.outputDir, "state", "owner.json"), "utf8");
          return (JSON.parse(text) as { pid: number }).pid;
        } catch {
          // Nobody has the state between one agent and the next.
          return undefined;
        }
      };
      const tasks = await new HeldTasks(stack, 4).begin(2);
      publish(releases, "1.1.0", await programText("1.1.0"));
      assert.equal((await rolledOut(stack, await rollOut(stack))).state, "DONE");
      const killed = agentPid() as number;
      process.kill(killed, "SIGKILL");
      await until("it is started again", async () => {
        const agent = await stack.agentRecord();
        return (
          ![killed, undefined].includes(agentPid()) && agent?.state === "READY" && agent.session?.program === "1.1.0"
        );
      });
      assert.equal(stack.agent.pid, pid);
      tasks.finish();
      assert.equal((await stack.ended(tasks.id)).state, "COMPLETED");
      const { contradictions, inVain } = await judge(stack, tasks.id, tasks.tasks, tasks.ledger);
      assert.deepEqual([contradictions, inVain], [[], {}]);
      stack.agent.signal("SIGTERM");
      assert.equal(await stack.agent.gone(), 0);
      await stack.agentIs("GONE");
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test("as the first process of a container: updated in place, no task notices, SIGTERM ends it", {
  skip: needs("runc") || needs("root"),
}, async () => {
  const directory = mkdtempSync(join(tmpdir(), "airavata-container-"));
  const container = new Container(directory);
  try {
    const program = join(directory, "airavata");
    await installProgram(program, "1.0.0");
    await withUpdates({ cpus: 2, agentProgram: container.launcher(program) }, async ({ stack, releases }) => {
      const owner = (): number => JSON.parse(readFileSync(join(stack.outputDir, "state", "owner.json"), "utf8")).pid;
      const tasks = await new HeldTasks(stack, 4).begin(2);
      assert.equal(owner(), 1);
      for (const version of ["1.1.0", "1.2.0"]) {
        publish(releases, version, await programText(version));
        const rollout = await rolledOut(stack, await rollOut(stack));
        assert.equal(rollout.state, "DONE", rollout.reason);
        // Process 1 has become the keeper; whatever it is, its end would be the end of the container.
        assert.notEqual(owner(), 1);
      }
      publish(releases, "1.3.0", brokenProgram("1.3.0", "exit 1"));
      assert.equal((await rolledOut(stack, await rollOut(stack))).state, "STOPPED");
      await stack.agentIs("READY");
      tasks.finish();
      assert.equal((await stack.ended(tasks.id)).state, "COMPLETED");
      const { contradictions, inVain } = await judge(stack, tasks.id, tasks.tasks, tasks.ledger);
      assert.deepEqual([contradictions, inVain], [[], {}]);
      stack.agent.signal("SIGTERM");
      assert.equal(await stack.agent.gone(), 0);
    });
  } finally {
    container.remove();
    rmSync(directory, { recursive: true, force: true });
  }
});
