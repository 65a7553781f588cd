/** What a real agent measures of a real task, and to whom it tells it: not to an older coordinator, and never in a queue. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { cpus, freemem, totalmem } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import type { RunningAgent } from "../../../agent/agent.ts";
import { NODE_FIGURE_AT, NODE_FIGURES, type NodeFigure } from "../../../shared/model/usage.ts";
import type { FromAgent } from "../../../shared/protocol/messages.ts";
import { agentDirectory, countsStorage, removeAgentDirectory, startAgent } from "../../support/agent.ts";
import { FakeCoordinator } from "../../support/agent-coordinator.ts";
import { template } from "../../support/agent-templates.ts";

type Metrics = Extract<FromAgent, { type: "metrics" }>;
const MIB = 2 ** 20;

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

const samples = (): Metrics[] => coordinator.received.filter((message) => message.type === "metrics");

/** A process with a child: one burns, writes 10 MiB to the disk and holds 64 MiB, until the file `stop` is there. */
function burner(): ReturnType<typeof template> {
  const child = `
    const { existsSync, fsyncSync, openSync, writeSync } = require("node:fs");
    const held = Buffer.alloc(${64 * MIB}, 1);
    const file = openSync("written", "w");
    writeSync(file, held.subarray(0, ${10 * MIB}));
    fsyncSync(file);
    while (!existsSync(${JSON.stringify(join(directory, "stop"))}) || held.length === 0) {}
  `;
  const argv = [process.execPath, "-e", child].map((word) => [word]);
  return template({ command: { kind: "argv", argv: [["/usr/bin/env"], ...argv] } });
}

test("a task that burns, allocates and writes is measured while it runs and at its end; the node too", async () => {
  agent = await startAgent(coordinator.url, directory, { metricsIntervalMs: 400 });
  await coordinator.message("free");
  coordinator.lease(1, burner(), [3]);
  const writtenMin = (await countsStorage(directory)) ? 9 * MIB : 0;
  const seen = (): Metrics["groups"] => samples().flatMap(({ groups }) => groups);
  await coordinator.until("three samples of the task", () => {
    const last = seen().at(-1);
    return seen().length >= 3 && (last?.writtenBytes[0] ?? 0) >= writtenMin && (last?.cpuMs[0] ?? 0) > 500;
  });
  const group = seen().at(-1) as Metrics["groups"][number];
  assert.deepEqual([group.experiment, group.template, group.indexes, group.attempts], [1, 0, [3], [1]]);
  const between = (value: number | undefined, low: number, high: number, what: string): void =>
    assert.ok(
      value !== undefined && value >= low && value <= high,
      `${what}: ${value} is not within ${low} and ${high}`,
    );
  between(group.memoryBytes[0], 64 * MIB, 512 * MIB, "memory");
  between(group.memoryPeakBytes[0], group.memoryBytes[0] ?? 0, 512 * MIB, "peak");
  between(group.writtenBytes[0], writtenMin, 40 * MIB, "written");
  // Two processors are shared with whatever else runs here.
  between(Math.max(...seen().map(({ cpuPermille }) => cpuPermille[0] ?? 0)), 50, 2_000, "cpu");

  const { node } = samples().findLast(({ node }) => node !== undefined) as Metrics;
  const figure = (name: NodeFigure): number => node?.[NODE_FIGURE_AT[name]] as number;
  assert.equal(node?.length, NODE_FIGURES.length);
  between(figure("cpu"), 0, 1, "cpu of the node");
  assert.equal(figure("cpus"), cpus().length);
  between(figure("load1"), 0, 10_000, "load");
  between(figure("memory_limit_bytes"), 64 * MIB, totalmem(), "memory of the node");
  between(figure("memory_used_bytes"), 64 * MIB, totalmem() - freemem() / 4, "memory in use");
  between(figure("disk_free_bytes"), 1, Number.MAX_SAFE_INTEGER, "free disk");
  between(figure("disk_used_bytes"), 1, Number.MAX_SAFE_INTEGER, "used disk");
  between(figure("network_received_bytes_total"), 0, Number.MAX_SAFE_INTEGER, "received");
  between(figure("tasks_running"), 1, 1, "running tasks");
  between(figure("sampler_cpu"), 0, 0.5, "own cost");
  between(figure("agent_memory_bytes"), 20 * MIB, 1_024 * MIB, "own memory");

  await writeFile(join(directory, "stop"), "");
  await coordinator.until("its end", () => coordinator.ends.length === 1);
  const ended = await coordinator.message("ended");
  between(ended.groups[0]?.writtenBytes?.[0] ?? 0, writtenMin, 40 * MIB, "written at the end");
  between(ended.groups[0]?.cpuMs[0], 500, 600_000, "cpu at the end");
  const after = samples().length;
  await coordinator.until("a sample without it", () =>
    samples()
      .slice(after)
      .some(({ node }) => node !== undefined),
  );
  assert.deepEqual(samples().at(-1)?.groups, []);
});

test("an older coordinator is told neither samples nor what it does not know of ends", async () => {
  coordinator.version = 1;
  agent = await startAgent(coordinator.url, directory, { metricsIntervalMs: 50 });
  await coordinator.message("free");
  coordinator.lease(1, burner(), [0]);
  // Ten times as long as a sample would take.
  await coordinator.message("renew", 0);
  await writeFile(join(directory, "stop"), "");
  await coordinator.until("its end", () => coordinator.ends.length === 1);
  const { groups } = await coordinator.message("ended");
  assert.equal(coordinator.hellos[0]?.version, 1);
  assert.equal(groups[0]?.writtenBytes, undefined);
  assert.deepEqual(samples(), []);
});

test("an interval of 0 measures nothing", async () => {
  agent = await startAgent(coordinator.url, directory, { metricsIntervalMs: 0 });
  await coordinator.message("renew", 0);
  assert.deepEqual(samples(), []);
});
