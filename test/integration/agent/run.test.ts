/** An agent with real runners against a coordinator over a real WebSocket: tasks are run and reported. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { lstat, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { RunningAgent } from "../../../agent/agent.ts";
import { Blame, Outcome } from "../../../shared/model/attempt.ts";
import { agentDirectory, removeAgentDirectory, startAgent } from "../../support/agent.ts";
import { FakeCoordinator } from "../../support/agent-coordinator.ts";
import { shell, template } from "../../support/agent-templates.ts";

const coordinator = new FakeCoordinator();
let directory: string;
let agent: RunningAgent;

before(async () => {
  await coordinator.start();
  directory = await agentDirectory();
  agent = await startAgent(coordinator.url, directory);
  await coordinator.message("free");
});

after(async () => {
  await agent.stop();
  await coordinator.stop();
  await removeAgentDirectory(directory);
});

async function endOf(index: number) {
  await coordinator.until(`the end of ${index}`, () => coordinator.ends.some((end) => end.index === index));
  return coordinator.ends.find((end) => end.index === index);
}

test("a hundred silent tasks complete and leave no directory each", async () => {
  coordinator.lease(
    1,
    template(),
    Array.from({ length: 100 }, (_, i) => i),
  );
  await coordinator.until("100 ends", () => coordinator.ends.length >= 100);
  assert.ok(coordinator.ends.every((end) => end.outcome === Outcome.COMPLETED && end.exitCode === 0));
  assert.equal(new Set(coordinator.ends.map((end) => end.index)).size, 100);
  const left = await readdir(join(directory, ".attempts/1/work"));
  assert.ok(left.length <= 64, `${left.length} directories are left`);
});

test("output is kept in the attempt's directory and linked after the acknowledgement", async () => {
  coordinator.lease(
    2,
    template({ command: shell('echo out; echo err >&2; echo "$HOME:$AIRAVATA_TASK_ID" > file; env > env') }),
    [200],
  );
  const end = await endOf(200);
  assert.equal(end?.outcome, Outcome.COMPLETED);
  const link = join(directory, "2/work/200");
  await coordinator.until("the link", () => existsSync(link));
  assert.ok((await lstat(link)).isSymbolicLink());
  assert.equal(await readFile(join(link, ".stdout"), "utf8"), "out\n");
  assert.equal(await readFile(join(link, ".stderr"), "utf8"), "err\n");
  assert.match(await readFile(join(link, "file"), "utf8"), /:2\.work\.200\n$/);
  const names = (await readFile(join(link, "env"), "utf8")).split("\n").map((line) => line.split("=")[0]);
  assert.ok(!names.includes("npm_config_registry") && names.includes("PATH"));
});

test("failures carry exit status and the last of the error output", async () => {
  coordinator.lease(3, template({ command: shell("echo broken >&2; exit 3") }), [300]);
  const end = await endOf(300);
  assert.deepEqual([end?.outcome, end?.blame, end?.exitCode], [Outcome.FAILED, Blame.EXIT, 3]);
  assert.equal(end?.tail, "broken\n");
});

test("a program that is not there is the task's fault", async () => {
  coordinator.lease(4, template({ command: { kind: "argv", argv: [["/nonexistent/program"]] } }), [400]);
  const end = await endOf(400);
  assert.deepEqual([end?.outcome, end?.blame], [Outcome.FAILED, Blame.SPAWN]);
  assert.match(end?.detail ?? "", /ENOENT/);
});
