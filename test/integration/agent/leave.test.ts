/** Trust, cancel, drain, ownership and refusals of an agent with real runners. */
import assert from "node:assert/strict";
import { existsSync, statSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import type { RunningAgent } from "../../../agent/agent.ts";
import { Blame, Outcome } from "../../../shared/model/attempt.ts";
import type { ExperimentId } from "../../../shared/model/ids.ts";
import { agentDirectory, processesOf, removeAgentDirectory, startAgent } from "../../support/agent.ts";
import { FakeCoordinator } from "../../support/agent-coordinator.ts";
import { AgentProcess } from "../../support/agent-process.ts";
import { shell, template } from "../../support/agent-templates.ts";

let coordinator: FakeCoordinator;
let directory: string;
let agent: RunningAgent | undefined;

beforeEach(async () => {
  coordinator = new FakeCoordinator();
  await coordinator.start();
  directory = await agentDirectory();
});

afterEach(async () => {
  await agent?.stop();
  agent = undefined;
  await coordinator.stop();
  await removeAgentDirectory(directory);
});

async function start(): Promise<RunningAgent> {
  agent = await startAgent(coordinator.url, directory);
  await coordinator.message("free");
  return agent;
}

const group = (index: number) => ({ experiment: 1 as ExperimentId, template: 0, indexes: [index], attempts: [1] });

async function untilFile(path: string): Promise<void> {
  while (!existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 10));
}

test("while renewals are not answered nothing is started; what runs goes on; afterwards all is done", async () => {
  coordinator.renewing = false;
  await start();
  // Trusted for 2.4 s after the hello: wait it out, with something said so that the session is not taken for dead.
  const distrust = performance.now() + 2_450;
  while (performance.now() < distrust) {
    coordinator.send({ type: "recall", groups: [] });
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  coordinator.lease(1, template({ command: shell(`touch ${directory}/started`) }), [0]);
  await coordinator.message("renew", coordinator.received.filter(({ type }) => type === "renew").length);
  assert.ok(!existsSync(join(directory, "started")));
  coordinator.renewing = true;
  await coordinator.until("its end", () => coordinator.ends.length === 1);
  assert.ok(existsSync(join(directory, "started")));
});

test("cancel ends the whole tree, also what left its session, and is reported as CANCELED", async () => {
  await start();
  const text = `setsid sh -c 'echo $$ > ${directory}/daemon; exec sleep 1000' & echo $$ > ${directory}/task; sleep 1000`;
  coordinator.lease(1, template({ command: shell(text) }), [0]);
  await untilFile(join(directory, "daemon"));
  await untilFile(join(directory, "task"));
  const pids = await Promise.all(["daemon", "task"].map(async (name) => Number(await readFile(join(directory, name)))));
  coordinator.send({ type: "cancel", groups: [group(0)], graceMs: 200, reason: "enough" });
  await coordinator.until("its end", () => coordinator.ends.length === 1);
  assert.deepEqual([coordinator.ends[0]?.outcome, coordinator.ends[0]?.blame], [Outcome.CANCELED, Blame.CANCELED]);
  for (const pid of pids) assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
});

test("a superseded attempt is ended, never reported, and not linked", async () => {
  await start();
  coordinator.lease(1, template({ command: shell(`echo x; touch ${directory}/there; sleep 1000`) }), [0]);
  await untilFile(join(directory, "there"));
  coordinator.superseded = [group(0)];
  coordinator.cut();
  await coordinator.until("a second hello", () => coordinator.hellos.length === 2);
  coordinator.superseded = [];
  coordinator.lease(1, template(), [1]);
  await coordinator.until("another end", () => coordinator.ends.length === 1);
  while ((await processesOf(directory)).length > 3) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(coordinator.ends[0]?.index, 1);
  assert.ok(!existsSync(join(directory, "1/work/0")));
});

test("a time limit ends the task and is blamed for it", async () => {
  await start();
  coordinator.lease(1, template({ command: shell("sleep 1000"), requires: { wallSeconds: 0.3 } }), [0]);
  await coordinator.until("its end", () => coordinator.ends.length === 1);
  assert.equal(coordinator.ends[0]?.blame, Blame.TIMEOUT);
});

test("drain on SIGTERM finishes what runs, gives back the rest, says goodbye and leaves nothing running", async () => {
  const child = await new AgentProcess(coordinator.url, directory, {
    resources: { cpus: 1, labels: [], custom: [] },
  }).started();
  try {
    await coordinator.message("free");
    const text = `touch ${directory}/there.$AIRAVATA_TASK_INDEX; while [ ! -e ${directory}/go ]; do sleep 0.02; done`;
    const leased = template({ command: shell(text) });
    coordinator.lease(1, leased, [0]);
    await untilFile(join(directory, "there.0"));
    coordinator.lease(1, leased, [1, 2]);
    child.child.kill("SIGTERM");
    await coordinator.until("two given back", () => coordinator.ends.length === 2);
    assert.ok(coordinator.ends.every((end) => end.outcome === Outcome.RELEASED));
    await writeFile(join(directory, "go"), "");
    await coordinator.message("goodbye");
    assert.equal(await child.gone(), 0);
    assert.match(child.output, /drained/);
    assert.equal(coordinator.ends.find((end) => end.index === 0)?.outcome, Outcome.COMPLETED);
    while ((await processesOf(directory)).length > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  } finally {
    await child.kill();
  }
});

test("a drain that takes too long ends in leaving; the task runs on and is adopted", async () => {
  const running = await startAgent(coordinator.url, directory, { drainTimeoutMs: 200 });
  await coordinator.message("free");
  const text = `touch ${directory}/there; while [ ! -e ${directory}/go ]; do sleep 0.02; done`;
  coordinator.lease(1, template({ command: shell(text) }), [0]);
  await untilFile(join(directory, "there"));
  running.drain("SIGTERM");
  const { reason, message } = await running.over;
  assert.equal(reason, "stopped");
  assert.match(message, /1 attempts were still held 200 ms/);
  agent = await startAgent(coordinator.url, directory);
  await writeFile(join(directory, "go"), "");
  await coordinator.until("its end", () => coordinator.ends.length === 1);
  assert.equal(coordinator.ends[0]?.outcome, Outcome.COMPLETED);
});

test("a second agent on the same directory is refused with the first one's name; a dead one's place is free", async () => {
  const first = await new AgentProcess(coordinator.url, directory).started();
  await assert.rejects(startAgent(coordinator.url, directory), (error: Error & { code?: string }) => {
    assert.equal(error.code, "state_directory_in_use");
    assert.match(error.message, new RegExp(`pid ${first.child.pid} on `));
    return true;
  });
  await first.kill();
  await start();
});

test("without identity and token it says how to get one", async () => {
  await assert.rejects(startAgent(coordinator.url, directory, { enrolmentToken: undefined }), {
    code: "agent_not_enrolled",
    message: /airavata enrolment create.*AIRAVATA_ENROLMENT_TOKEN/,
  });
});

test("where no coordinator listens, enrolment says so; an enrolled agent waits for it", async () => {
  await start();
  await agent?.stop();
  await coordinator.stop();
  agent = await startAgent(coordinator.url, directory, { enrolmentToken: undefined });
  await coordinator.start();
  await coordinator.until("a second hello", () => coordinator.hellos.length === 2);
  const free = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => free.once("listening", resolve));
  const { port } = free.address() as { port: number };
  await new Promise((resolve) => free.close(resolve));
  const other = join(directory, "other");
  await assert.rejects(startAgent(`http://127.0.0.1:${port}`, other), { code: "server_unreachable" });
});

test("an output directory that cannot be made is refused with its name", async () => {
  const file = join(directory, "file");
  await writeFile(file, "");
  await assert.rejects(startAgent(coordinator.url, join(file, "root")), {
    code: "output_directory_unusable",
    message: new RegExp(`${file}/root`),
  });
});

test("told to stop or to enrol anew it leaves with the sentence, and what runs runs on", async () => {
  const running = await start();
  coordinator.lease(1, template({ command: shell(`touch ${directory}/there; sleep 1000`) }), [0]);
  await untilFile(join(directory, "there"));
  coordinator.send({ type: "error", code: "hello_refused", message: "revoked", reaction: "enrol" });
  const { reason, message } = await running.over;
  assert.equal(reason, "enrol");
  assert.match(
    message,
    /^revoked; to enrol anew remove .*agent\.json and agent\.key beside it and start with a new AIRAVATA_ENROLMENT_TOKEN$/,
  );
  assert.ok((await processesOf(directory)).length >= 3);
});

test("a nonsense frame costs the connection, a message of a later version an answer", async () => {
  await start();
  coordinator.sendBytes(Buffer.from([0xc1]));
  await coordinator.until("a second hello", () => coordinator.hellos.length === 2);
  coordinator.sendBytes(Buffer.from([0x81, 0xa4, ...Buffer.from("type"), 0xa4, ...Buffer.from("news")]));
  await coordinator.until("an answer", () =>
    coordinator.received.some((message) => message.type === "error" && message.message.includes("news")),
  );
  assert.equal(coordinator.hellos.length, 2);
});

test("the key and the state are nobody else's", async () => {
  await start();
  assert.equal(statSync(join(directory, "state")).mode & 0o777, 0o700);
  assert.equal(statSync(join(directory, "state/agent.key")).mode & 0o777, 0o600);
});

test("a directory that a task closed to itself is not given to the next one", async () => {
  await start();
  coordinator.lease(1, template({ command: shell("chmod 000 .") }), [0]);
  await coordinator.until("its end", () => coordinator.ends.length === 1);
  coordinator.lease(1, template({ ordinal: 1, command: shell("stat -c %a . > mode") }), [1]);
  await coordinator.until("another end", () => coordinator.ends.length === 2);
  const mode = await readFile(join(directory, ".attempts/1/work/1/1/mode"), "utf8");
  assert.notEqual(mode, "0\n");
});
