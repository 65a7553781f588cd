/** Figures as lines: numbers everywhere, bars and curves only where a terminal shows them, a dash for what is not known. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { bar, curve, drawingOn, nodeFields, percent, shareOf, usageFields } from "../../../agent/cli/figures.ts";
import type { AgentMetrics, NodeFigures } from "../../../shared/api/figures.ts";

const NODE: NodeFigures = {
  at: "2026-01-01T00:00:00.000Z",
  cpu: 0.62,
  cpus: 8,
  load1: 3.5,
  memory_used_bytes: 2 ** 33,
  memory_limit_bytes: 2 ** 34,
  swap_used_bytes: 0,
  swap_limit_bytes: 0,
  disk_used_bytes: 3 * 2 ** 40,
  disk_free_bytes: 2 ** 40,
  disk_read_bytes_total: 1,
  disk_written_bytes_total: 1,
  network_received_bytes_total: 1,
  network_sent_bytes_total: 1,
  tasks_running: 2,
  sampler_cpu: 0.0012,
  agent_memory_bytes: 64 * 2 ** 20,
  disk_read_bytes_per_second: 2 ** 20,
  disk_written_bytes_per_second: null,
  network_received_bytes_per_second: 0,
  network_sent_bytes_per_second: 512,
  gpus: [{ busy: 0.5, memory_used_bytes: 2 ** 30, memory_total_bytes: null }],
};

test("in a pipe there are numbers alone", () => {
  assert.deepEqual(nodeFields(NODE, [], "none"), [
    ["node cpu", "62 % of 8, load 3.5"],
    ["node memory", "8 GiB of 16 GiB"],
    ["node disk", "3 TiB used, 1 TiB free"],
    ["disk rate", "1 MiB/s read, - written"],
    ["network rate", "0 B/s in, 512 B/s out"],
    ["node gpu 0", "50 %, 1 GiB of -"],
    ["agent itself", "64 MiB of its own, 0.12 % of a processor for these figures"],
  ]);
});

test("what is not known is a dash, also everywhere", () => {
  const unknown = Object.fromEntries(Object.keys(NODE).map((name) => [name, null])) as unknown as NodeFigures;
  const fields = nodeFields({ ...unknown, gpus: [] }, [], "unicode");
  assert.equal(fields[0]?.[1], "- of ?, load -");
  assert.ok(fields.every(([, text]) => !/NaN|null|undefined/.test(text)));
});

test("bars and curves", () => {
  assert.equal(bar(0.5, "ascii"), "#####..... ");
  assert.equal(bar(7, "unicode"), "██████████ ");
  assert.equal(bar(-1, "ascii"), ".......... ");
  assert.equal(bar(null, "unicode"), "");
  assert.equal(bar(1, "none"), "");
  assert.equal(curve([0, 0.5, 1], "unicode", 1), "  ▁▅█");
  assert.equal(curve([1, null, 2], "unicode"), "  ▅ █");
  assert.equal(curve([0, 0], "unicode"), "");
  assert.equal(curve([1], "unicode"), "");
  assert.equal(curve([1, 2], "ascii"), "");
  assert.equal(curve(new Array(100).fill(1), "unicode").length, 32);
});

test("history becomes a curve behind the number", () => {
  const items = [0.1, 0.9].map((cpu) => ({ cpu, memory_used_bytes: 1 })) as unknown as AgentMetrics["items"];
  assert.equal(nodeFields(NODE, items, "unicode")[0]?.[1], "██████░░░░ 62 % of 8, load 3.5  ▁█");
});

test("shares", () => {
  assert.equal(percent(0.256), "26 %");
  assert.equal(percent(null), "-");
  assert.equal(shareOf(1, 4), 0.25);
  assert.equal(shareOf(1, 0), null);
  assert.equal(shareOf(undefined, 4), null);
});

test("what a running task uses", () => {
  const usage = {
    at: NODE.at,
    cpu_seconds: 75,
    cpu: 1.997,
    memory_bytes: 2 ** 26,
    memory_peak_bytes: 2 ** 27,
    read_bytes: 0,
    written_bytes: 10 * 2 ** 20,
    recent: [
      { cpu: 1, memory_bytes: 0 },
      { cpu: 2, memory_bytes: 0 },
    ],
  };
  assert.deepEqual(usageFields(usage, "none"), [
    ["cpu", "2.00 processors, 1 min 15 s in all"],
    ["memory", "64 MiB, at most 128 MiB"],
    ["storage", "0 B read, 10 MiB written"],
  ]);
  assert.equal(usageFields(usage, "unicode")[0]?.[1], "2.00 processors, 1 min 15 s in all  ▅█");
});

test("what is drawn depends on the terminal and its letters", () => {
  assert.equal(drawingOn({ isTerminal: false }, { LANG: "C.UTF-8" }), "none");
  assert.equal(drawingOn({ isTerminal: true }, { LANG: "C" }), "ascii");
  assert.equal(drawingOn({ isTerminal: true }, { LANG: "C.UTF-8" }), "unicode");
});
