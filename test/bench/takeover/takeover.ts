/** (f) The dispatcher is killed with a great backlog: how soon a replica that was already running gives the next lease. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Benchmark, Outcome, Setting } from "../benchmark.ts";
import { singlesSpec } from "../cycle/spec.ts";
import { amount, atMost } from "../report/goal.ts";
import { peakBytesOf } from "../report/measure.ts";
import { textTable } from "../report/table.ts";
import { leads, type Server, startServer, until } from "../system/coordinator.ts";
import { figureOf, figuresOf } from "../system/figures.ts";
import { enrolInstant, InstantAgent } from "../system/instant-agent.ts";

const TITLE = "(f) takeover with a great backlog";
const EXPERIMENTS = 1_000;
const QUICK_EXPERIMENTS = 100;
const TASKS = 1_000;
const CALLS_AT_ONCE = 4;
/** An agent that waits tries again this soon: what is measured is the takeover, not an agent's back-off. */
const RETRY_MS = 25;
const LIMIT_MS = 60_000;

export const takeover: Benchmark = {
  title: TITLE,
  run: async ({ database, quick, say }: Setting): Promise<Outcome> => {
    const experiments = quick ? QUICK_EXPERIMENTS : EXPERIMENTS;
    const url = await database.create("bench_takeover");
    const first = await startServer(url, { role: "dispatcher" });
    const replica = await startServer(url, { role: "replica", isReplica: true });
    const identity = await enrolInstant(first.client);
    await submitAll(first, experiments);
    const tasks = experiments * TASKS;
    const queued = await figureOf(first, "tasks_queued");
    if (queued !== tasks) throw new Error(`${queued} tasks of ${tasks} are pending`);
    say(`${tasks} tasks are pending`);
    await first.kill();
    const killed = performance.now();
    const leading = until("the replica leads", () => leads(replica.url), {
      limitMs: LIMIT_MS,
      periodMs: RETRY_MS,
    }).then(() => performance.now() - killed);
    const agent = await connected(replica.url, identity);
    await agent.leased.promise;
    const leaseMs = performance.now() - killed;
    const leadsMs = await leading;
    agent.close();
    const held = await heldBy(replica);
    if (held !== tasks) throw new Error(`after the takeover there are ${held} tasks of ${tasks}`);
    const peakMiB = peakBytesOf(replica.pid) / 2 ** 20;
    await replica.stop();
    const rows = [
      ["killed → the replica leads, s", amount(leadsMs / 1000)],
      ["killed → next lease, s", amount(leaseMs / 1000)],
      ["peak memory of the replica, MiB", amount(peakMiB)],
    ];
    const what = `${tasks.toLocaleString("en")} pending tasks of ${experiments} experiments`;
    return {
      text: textTable(`${TITLE}: ${what}`, ["", ""], rows),
      goals: [atMost("kill -9 → next lease", leaseMs / 1000, 5, "s")],
      figures: { tasks, experiments, leadsMs, leaseMs, peakMiB },
    };
  },
};

/** Arrays, lists of texts, and templates of a single task, a thousand tasks each. */
function specOf(i: number): Record<string, unknown> {
  if (i % 20 === 19) return manyTemplates(TASKS);
  if (i % 4 === 3) return singlesSpec(0, TASKS);
  const requires = { cpu: 1, ram_gb: 0.001, disk_gb: 0 };
  const task = { argv: ["/bin/true"], task_inputs: { value: `1..${TASKS}` }, requires };
  return { version: 1, name: "array", tasks: { task } };
}

/** A template for each task, each with arguments of its own. */
export function manyTemplates(count: number): Record<string, unknown> {
  const resources = { compute: { cpu: 1, ram_gb: 0.001, disk_gb: 0 } };
  const tasks = Object.fromEntries(Array.from({ length: count }, (_, i) => [`t${i}`, { argv: ["/bin/true", `${i}`] }]));
  return { version: 1, name: "templates", resources, tasks };
}

async function submitAll(server: Server, experiments: number): Promise<void> {
  let next = 0;
  const caller = async (): Promise<void> => {
    while (next < experiments) await server.client.call("submitExperiment", { body: { spec: specOf(next++) } });
  };
  await Promise.all(Array.from({ length: CALLS_AT_ONCE }, caller));
}

async function connected(url: string, identity: Parameters<typeof InstantAgent.connect>[1]): Promise<InstantAgent> {
  const deadline = performance.now() + LIMIT_MS;
  for (;;) {
    try {
      return await InstantAgent.connect(url, identity, 1);
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(RETRY_MS);
    }
  }
}

/** Every task once, whatever has become of it since. */
async function heldBy(server: Server): Promise<number> {
  const figures = await figuresOf(server);
  return ["tasks_queued", "tasks_waiting", "tasks_leased", "ended"].reduce(
    (sum, name) => sum + (figures.get(name) ?? 0),
    0,
  );
}
