/**
 * `npm run steady`: whether everything that grows has an end. Millions of tasks of many experiments through the real API
 * and the agents' socket, on a PostgreSQL with its standard autovacuum, with a retention of seconds. Each 250,000 tasks it
 * says how fast it is and how large everything is; at the end whether that stayed flat after the first million.
 * `-- --tasks N`, `--retention 5s`, `--json FILE`.
 */
import { writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import pg from "pg";
import { arraySpec } from "../cycle/spec.ts";
import { startServer } from "../system/coordinator.ts";
import { startDatabase } from "../system/database.ts";
import { beginRun } from "../system/ending.ts";
import { InstantAgent } from "../system/instant-agent.ts";
import { HEAD, judge, lineOf, type Sample, takeSample } from "./sample.ts";

const options = parseArgs({
  options: {
    tasks: { type: "string", default: "5000000" },
    retention: { type: "string", default: "5s" },
    json: { type: "string" },
  },
}).values;

const TASKS_PER_EXPERIMENT = 2_500;
const SAMPLE_TASKS = 250_000;
const WARM_UP_TASKS = 1_000_000;
/** Submitted and not ended: enough that the agent never waits, few enough to be nothing beside what is kept. */
const BACKLOG_TASKS = 50_000;
const SUBMITS_AT_ONCE = 2;
const BACKLOG_POLL_MS = 5;

async function main(): Promise<boolean> {
  const total = Number(options.tasks);
  const database = await startDatabase();
  try {
    const server = await startServer(database.url, { words: ["--retention", options.retention] });
    const agent = await InstantAgent.enrol(server.url, server.client);
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    const done = agent.expect(total);
    let submitted = 0;
    const submitter = async (): Promise<void> => {
      while (submitted < total) {
        if (submitted - agent.ended > BACKLOG_TASKS) {
          await delay(BACKLOG_POLL_MS);
          continue;
        }
        const tasks = Math.min(TASKS_PER_EXPERIMENT, total - submitted);
        submitted += tasks;
        await server.client.call("submitExperiment", { body: { spec: arraySpec(tasks) } });
      }
    };
    const samples: Sample[] = [];
    let since = { tasks: 0, atMs: performance.now() };
    process.stdout.write(`${HEAD}\n`);
    const sampler = async (): Promise<void> => {
      while (since.tasks < total) {
        const due = Math.min(total, since.tasks + SAMPLE_TASKS);
        while (agent.ended < due) await delay(BACKLOG_POLL_MS);
        const now = { tasks: agent.ended, atMs: performance.now() };
        const sample = await takeSample(client, server.pid, since, now);
        samples.push(sample);
        process.stdout.write(`${lineOf(sample)}\n`);
        since = now;
      }
    };
    await Promise.all([done, sampler(), ...Array.from({ length: SUBMITS_AT_ONCE }, submitter)]);
    agent.close();
    await client.end();
    await server.stop();
    const { passed, lines } = judge(samples, WARM_UP_TASKS);
    process.stdout.write(`${lines.join("\n")}\n`);
    if (options.json !== undefined) writeFileSync(options.json, JSON.stringify({ passed, samples }, null, 2));
    return passed;
  } finally {
    await database.stop();
  }
}

beginRun();
process.exitCode = (await main()) ? 0 : 1;
