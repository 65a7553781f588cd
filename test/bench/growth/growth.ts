/** (g) What a task costs as work grows: CPU of coordinator and PostgreSQL for each, and memory while it waits. */

import { Inspector } from "../agents/inspector.ts";
import type { Benchmark, Outcome, Setting } from "../benchmark.ts";
import { arraySpec } from "../cycle/spec.ts";
import { amount, atMost } from "../report/goal.ts";
import { cpuMsOfTree } from "../report/measure.ts";
import { textTable } from "../report/table.ts";
import { type Server, startServer, until } from "../system/coordinator.ts";
import { figureOf } from "../system/figures.ts";
import { enrolInstant, InstantAgent } from "../system/instant-agent.ts";
import { manyTemplates } from "../takeover/takeover.ts";

const TITLE = "(g) cost as work grows, all submitted before the first one is leased";
/** Tasks at once, and how often: clocks of the kernel tick at 10 ms, so small ones are done many times. */
const SIZES = [
  [1_000, 60],
  [10_000, 8],
  [100_000, 2],
  [1_000_000, 1],
] as const;
const QUICK_SIZES = [
  [1_000, 10],
  [10_000, 2],
] as const;
const WARM_TASKS = 30_000;
/** Different texts in one call, as much as a file of 1 MiB names. */
const TEXTS = 100_000;
/** Templates in one call, as many as there may be. */
const TEMPLATES = 10_000;

interface Size {
  tasks: number;
  times: number;
  cpuUs: number;
  coordinatorUs: number;
}

export const growth: Benchmark = {
  title: TITLE,
  run: async ({ database, quick, say }: Setting): Promise<Outcome> => {
    const server = await startServer(await database.create("bench_growth"), { nodeOptions: ["--inspect=127.0.0.1:0"] });
    const inspector = await Inspector.open(server.errors(), server.pid);
    const agent = await InstantAgent.connect(server.url, await enrolInstant(server.client), -1);
    const submit = (spec: Record<string, unknown>): Promise<unknown> =>
      server.client.call("submitExperiment", { body: { spec } });
    const drain = async (tasks: number): Promise<void> => {
      const done = agent.expect(tasks);
      agent.credit();
      await done;
      agent.credit(-1);
    };
    await submit(arraySpec(WARM_TASKS));
    await drain(WARM_TASKS);
    const sizes: Size[] = [];
    let arrayBytes = 0;
    for (const [tasks, times] of quick ? QUICK_SIZES : SIZES) {
      const before = await inspector.memory();
      let ownMs = -cpuMsOfTree(server.pid);
      let cpuMs = ownMs - database.cpuMs();
      for (let i = 0; i < times; i++) {
        await submit(arraySpec(tasks));
        if (i === 0) {
          // The collections that this takes are no task's cost.
          const looked = cpuMsOfTree(server.pid);
          arrayBytes = await waitingBytes(inspector, before, tasks);
          const lookingMs = cpuMsOfTree(server.pid) - looked;
          ownMs -= lookingMs;
          cpuMs -= lookingMs;
        }
        await drain(tasks);
      }
      ownMs += cpuMsOfTree(server.pid);
      cpuMs += cpuMsOfTree(server.pid) + database.cpuMs();
      const each = 1000 / (tasks * times);
      sizes.push({ tasks, times, cpuUs: cpuMs * each, coordinatorUs: ownMs * each });
      say(`${tasks} tasks, ${times} times: ${amount(cpuMs * each)} µs each`);
    }
    const texts = await oneCall(server, inspector, textsSpec(quick ? TEXTS / 10 : TEXTS), quick ? TEXTS / 10 : TEXTS);
    const count = quick ? TEMPLATES / 10 : TEMPLATES;
    const templates = await oneCall(server, inspector, manyTemplates(count), count);
    inspector.close();
    agent.close();
    await server.stop();
    return outcomeOf(sizes, arrayBytes, texts, templates);
  },
};

interface OneCall {
  tasks: number;
  answeredMs: number;
  bytesEach: number;
}

async function oneCall(
  server: Server,
  inspector: Inspector,
  spec: Record<string, unknown>,
  tasks: number,
): Promise<OneCall> {
  const queued = await figureOf(server, "tasks_queued");
  const before = await inspector.memory();
  const start = performance.now();
  await server.client.call("submitExperiment", { body: { spec } });
  const answeredMs = performance.now() - start;
  await until("its tasks are pending", async () => (await figureOf(server, "tasks_queued")) === queued + tasks);
  return { tasks, answeredMs, bytesEach: await waitingBytes(inspector, before, tasks) };
}

async function waitingBytes(
  inspector: Inspector,
  before: { heapBytes: number; externalBytes: number },
  tasks: number,
): Promise<number> {
  const after = await inspector.memory();
  return (after.heapBytes + after.externalBytes - before.heapBytes - before.externalBytes) / tasks;
}

/** Each task with arguments of its own, by one list. */
function textsSpec(count: number): Record<string, unknown> {
  const requires = { cpu: 1, ram_gb: 0.001, disk_gb: 0 };
  const value = Array.from({ length: count }, (_, i) => `v${i.toString(36)}`);
  return {
    version: 1,
    name: "texts",
    tasks: { task: { argv: ["/bin/true", "{value}"], requires, task_inputs: { value } } },
  };
}

function outcomeOf(sizes: Size[], arrayBytes: number, texts: OneCall, templates: OneCall): Outcome {
  const costs = sizes.map(({ cpuUs }) => cpuUs);
  const spread = Math.max(...costs) / Math.min(...costs);
  const rows = sizes.map(({ tasks, times, cpuUs, coordinatorUs }) => [
    tasks.toLocaleString("en"),
    String(times),
    amount(cpuUs),
    amount(coordinatorUs),
  ]);
  const calls = [
    [`a task of an array of ${sizes.at(-1)?.tasks.toLocaleString("en")}`, "", amount(arrayBytes)],
    ...[texts, templates].map(({ tasks, answeredMs, bytesEach }, i) => [
      `${tasks.toLocaleString("en")} ${i === 0 ? "different texts" : "templates of one task"} in one call`,
      (answeredMs / 1000).toFixed(2),
      amount(bytesEach),
    ]),
  ];
  return {
    text: [
      textTable(TITLE, ["tasks", "times", "cpu µs each", "of it the coordinator"], rows),
      textTable("while they wait", ["", "answered, s", "bytes each"], calls),
    ].join("\n\n"),
    goals: [atMost("dearest against cheapest size", spread, 1.25, "×")],
    figures: { sizes, arrayBytes, texts, templates },
  };
}
