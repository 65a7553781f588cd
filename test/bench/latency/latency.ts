/**
 * (c) Idle latency: one task at a time, from before the request is written to the first act of its process. Beside it what
 * it is made of at least: a commit of this disk, and one start of the same program.
 */
import { Agent as KeepAlive, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import type { Benchmark, Outcome, Setting } from "../benchmark.ts";
import { amount, atMost } from "../report/goal.ts";
import { percentile } from "../report/statistics.ts";
import { textTable } from "../report/table.ts";
import { type Server, startAgent, startServer } from "../system/coordinator.ts";
import { graphileLatency } from "./graphile.ts";
import { type Starts, watchStarts } from "./started.ts";

const TITLE = "(c) idle latency: submit → process started, one at a time, ms";
const TASKS = 2_000;
const QUICK_TASKS = 100;
const WARM = 30;
/** What HTTP, WebSocket, two event loops and the file system may add. */
const ALLOWANCE_MS = 0.5;
const SLOTS = 2;

export const latency: Benchmark = {
  title: TITLE,
  run: async (setting: Setting): Promise<Outcome> => {
    const tasks = setting.quick ? QUICK_TASKS : TASKS;
    const starts = watchStarts();
    const server = await startServer(await setting.database.create("bench_latency"));
    const agent = await startAgent(server, SLOTS);
    const commits = await commitLatency(await setting.database.create("bench_latency_commit"));
    const graphile = await graphileLatency(await setting.database.create("bench_latency_graphile"));
    const own = await ownLatency(server, starts);
    const samples = { commit: [], spawn: [], airavata: [], graphile: [] } as Record<string, number[]>;
    for (let i = -WARM; i < tasks; i++) {
      // In turn, so that all see the same disk; a pause that is no period of anything, so that all is idle again.
      const once: [string, () => Promise<number>][] = [
        ["airavata", own.once],
        ["commit", commits.once],
        ["spawn", starts.spawnOnce],
        ["graphile", graphile.once],
      ];
      for (const [name, measure] of once) {
        const ms = await measure();
        if (i >= 0) samples[name]?.push(ms);
        await sleep(3 + Math.random() * 4);
      }
      if (i > 0 && i % 500 === 0) setting.say(`${i} of ${tasks}`);
    }
    own.close();
    await graphile.close();
    await commits.close();
    await agent.stop();
    await server.stop();
    starts.close();
    return outcomeOf(samples);
  },
};

function outcomeOf(samples: Record<string, number[]>): Outcome {
  const parts = [0.1, 0.5, 0.9, 0.99, 1];
  const of = (name: string): number[] => samples[name] as number[];
  const rows = [
    ["airavata: submit → process started", "airavata"],
    ["graphile-worker: add → job function", "graphile"],
    ["one commit of a row, bare client", "commit"],
    ["one start of the program, from a shell", "spawn"],
  ].map(([text, name]) => [text as string, ...parts.map((part) => percentile(of(name as string), part).toFixed(2))]);
  const p50 = percentile(of("airavata"), 0.5);
  const bound = 2 * percentile(of("commit"), 0.5) + percentile(of("spawn"), 0.5) + ALLOWANCE_MS;
  const made = `p50 against 2 commits + one start + ${amount(ALLOWANCE_MS)} ms`;
  return {
    text: textTable(`${TITLE}, ${of("airavata").length} tasks`, ["", "p10", "p50", "p90", "p99", "most"], rows),
    goals: [
      atMost(made, p50, bound, "ms"),
      atMost("p99 against 4 × p50", percentile(of("airavata"), 0.99), 4 * p50, "ms"),
    ],
    figures: samples,
  };
}

interface Once {
  once(): Promise<number>;
}

/** A client with one connection that it keeps: a plain one, since what it costs itself is measured, too. */
async function ownLatency(server: Server, starts: Starts): Promise<Once & { close(): void }> {
  const keep = new KeepAlive({ keepAlive: true });
  const requires = { cpu: 1, ram_gb: 0.001, disk_gb: 0 };
  const spec = { version: 1, name: "latency", tasks: { task: { argv: starts.argv, requires } } };
  const body = JSON.stringify({ spec });
  const headers = { "content-type": "application/json", authorization: `Bearer ${server.token}` };
  const submit = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const sent = request(`${server.url}/api/v1/experiments`, { method: "POST", agent: keep, headers }, (answer) => {
        answer.resume();
        answer.once("end", () => {
          if (answer.statusCode === 201) resolve();
          else reject(new Error(`a submit was answered with ${answer.statusCode}`));
        });
      });
      sent.once("error", reject);
      sent.end(body);
    });
  return {
    once: async () => {
      const started = starts.next();
      const asked = performance.now();
      const answered = submit();
      const ms = (await started) - asked;
      await answered;
      return ms;
    },
    close: () => keep.destroy(),
  };
}

async function commitLatency(url: string): Promise<Once & { close(): Promise<void> }> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query("create table one_row (seq bigint generated always as identity, at timestamptz not null)");
  return {
    once: async () => {
      const asked = performance.now();
      await client.query({ name: "one", text: "insert into one_row (at) values (now())" });
      return performance.now() - asked;
    },
    close: () => client.end(),
  };
}
