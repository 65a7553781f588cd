/** Whoever dies: no task dies with the agent or the supervisor, and every end is told once. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { appendFileSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { RunRequest } from "../../../agent/run/supervisor/contract.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { alive, Bench, bench, NODE, until } from "./harness.ts";

/** Starts an agent process and resolves once it has given its runs away and `started` many of them run. */
async function agentProcess(
  t: TestContext,
  b: Bench,
  runs: [number, RunRequest][],
  started: number,
): Promise<ChildProcess> {
  const script = fileURLToPath(new URL("agent-process.ts", import.meta.url));
  const child = spawn(NODE, [script, b.stateDir, JSON.stringify(runs)], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => child.kill("SIGKILL"));
  let said = "";
  child.stdout?.on("data", (chunk) => {
    said += chunk;
  });
  await until(() => said.includes("given") && said.split('"started"').length > started, "the agent's start");
  return child;
}

async function killed(child: ChildProcess): Promise<void> {
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await gone;
}

test("kill -9 of the agent: what runs and waits is adopted, ends are told once, also those of its absence", async (t) => {
  const b = bench(t);
  const long = b.request([
    "/bin/sh",
    "-c",
    "echo $$ > pid1; while [ ! -e go ]; do sleep 0.01; done; echo done; exit 7",
  ]);
  const queued = b.request(["/bin/sh", "-c", "exit 8"]);
  const short = b.request(["/bin/sh", "-c", "echo $$ > pid2; while [ ! -e go2 ]; do sleep 0.01; done; exit 9"]);
  const agent = await agentProcess(
    t,
    b,
    [
      [0, long],
      [0, queued],
      [1, short],
    ],
    2,
  );
  const [pid1, pid2] = [await b.number("pid1"), await b.number("pid2")];
  await killed(agent);
  writeFileSync(b.file("go2"), "");
  await until(() => !alive(pid2), "the end of the short task");
  assert.ok(alive(pid1));

  const client = await b.open();
  const held = client.adopted.running.map(({ key, lane, phase, pid }) => ({ key, lane, phase, pid }));
  assert.deepEqual(held, [
    { key: long.key, lane: 0, phase: "running", pid: pid1 },
    { key: queued.key, lane: 0, phase: "queued", pid: 0 },
  ]);
  const ticks = Number(readFileSync(`/proc/${pid1}/stat`, "utf8").split(") ")[1]?.split(" ")[19]);
  assert.equal(client.adopted.running[0]?.startTicks, ticks);
  await until(() => client.adopted.ended.length > 0 || b.ended.has(short.key), "the end in the agent's absence");
  assert.equal((client.adopted.ended[0] ?? b.ended.get(short.key))?.exitCode, 9);
  writeFileSync(b.file("go"), "");
  const end = await b.end(long.key);
  assert.deepEqual([end.exitCode, String(end.stdout.inline)], [7, "done\n"]);
  assert.equal((await b.end(queued.key)).exitCode, 8);

  /* Nothing was acknowledged yet: a third process is told all three; after that nothing. */
  await client.close();
  const third = new Bench();
  Object.assign(third, { stateDir: b.stateDir });
  t.after(() => third.dispose());
  const again = await third.open();
  assert.deepEqual(again.adopted.ended.map((e) => e.exitCode).sort(), [7, 8, 9]);
  assert.deepEqual(again.adopted.running, []);
  for (const { key } of again.adopted.ended) again.acknowledge(key);
  await again.close();
  const fourth = await b.open();
  assert.deepEqual(fourth.adopted, { running: [], ended: [] });
});

test("the time limit holds while no agent lives", async (t) => {
  const b = bench(t);
  const run = b.request(["/bin/sh", "-c", "echo $$ > pid1; sleep 1000"], { wallMs: 700, graceMs: 100 });
  const agent = await agentProcess(t, b, [[0, run]], 1);
  const pid = await b.number("pid1");
  await killed(agent);
  await until(() => !alive(pid), "the end of its time");
  await b.open();
  const { adopted } = b.client;
  await until(() => adopted.ended.length > 0 || b.ended.has(run.key), "its end");
  assert.equal((adopted.ended[0] ?? b.ended.get(run.key))?.cause, "timeout");
});

test("kill -9 of a runner: its task's whole tree ends, runner_lost is told, what waited runs on a new runner", async (t) => {
  const b = bench(t);
  await b.open();
  const lost =
    b.start(`setsid sh -c 'echo $$ > pid1; exec sleep 1000' & (setsid sh -c '(echo $$ > pid0; sh -c "echo \\$\\$ > pid2; exec sleep 1000")&' &)
    echo $$ > pid3; sleep 1000`);
  const waiting = b.start("echo ran");
  const other = b.start("echo $$ > pid4; while [ ! -e go ]; do sleep 0.01; done", { lane: 1 });
  const pids = await Promise.all(["pid1", "pid2", "pid3"].map((name) => b.number(name)));
  const bystander = await b.number("pid4");
  const runner = b.runnerPid(0);
  process.kill(runner, "SIGKILL");
  const end = await b.end(lost);
  assert.deepEqual([end.cause, end.exitCode, end.signal], ["runner_lost", null, null]);
  for (const pid of pids) assert.ok(!alive(pid), `${pid} lives`);
  assert.equal(String((await b.end(waiting)).stdout.inline), "ran\n");
  assert.notEqual(b.runnerPid(0), runner);
  assert.ok(alive(bystander));
  writeFileSync(b.file("go"), "");
  assert.equal((await b.end(other)).exitCode, 0);
  assert.equal(b.events.filter((e) => e.type === "ended").length, 3);
});

test("kill -9 of a runner while no agent lives: the tree ends at once, the next agent is told", async (t) => {
  const b = bench(t);
  const run = b.request(["/bin/sh", "-c", "setsid sleep 1000 & echo $! > pid1; echo $$ > pid2; sleep 1000"]);
  const agent = await agentProcess(t, b, [[0, run]], 1);
  const pids = [await b.number("pid1"), await b.number("pid2")];
  await killed(agent);
  process.kill(b.runnerPid(0), "SIGKILL");
  await until(() => pids.every((pid) => !alive(pid)), "the end of the tree");
  const client = await b.open();
  assert.deepEqual(
    client.adopted.ended.map(({ key, cause }) => ({ key, cause })),
    [{ key: run.key, cause: "runner_lost" }],
  );
});

test("kill -9 of the supervisor: tasks live, the client goes on, the new supervisor takes the runners over", async (t) => {
  const b = bench(t);
  await b.open();
  const key = b.start("echo $$ > pid1; while [ ! -e go ]; do sleep 0.01; done; exit 3");
  const waiting = b.start("exit 4");
  const pid = await b.number("pid1");
  const [before, runner] = [b.supervisorPid(), b.runnerPid()];
  process.kill(before, "SIGKILL");
  await until(() => b.supervisorPid() !== before && b.client.supervisorPid !== before, "a new supervisor");
  assert.ok(alive(pid));
  assert.equal(b.runnerPid(), runner);
  writeFileSync(b.file("go"), "");
  assert.equal((await b.end(key)).exitCode, 3);
  assert.equal((await b.end(waiting)).exitCode, 4);
  /* The new supervisor is not the parent of that runner, so it has it replaced as soon as nothing runs in it. */
  assert.equal((await b.shell("exit 5")).exitCode, 5);
  await until(() => b.runnerPid() !== runner, "a new runner");
  assert.equal(b.events.filter((e) => e.type === "ended").length, 3);
});

test("kill -9 of supervisor and agent: the next agent adopts; then kill -9 of the adopted runner ends its tree", async (t) => {
  const b = bench(t);
  const run = b.request(["/bin/sh", "-c", "echo $$ > pid1; sleep 1000 & echo $! > pid2; sleep 1000"]);
  const agent = await agentProcess(t, b, [[0, run]], 1);
  const pids = [await b.number("pid1"), await b.number("pid2")];
  process.kill(b.supervisorPid(), "SIGKILL");
  await killed(agent);
  const client = await b.open();
  assert.deepEqual(
    client.adopted.running.map((held) => held.pid),
    [pids[0]],
  );
  for (const pid of pids) assert.ok(alive(pid));
  process.kill(b.runnerPid(), "SIGKILL");
  assert.equal((await b.end(run.key)).cause, "runner_lost");
  for (const pid of pids) assert.ok(!alive(pid), `${pid} lives`);
});

test("kill -9 of supervisor and runner at once: the next supervisor finds the task's process session", async (t) => {
  const b = bench(t);
  await b.open();
  const key = b.start("echo $$ > pid1; (sleep 1000 & echo $! > pid2); sleep 1000");
  const pids = [await b.number("pid1"), await b.number("pid2")];
  await b.started(key);
  process.kill(b.supervisorPid(), "SIGKILL");
  process.kill(b.runnerPid(), "SIGKILL");
  assert.equal((await b.end(key)).cause, "runner_lost");
  for (const pid of pids) assert.ok(!alive(pid), `${pid} lives`);
});

test("a second agent is refused with a sentence that names the first", async (t) => {
  const b = bench(t);
  await b.open();
  const second = new Bench();
  Object.assign(second, { stateDir: b.stateDir });
  t.after(() => second.dispose());
  await assert.rejects(second.open(), (error) => {
    assert.ok(error instanceof AiravataError);
    assert.equal(error.code, "state_directory_in_use");
    assert.match(error.message, new RegExp(`agent with process id ${process.pid} `));
    return true;
  });
  assert.equal((await b.shell("exit 0")).exitCode, 0);
});

test("a second agent that comes while the supervisor is dead gives way: the lanes are still the first one's", async (t) => {
  const b = bench(t);
  await b.open();
  const key = b.start("echo $$ > pid1; while [ ! -e go ]; do sleep 0.01; done; exit 2");
  await b.number("pid1");
  const second = new Bench();
  Object.assign(second, { stateDir: b.stateDir });
  t.after(() => second.dispose());
  /* Whichever of the two reaches the new supervisor first: the first agent has its task in the end. */
  process.kill(b.supervisorPid(), "SIGKILL");
  await assert.rejects(second.open(), { code: "state_directory_in_use" });
  writeFileSync(b.file("go"), "");
  assert.equal((await b.end(key)).exitCode, 2);
  assert.equal((await b.shell("exit 3", { lane: 1 })).exitCode, 3);
});

test("a torn record is dropped, what is before it stays, and the file does not grow without bound", async (t) => {
  const b = bench(t);
  await b.open(1);
  const kept = await b.shell("exit 1");
  await b.client.close({ stop: true, waitMs: 5000 });
  const results = join(b.stateDir, "lane-0.results");
  const whole = statSync(results).size;
  appendFileSync(results, readFileSync(results).subarray(0, 40));
  const client = await b.open(1);
  assert.deepEqual(
    client.adopted.ended.map((e) => [e.key, e.exitCode]),
    [[kept.key, 1]],
  );
  assert.equal(statSync(results).size, whole);

  /* 300 ends of 8 KiB each, acknowledged but for every tenth: 2.4 MB went through, 240 KB are alive. */
  for (let i = 0; i < 300; i++) {
    const end = await b.shell("head -c 4096 /dev/zero; head -c 4096 /dev/zero >&2");
    if (i % 10 !== 0) client.acknowledge(end.key);
  }
  await until(() => statSync(results).size < 1.3 * 1024 * 1024, "compaction");
  await client.close({ stop: true, waitMs: 5000 });
  const again = await b.open(1);
  assert.equal(again.adopted.ended.length, 31);
  assert.deepEqual(
    readdirSync(b.stateDir).filter((name) => name.endsWith(".new")),
    [],
  );
});

test("stop: the supervisor leaves when nothing runs; a long path of the state directory is no hindrance", async (t) => {
  const b = bench(t);
  Object.assign(b, { stateDir: join(b.root, "d".repeat(120), "state") });
  await b.open();
  const key = b.start("echo $$ > pid1; while [ ! -e go ]; do sleep 0.01; done");
  await b.number("pid1");
  const supervisor = b.supervisorPid();
  assert.equal(statSync(join(b.stateDir, "supervisor.sock")).mode & 0o777, 0o600);
  assert.equal(statSync(b.stateDir).mode & 0o777, 0o700);
  await b.client.close({ stop: true });
  assert.ok(alive(supervisor));
  writeFileSync(b.file("go"), "");
  await until(() => !alive(supervisor), "the supervisor's end");
  const client = await b.open();
  assert.deepEqual(
    client.adopted.ended.map((e) => e.key),
    [key],
  );
  assert.ok(existsSync(b.stateDir));
});
