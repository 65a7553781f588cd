/** Sampling tasks from a /proc that the test writes: trees, orphans, numbers that passed on, processes that vanish. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { bounded, nextPeriodMs, startMetrics } from "../../../agent/metrics/sampler.ts";
import { TaskSampler } from "../../../agent/metrics/tasks.ts";
import { readAgentSettings } from "../../../agent/settings.ts";

const folder = mkdtempSync(join(tmpdir(), "airavata-proc-"));
after(() => rmSync(folder, { recursive: true }));
const METER = { pause: () => {}, resume: () => {} };
const PAGE = 4_096;

interface Process {
  name?: string;
  parent: number;
  start: number;
  /** Hundredths of a second, of children too. */
  ticks: number;
  pages: number;
  io?: [read: number, written: number];
  children?: number[];
}

let trees = 0;
function proc(processes: Record<number, Process>): string {
  const root = join(folder, String(++trees));
  for (const [pid, { name = "task", parent, start, ticks, pages, io, children = [] }] of Object.entries(processes)) {
    mkdirSync(join(root, pid, "task", pid), { recursive: true });
    const rest = `S ${parent} 1 1 0 -1 0 0 0 0 0 ${ticks} 0 0 0 20 0 1 0 ${start} 0 ${pages} 0`;
    writeFileSync(join(root, pid, "stat"), `${pid} (${name}) ${rest}`);
    writeFileSync(join(root, pid, "task", pid, "children"), children.map((child) => `${child} `).join(""));
    if (io) writeFileSync(join(root, pid, "io"), `read_bytes: ${io[0]}\nwrite_bytes: ${io[1]}\n`);
  }
  return root;
}

const RUNNER: Process = { name: "airavata-runner", parent: 1, start: 1, ticks: 900, pages: 99, children: [10] };
const TASK = { key: "17.0.0.1", pid: 10, startTicks: 100 };

test("a task is its tree and what its runner adopted of it, not the runner", async () => {
  const root = proc({
    5: { ...RUNNER, children: [10, 13] },
    10: { parent: 5, start: 100, ticks: 10, pages: 1, io: [0, 100], children: [11] },
    11: { parent: 10, start: 101, ticks: 20, pages: 2, io: [50, 0], children: [12] },
    12: { parent: 11, start: 102, ticks: 30, pages: 4, io: [0, 7] },
    13: { parent: 5, start: 103, ticks: 40, pages: 8 },
  });
  const [sampled] = await new TaskSampler(PAGE, root).sample([TASK], () => 0, METER);
  assert.deepEqual(sampled, {
    key: "17.0.0.1",
    usage: {
      cpuMs: 1_000,
      cpuPermille: 0,
      memoryBytes: 15 * PAGE,
      memoryPeakBytes: 15 * PAGE,
      readBytes: 50,
      writtenBytes: 107,
    },
  });
});

test("another process with its number, one that vanished and one without numbers are no tasks", async () => {
  const root = proc({ 5: RUNNER, 10: { parent: 5, start: 999, ticks: 10, pages: 1 } });
  const gone = { key: "17.0.1.1", pid: 77, startTicks: 1 };
  assert.deepEqual(await new TaskSampler(PAGE, root).sample([TASK, gone], () => 0, METER), []);
  writeFileSync(join(root, "10", "stat"), "10 (");
  assert.deepEqual(await new TaskSampler(PAGE, root).sample([TASK], () => 0, METER), []);
});

test("the children of whoever has a task without a runner are strangers", async () => {
  const root = proc({
    1: { name: "init", parent: 0, start: 0, ticks: 0, pages: 0, children: [10, 11] },
    10: { parent: 1, start: 100, ticks: 1, pages: 1 },
    11: { parent: 1, start: 200, ticks: 1, pages: 50 },
  });
  const [sampled] = await new TaskSampler(PAGE, root).sample([TASK], () => 0, METER);
  assert.equal(sampled?.usage.memoryBytes, PAGE);
});

test("rates come from two samples; what an ended child had is neither lost nor counted twice; the peak stays", async () => {
  const child: Process = { parent: 10, start: 101, ticks: 50, pages: 100, io: [0, 1_000] };
  const root = proc({
    5: RUNNER,
    10: { parent: 5, start: 100, ticks: 50, pages: 1, io: [0, 1], children: [11] },
    11: child,
  });
  const sampler = new TaskSampler(PAGE, root);
  let mono = 0;
  const sample = async () => (await sampler.sample([TASK], () => mono, METER))[0]?.usage;
  assert.deepEqual((await sample())?.writtenBytes, 1_001);
  mono = 5_000;
  // Its time stands with its parent now, and another one has its number.
  const now = proc({
    5: RUNNER,
    10: { parent: 5, start: 100, ticks: 350, pages: 1, io: [0, 1], children: [11] },
    11: { ...child, start: 200, ticks: 0, pages: 0, io: [0, 10] },
  });
  rmSync(root, { recursive: true });
  renameSync(now, root);
  assert.deepEqual(await sample(), {
    cpuMs: 3_500,
    cpuPermille: 500,
    memoryBytes: PAGE,
    memoryPeakBytes: 101 * PAGE,
    readBytes: 0,
    writtenBytes: 1_011,
  });
});

test("a tree that goes in circles or without end is looked at as far as 256 processes", async () => {
  const processes: Record<number, Process> = {
    5: RUNNER,
    10: { parent: 5, start: 100, ticks: 0, pages: 1, children: [10, 5, 1_000] },
  };
  for (let i = 0; i < 400; i++) {
    processes[1_000 + i] = { parent: 10, start: 200, ticks: 1, pages: 1, children: [1_001 + i, 10] };
  }
  const [sampled] = await new TaskSampler(PAGE, proc(processes)).sample([TASK], () => 0, METER);
  assert.ok((sampled?.usage.memoryBytes ?? 0) <= 257 * PAGE);
  assert.ok((sampled?.usage.memoryBytes ?? 0) >= 200 * PAGE);
});

test("many tasks are read in slices: the loop goes on in between, and only our own time is counted", async () => {
  const root = proc({ 5: RUNNER, 10: { parent: 5, start: 100, ticks: 1, pages: 1 } });
  const tasks = Array.from({ length: 50 }, (_, i) => ({ ...TASK, key: `17.0.${i}.1` }));
  let mono = 0;
  const calls: string[] = [];
  const meter = { pause: () => void calls.push("pause"), resume: () => void calls.push("resume") };
  const sampled = await new TaskSampler(PAGE, root).sample(tasks, () => mono++, meter);
  assert.equal(sampled.length, 50);
  assert.ok(calls.length >= 20, `${calls.length} calls`);
  assert.deepEqual(calls.slice(0, 2), ["pause", "resume"]);
});

test("tasks are sampled as often as half a percent of a processor allows", () => {
  assert.equal(nextPeriodMs(2, 5_000), 5_000);
  assert.equal(nextPeriodMs(25, 5_000), 5_000);
  assert.equal(nextPeriodMs(100, 5_000), 20_000);
  assert.equal(nextPeriodMs(1e9, 5_000), 300_000);
});

test("while samples are not wanted none is made, one that is no longer wanted is dropped, and none comes later instead", async (t) => {
  let wanted = false;
  let asked = 0;
  const sent: number[] = [];
  const failures: unknown[] = [];
  let withdraw = false;
  let mono = 0;
  const sampler = startMetrics({
    outputDir: folder,
    intervalMs: 20,
    running: () => {
      asked++;
      // The connection fills up in the middle of a sample.
      if (withdraw) wanted = false;
      return [];
    },
    isWanted: () => wanted,
    send: ({ atMs }) => {
      assert.ok(wanted, "a sample is sent into a full connection");
      sent.push(atMs);
    },
    failed: (error) => failures.push(error),
    mono: () => mono++ * 10,
    wall: () => mono,
  });
  t.after(() => sampler.stop());
  const until = async (holds: () => boolean): Promise<void> => {
    while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  let turns = 0;
  await until(() => ++turns > 20);
  assert.deepEqual([asked, sent], [0, []]);
  wanted = true;
  await until(() => sent.length >= 3);
  withdraw = true;
  await until(() => !wanted);
  const before = [...sent];
  const askedBefore = asked;
  turns = 0;
  await until(() => ++turns > 20);
  assert.deepEqual(sent, before);
  assert.ok(asked <= askedBefore + 1, "it goes on sampling for nobody");
  withdraw = false;
  wanted = true;
  await until(() => sent.length > before.length);
  assert.equal(sent.length, before.length + 1);
  assert.deepEqual(failures, []);
});

test("an interval is 0 or a second at least", () => {
  const read = (interval: string) =>
    readAgentSettings({ env: { AIRAVATA_METRICS_INTERVAL: interval } }).settings.metricsIntervalMs;
  assert.throws(() => read("999ms"), { code: "setting_invalid", message: /--metrics-interval.*at least 1s/ });
  assert.equal(read("1s"), 1_000);
  assert.equal(read("0s"), 0);
});

test("what a driver makes up becomes what is not known", () => {
  assert.deepEqual([Number.NaN, Number.POSITIVE_INFINITY, 1e300, -1e300, 2 ** 53].map(bounded), [-1, -1, -1, -1, -1]);
  assert.deepEqual([0, 0.5, -1, 2 ** 53 - 1].map(bounded), [0, 0.5, -1, 2 ** 53 - 1]);
});
