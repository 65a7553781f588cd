/** kill -9 of the agent, its runner, its supervisor, and a coordinator that is away: nothing is lost, nothing runs twice. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { Blame, Outcome } from "../../../shared/model/attempt.ts";
import { agentDirectory, processesOf, removeAgentDirectory } from "../../support/agent.ts";
import { FakeCoordinator } from "../../support/agent-coordinator.ts";
import { AgentProcess } from "../../support/agent-process.ts";
import { shell, template } from "../../support/agent-templates.ts";

let coordinator: FakeCoordinator;
let directory: string;
let agents: AgentProcess[];

beforeEach(async () => {
  coordinator = new FakeCoordinator();
  await coordinator.start();
  directory = await agentDirectory();
  agents = [];
});

afterEach(async () => {
  for (const agent of agents) await agent.kill();
  await coordinator.stop();
  await removeAgentDirectory(directory);
});

async function start(): Promise<AgentProcess> {
  const agent = new AgentProcess(coordinator.url, directory);
  agents.push(agent);
  return agent.started();
}

/** Each task says that it began, waits for its file, and says that it ended. */
function waiting(name = "work") {
  const text = `echo begin $AIRAVATA_TASK_INDEX >> ${directory}/journal
echo text; while [ ! -e ${directory}/go.$AIRAVATA_TASK_INDEX ]; do sleep 0.02; done
echo end $AIRAVATA_TASK_INDEX >> ${directory}/journal`;
  return template({ name, command: shell(text), leased: { templateNames: [name] } });
}

async function journal(): Promise<string[]> {
  return (await readFile(join(directory, "journal"), "utf8").catch(() => "")).split("\n").filter(Boolean).sort();
}

async function began(count: number): Promise<void> {
  const seen = new Set<string>();
  while (seen.size < count) {
    for (const line of await journal()) if (line.startsWith("begin")) seen.add(line);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test("kill -9 of the agent kills no task; the next start adopts what runs and reports what ended meanwhile", async () => {
  const first = await start();
  await coordinator.message("free");
  coordinator.lease(1, waiting(), [0, 1]);
  await began(2);
  await first.kill();
  await writeFile(join(directory, "go.0"), "");
  while (!(await journal()).includes("end 0")) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(coordinator.ends.length, 0);
  await start();
  await coordinator.until("the end of 0", () => coordinator.ends.length === 1);
  const [held] = coordinator.hellos[1]?.held ?? [];
  assert.deepEqual([...(held?.indexes ?? [])].sort(), [0, 1]);
  assert.equal(held?.phases[held.indexes.indexOf(1)], 1);
  await writeFile(join(directory, "go.1"), "");
  await coordinator.until("the end of 1", () => coordinator.ends.length === 2);
  assert.deepEqual(
    coordinator.ends.map((end) => [end.index, end.outcome]),
    [
      [0, Outcome.COMPLETED],
      [1, Outcome.COMPLETED],
    ],
  );
  assert.deepEqual(await journal(), ["begin 0", "begin 1", "end 0", "end 1"]);
  await coordinator.until("the link", () => existsSync(join(directory, "1/work/1/.stdout")));
  assert.equal(await readFile(join(directory, "1/work/0/.stdout"), "utf8"), "text\n");
});

test("ends that were not acknowledged survive kill -9 and are told once more, with what was found out about them", async () => {
  coordinator.acking = false;
  const first = await start();
  await coordinator.message("free");
  coordinator.lease(1, template({ command: shell("echo why >&2; exit 4") }), [0, 1, 2]);
  await coordinator.until("three ends", () => coordinator.ends.length === 3);
  await first.kill();
  coordinator.ends.length = 0;
  coordinator.acking = true;
  await start();
  await coordinator.until("three ends again", () => coordinator.ends.length === 3);
  assert.deepEqual(coordinator.ends.map(({ index, blame, exitCode, tail }) => [index, blame, exitCode, tail]).sort(), [
    [0, Blame.EXIT, 4, "why\n"],
    [1, Blame.EXIT, 4, "why\n"],
    [2, Blame.EXIT, 4, "why\n"],
  ]);
  // Acknowledged now: a third process has nothing to say about them.
  await (agents.at(-1) as AgentProcess).kill("SIGTERM");
  await start();
  await coordinator.until("a third hello", () => coordinator.hellos.length === 3);
  assert.deepEqual(coordinator.hellos[2]?.held, []);
});

test("a coordinator that is away loses no end", async () => {
  await start();
  await coordinator.message("free");
  coordinator.lease(1, waiting(), [0, 1]);
  await began(2);
  await coordinator.stop();
  for (const index of [0, 1]) await writeFile(join(directory, `go.${index}`), "");
  while ((await journal()).length < 4) await new Promise((resolve) => setTimeout(resolve, 10));
  await coordinator.start();
  await coordinator.until("both ends", () => coordinator.ends.length === 2);
  assert.ok(coordinator.ends.every((end) => end.outcome === Outcome.COMPLETED));
});

test("a runner that is killed costs its task, which is ended and blamed runner_lost; the agent goes on", async () => {
  await start();
  await coordinator.message("free");
  coordinator.lease(1, waiting(), [0]);
  await began(1);
  process.kill(await onlyProcess("run"), "SIGKILL");
  await coordinator.until("its end", () => coordinator.ends.length === 1);
  assert.deepEqual([coordinator.ends[0]?.outcome, coordinator.ends[0]?.blame], [Outcome.FAILED, Blame.RUNNER_LOST]);
  coordinator.lease(1, template({ ordinal: 1 }), [5]);
  await coordinator.until("another end", () => coordinator.ends.some((end) => end.index === 5));
  assert.ok(!(await journal()).includes("end 0"));
});

test("gpus of an adopted attempt stay its own", async () => {
  const resources = { cpus: 4, gpus: 2, labels: [], custom: [] };
  const startWithGpus = async (): Promise<AgentProcess> => {
    const agent = new AgentProcess(coordinator.url, directory, { resources });
    agents.push(agent);
    return agent.started();
  };
  const first = await startWithGpus();
  await coordinator.message("free");
  const text = `echo $CUDA_VISIBLE_DEVICES > ${directory}/gpus.$AIRAVATA_TASK_INDEX; while [ ! -e ${directory}/go ]; do sleep 0.02; done`;
  const leased = template({ command: shell(text), requires: { gpus: 1 } });
  const gpuOf = async (index: number): Promise<string> => {
    const path = join(directory, `gpus.${index}`);
    while ((await readFile(path, "utf8").catch(() => "")) === "")
      await new Promise((resolve) => setTimeout(resolve, 10));
    return (await readFile(path, "utf8")).trim();
  };
  coordinator.lease(1, leased, [0]);
  assert.equal(await gpuOf(0), "0");
  await first.kill();
  await startWithGpus();
  await coordinator.until("a second hello", () => coordinator.hellos.length === 2);
  coordinator.lease(1, leased, [1]);
  assert.equal(await gpuOf(1), "1");
  await writeFile(join(directory, "go"), "");
  await coordinator.until("both ends", () => coordinator.ends.length === 2);
});

test("a supervisor that is killed costs nothing", async () => {
  await start();
  await coordinator.message("free");
  coordinator.lease(1, waiting(), [0]);
  await began(1);
  process.kill(await onlyProcess("supervise"), "SIGKILL");
  coordinator.lease(1, template({ ordinal: 1 }), [5]);
  await coordinator.until("another end", () => coordinator.ends.some((end) => end.index === 5));
  await writeFile(join(directory, "go.0"), "");
  await coordinator.until("its end", () => coordinator.ends.some((end) => end.index === 0));
  assert.ok(coordinator.ends.every((end) => end.outcome === Outcome.COMPLETED));
});

/** The one process of this agent whose first argument is that role. */
async function onlyProcess(role: string): Promise<number> {
  const found: number[] = [];
  for (const pid of await processesOf(directory)) {
    const line = (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).split("\0");
    if (line[0]?.includes("airavata-runner") && line[1] === role) found.push(pid);
  }
  assert.equal(found.length, 1, `processes with role ${role}: ${found}`);
  return found[0] as number;
}
