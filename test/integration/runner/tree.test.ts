/** Nothing of a task's tree is alive after its end, a cancel or its time limit, whatever it did to get away. */
import assert from "node:assert/strict";
import { existsSync, statSync } from "node:fs";
import { test } from "node:test";
import { alive, type Bench, bench, NODE, until } from "./harness.ts";

/** A daemon by `setsid`, one by a double fork, a child that ignores TERM: each leaves its pid. */
const ESCAPE = `
  setsid sh -c 'echo $$ > pid1; exec sleep 1000' &
  (setsid sh -c '(trap "" TERM HUP INT; echo $$ > pid0; sh -c "echo \\$\\$ > pid2; exec sleep 1000") & ' &)
  sh -c 'trap "" TERM; echo $$ > pid3; sleep 1000; sleep 1000' &
  while [ ! -s pid1 ] || [ ! -s pid2 ] || [ ! -s pid3 ]; do sleep 0.01; done
`;

async function escaped(b: Bench): Promise<number[]> {
  const pids = await Promise.all([b.number("pid1"), b.number("pid2"), b.number("pid3")]);
  assert.equal(new Set(pids).size, 3);
  return pids;
}

function forks(b: Bench): number {
  return existsSync(b.file("forks")) ? statSync(b.file("forks")).size / 2 : 0;
}

function assertDead(pids: number[]): void {
  for (const pid of pids) assert.ok(!alive(pid), `${pid} lives`);
}

test("at its end: background processes and daemons are gone, the exit status stays", async (t) => {
  const b = bench(t);
  await b.open();
  const end = await b.shell(`${ESCAPE} exit 5`);
  assertDead(await escaped(b));
  assert.deepEqual([end.cause, end.exitCode, end.leftBehind], ["exit", 5, 0]);
});

test("at a cancel: TERM, grace, KILL to all of it", async (t) => {
  const b = bench(t);
  await b.open();
  const key = b.start(`${ESCAPE} echo $$ > pid4; sleep 1000`);
  const pids = [...(await escaped(b)), await b.number("pid4")];
  for (const pid of pids) assert.ok(alive(pid));
  assert.equal(await b.client.kill(key, 100), true);
  const end = await b.end(key);
  assertDead(pids);
  assert.deepEqual([end.cause, end.signal], ["killed", 15]);
});

test("at its time limit, with the grace of the run", async (t) => {
  const b = bench(t);
  await b.open();
  const end = await b.shell(`${ESCAPE} sleep 1000`, { wallMs: 500, graceMs: 100 });
  assertDead(await escaped(b));
  assert.deepEqual([end.cause, end.signal], ["timeout", 15]);
  assert.ok(end.durationMs >= 500 && end.durationMs < 3000, `${end.durationMs}`);
});

test("a task that cleans up within its grace keeps its exit status, the cause stays", async (t) => {
  const b = bench(t);
  await b.open();
  const key = b.start(`trap 'echo bye; exit 9' TERM; echo $$ > pid1; while :; do sleep 0.02; done`);
  await b.number("pid1");
  await b.client.kill(key, 5000);
  const end = await b.end(key);
  assert.deepEqual([end.cause, end.exitCode, String(end.stdout.inline)], ["killed", 9, "bye\n"]);
});

test("a stopped task hears TERM; one that ignores it is killed after the grace, or at once when told again", async (t) => {
  const b = bench(t);
  await b.open();
  const stopped = b.start("echo $$ > pid1; kill -STOP $$; sleep 1000");
  await b.number("pid1");
  await b.client.kill(stopped, 5000);
  assert.equal((await b.end(stopped)).signal, 15);

  const deaf = b.start(`trap "" TERM; echo $$ > pid2; while :; do sleep 0.02; done`);
  const pid = await b.number("pid2");
  await b.client.kill(deaf, 60_000);
  assert.ok(alive(pid));
  await b.client.kill(deaf, 0);
  assert.equal((await b.end(deaf)).signal, 9);
});

test("a fork bomb in one group ends", async (t) => {
  const b = bench(t);
  await b.open();
  const key = b.start(`f() { sleep 1000 & echo x >> forks; f & f & wait; }; f`, {
    rlimits: [{ resource: 6, soft: 2000, hard: 2000 }],
  });
  await b.started(key);
  await until(() => b.ended.has(key) || forks(b) > 30, "thirty forks");
  await b.client.kill(key, 0);
  const end = await b.end(key);
  assert.equal(end.leftBehind, 0);
});

test("a kill waits neither behind a queued run nor behind output that nobody reads", async (t) => {
  const b = bench(t);
  await b.open();
  const loud = b.start("echo $$ > pid1; exec cat /dev/zero");
  const queued = b.request(["/bin/true", "x".repeat(100_000)], {
    env: Array.from({ length: 15 }, (_, i) => `V${i}=${"y".repeat(100_000)}`),
  });
  b.client.run(0, queued);
  await b.number("pid1");
  const t0 = performance.now();
  await b.client.kill(loud, 0);
  const end = await b.end(loud);
  assert.equal(end.signal, 9);
  assert.ok(performance.now() - t0 < 500, `${performance.now() - t0} ms`);
  assert.equal((await b.end(queued.key)).exitCode, 0);
});

test("recall takes back what has not started and nothing else; a kill of it is an end", async (t) => {
  const b = bench(t);
  await b.open();
  const running = b.start("echo $$ > pid1; sleep 1000");
  const first = b.start("echo ran > first");
  const second = b.start("echo ran > second");
  await b.number("pid1");
  assert.equal(await b.client.recall(running), false);
  assert.equal(await b.client.recall(first), true);
  assert.equal(await b.client.recall(first), false);
  assert.equal(await b.client.recall("unknown"), false);
  assert.equal(await b.client.kill(second, 1000), true);
  assert.equal(await b.client.kill("unknown", 1000), false);
  const end = await b.end(second);
  assert.deepEqual([end.cause, end.startedAtMs, end.exitCode], ["killed", 0, null]);
  await b.client.kill(running, 0);
  await b.end(running);
  assert.equal((await b.shell("ls first second 2>/dev/null; true")).stdout.bytes, 0);
  assert.ok(!b.ended.has(first));
});

test("threads that fork: children of every thread belong to the tree", async (t) => {
  const b = bench(t);
  await b.open();
  const code = `const { Worker } = require("node:worker_threads");
    new Worker('require("child_process").spawn("sh", ["-c", "echo $$ > pid1; exec sleep 1000"], { detached: true, stdio: "ignore" })', { eval: true });
    setInterval(() => {}, 1000);`;
  const request = b.request([NODE, "-e", code]);
  b.client.run(0, request);
  const pid = await b.number("pid1");
  await b.client.kill(request.key, 3000);
  await b.end(request.key);
  assert.ok(!alive(pid));
});
