/** What is kept of agents' samples: bounds, history, rates, what ends when, and what /metrics shows. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { AGENTS_SHOWN_MAX, agentFigures, type NamedSample } from "../../../coordinator/api/http/agent-figures.ts";
import { Exposition } from "../../../coordinator/api/http/exposition.ts";
import { AgentFigures } from "../../../coordinator/domain/agent/figures.ts";
import type { AgentId, ExperimentId } from "../../../shared/model/ids.ts";
import { NODE_FIGURE_AT, NODE_FIGURES, type NodeFigure } from "../../../shared/model/usage.ts";
import type { FromAgent } from "../../../shared/protocol/messages.ts";

type Metrics = Extract<FromAgent, { type: "metrics" }>;
const AGENT = 7 as AgentId;

function node(some: Partial<Record<NodeFigure, number>>): number[] {
  const figures = new Array<number>(NODE_FIGURES.length).fill(-1);
  for (const [name, value] of Object.entries(some)) figures[NODE_FIGURE_AT[name as NodeFigure]] = value;
  return figures;
}

function metrics(atMs: number, more: Partial<Metrics>): Metrics {
  return { type: "metrics", atMs, groups: [], ...more };
}

function used(experiment: number, indexes: number[]): Metrics["groups"][number] {
  const column = indexes.map(() => 1);
  const usage = { cpuMs: column, cpuPermille: column, memoryBytes: column, memoryPeakBytes: column };
  return {
    experiment: experiment as ExperimentId,
    template: 0,
    indexes,
    attempts: column,
    ...usage,
    readBytes: column,
    writtenBytes: column,
  };
}

const key = (experiment: number, index: number) => ({
  experiment: experiment as ExperimentId,
  template: 0,
  index,
  attempt: 1,
});

test("an hour of history, three digits of each figure, rates from counters, a restarted machine tells none", () => {
  let wall = 1_790_000_000_000;
  const figures = new AgentFigures({ wall: () => wall });
  for (let i = 0; i < 1_000; i++) {
    const counters = { disk_read_bytes_total: i === 999 ? 0 : i * 50_000_000, network_sent_bytes_total: i * 640 };
    const some = { cpu: (i % 10) / 10, load1: 1.5, memory_used_bytes: 12.34 * 2 ** 30, ...counters };
    figures.receive(AGENT, metrics(i * 10_000, { node: node(some), gpus: [[0.5, 1, 2]] }));
    wall += 10_000;
  }
  const rows = figures.history(AGENT, 0);
  assert.equal(rows.length, 360);
  const last = rows.at(-2);
  assert.equal(last?.atMs, wall - 20_000);
  const near = (value: number | undefined, wanted: number): void =>
    assert.ok(Math.abs((value ?? 0) / wanted - 1) < 0.001, `${value} is not ${wanted}`);
  near(last?.cpu, 0.8);
  near(last?.memoryUsedBytes, 12.34 * 2 ** 30);
  near(last?.diskReadBytesPerSecond, 5_000_000);
  near(last?.networkSentBytesPerSecond, 64);
  near(last?.gpuBusy, 0.5);
  assert.equal(last?.networkReceivedBytesPerSecond, -1);
  assert.equal(rows.at(-1)?.diskReadBytesPerSecond, -1);
  assert.equal(figures.history(AGENT, wall - 35_000).length, 3);
  assert.deepEqual(figures.history(99 as AgentId, 0), []);
});

test("samples that come too often replace the latest one and add nothing to the history", () => {
  let wall = 1_000_000;
  const figures = new AgentFigures({ wall: () => wall });
  for (let i = 0; i < 100; i++) {
    wall += 100;
    figures.receive(AGENT, metrics(wall, { node: node({ cpu: i / 100 }) }));
  }
  assert.equal(figures.history(AGENT, 0).length, 2);
  assert.equal(figures.latest(AGENT)?.node[0], 0.99);
});

test("a task is measured until a sample no longer names it, whatever frames it came in", () => {
  let wall = 1_000;
  const figures = new AgentFigures({ wall: () => wall });
  figures.receive(AGENT, metrics(1, { groups: [used(17, [0, 1])] }));
  figures.receive(AGENT, metrics(1, { groups: [used(18, [0])] }));
  assert.equal(figures.counts().metrics_tasks, 3);
  assert.equal(figures.usage(AGENT, key(17, 1))?.memoryBytes, 1);
  assert.equal(figures.usage(8 as AgentId, key(17, 1)), undefined);
  // A message of the node alone says nothing about tasks.
  figures.receive(AGENT, metrics(2, { node: node({}) }));
  assert.equal(figures.counts().metrics_tasks, 3);
  figures.receive(AGENT, metrics(3, { groups: [used(17, [1])] }));
  figures.receive(AGENT, metrics(4, { groups: [used(17, [1])] }));
  assert.equal(figures.counts().metrics_tasks, 1);
  assert.equal(figures.usage(AGENT, key(17, 0)), undefined);
  assert.equal(figures.usage(AGENT, key(17, 1))?.recent.length, 6);
  wall += 700_000;
  figures.receive(AGENT, metrics(5, { node: node({}) }));
  assert.equal(figures.counts().metrics_tasks, 0);
});

test("whatever agents send is bounded: tasks of one, tasks of all, samples of one task, histories", () => {
  let wall = 1_000;
  const figures = new AgentFigures({ wall: () => wall, tasksMax: 1_500, historiesMax: 2 });
  const many = Array.from({ length: 500 }, (_, i) => i);
  for (let frame = 0; frame < 4; frame++) figures.receive(AGENT, metrics(1, { groups: [used(frame + 1, many)] }));
  assert.equal(figures.counts().metrics_tasks, 1_024);
  for (let agent = 20; agent < 24; agent++) {
    figures.receive(agent as AgentId, metrics(1, { node: node({ cpu: 1 }), groups: [used(agent, many)] }));
  }
  const { metrics_tasks, metrics_histories, metrics_agents, metrics_tasks_left_out_total } = figures.counts();
  assert.deepEqual([metrics_tasks, metrics_histories, metrics_agents], [1_500, 2, 5]);
  assert.equal(metrics_tasks_left_out_total, 976 + 2_000 - 476);
  for (let i = 2; i < 50; i++) figures.receive(AGENT, metrics(i, { groups: [used(1, [3])] }));
  assert.equal(figures.usage(AGENT, key(1, 3))?.recent.length, 24);

  // Who leaves is forgotten after a while, who comes back is not.
  figures.gone(20 as AgentId);
  figures.gone(21 as AgentId);
  figures.receive(21 as AgentId, metrics(2, { node: node({ cpu: 1 }) }));
  wall += 301_000;
  figures.gone(AGENT);
  assert.equal(figures.latest(20 as AgentId), undefined);
  assert.notEqual(figures.latest(21 as AgentId), undefined);
  figures.clear();
  assert.deepEqual(Object.values(figures.counts()).slice(0, 3), [0, 0, 0]);
});

test("an agent with a full history takes 7.2 kB of columns and 2 kB at most around them", async () => {
  let wall = 1_000_000;
  const figures = new AgentFigures({ wall: () => wall });
  const sample = node({ cpu: 0.5 });
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  const before = process.memoryUsage();
  // A tenth of them, so that the test takes a second.
  for (let i = 0; i < 360; i++) {
    wall += 10_000;
    for (let agent = 1; agent <= 1_000; agent++)
      figures.receive(agent as AgentId, metrics(wall, { node: [...sample] }));
  }
  // Columns that were outgrown are swept beside the program, at the sweeper's own pace.
  const gained = (): number => {
    collect();
    const { arrayBuffers, heapUsed } = process.memoryUsage();
    return arrayBuffers - before.arrayBuffers + Math.max(0, heapUsed - before.heapUsed);
  };
  let bytes = gained();
  for (let tries = 0; tries < 500 && bytes >= 1_000 * 9_500; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    bytes = gained();
  }
  assert.ok(bytes < 1_000 * 9_500, `${bytes} bytes for a thousand agents`);
  assert.equal(figures.history(1_000 as AgentId, 0).length, 360);
});

function sampleOf(some: Partial<Record<NodeFigure, number>>): NamedSample["sample"] {
  const rates = { diskRead: -1, diskWritten: -1, networkReceived: -1, networkSent: -1 };
  return { atMs: 1, node: node(some), gpus: [], rates };
}

test("/metrics shows so many agents and all others as one; labels are escaped; what is not known is left out", () => {
  const agents: NamedSample[] = Array.from({ length: AGENTS_SHOWN_MAX + 3 }, (_, i) => ({
    name: i === 0 ? 'a"\\\nb' : `node-${i}`,
    sample: sampleOf({ cpu: i % 2, memory_used_bytes: 100 }),
  }));
  const out = new Exposition();
  agentFigures(out, agents);
  const lines = out.text().split("\n");
  const of = (name: string): string[] => lines.filter((line) => line.startsWith(`scheduler_agent_${name}{`));
  assert.equal(of("cpu_ratio").length, AGENTS_SHOWN_MAX + 1);
  assert.equal(of("cpu_ratio")[0], 'scheduler_agent_cpu_ratio{agent="a\\"\\\\\\nb"} 0');
  assert.equal(of("memory_used_bytes").at(-1), 'scheduler_agent_memory_used_bytes{agent="*"} 300');
  assert.match(of("cpu_ratio").at(-1) ?? "", /agent="\*"} 0\.333/);
  assert.ok(lines.includes("scheduler_agents_not_shown 3"));
  assert.ok(!out.text().includes("load1"));
  const names = new Set(lines.filter((line) => line.startsWith("# TYPE")));
  assert.equal(names.size, lines.filter((line) => line.startsWith("# TYPE")).length);
  assert.ok(lines.length < 25 * (AGENTS_SHOWN_MAX + 3));
});
