/**
 * The whole path of ours without processes: a coordinator of its own process, experiments over HTTP, leases and ends over
 * the agents' WebSocket to an agent that ends at once whatever it gets. Adding and running at once.
 */
import pg from "pg";
import { type Contender, cpuMsOfTree, peakBytesOf, type Round } from "../report/measure.ts";
import { startServer } from "../system/coordinator.ts";
import type { Database } from "../system/database.ts";
import { InstantAgent } from "../system/instant-agent.ts";
import { arraySpec, singlesSpec } from "./spec.ts";

/** Tasks in one call of single tasks, as the peers' are added; calls under way at once. */
const CALL = 1_000;
const CALLS_AT_ONCE = 2;

type Submit = (spec: Record<string, unknown>) => Promise<unknown>;

export async function airavata(database: Database, tasks: number, kind: "single tasks" | "array"): Promise<Contender> {
  const server = await startServer(database.url);
  const agent = await InstantAgent.enrol(server.url, server.client);
  const pool = new pg.Pool({ connectionString: database.url, max: 1 });
  const submit: Submit = (spec) => server.client.call("submitExperiment", { body: { spec } });
  return {
    name: `airavata, ${kind}`,
    round: async (): Promise<Round> => {
      const before = await completedIn(pool);
      const cpu = cpuMsOfTree(process.pid) + database.cpuMs();
      const done = agent.expect(tasks);
      const start = performance.now();
      if (kind === "array") await submit(arraySpec(tasks));
      else await submitSingles(submit, tasks);
      await done;
      const elapsedMs = performance.now() - start;
      const cpuMs = cpuMsOfTree(process.pid) + database.cpuMs() - cpu;
      const completed = (await completedIn(pool)) - before;
      if (completed !== tasks) throw new Error(`the database counts ${completed} completed tasks of ${tasks}`);
      return { count: tasks, elapsedMs, cpuMs, peakBytes: peakBytesOf(server.pid) };
    },
    close: async () => {
      agent.close();
      await server.stop();
      await pool.end();
    },
  };
}

async function submitSingles(submit: Submit, tasks: number): Promise<void> {
  let from = 0;
  const caller = async (): Promise<void> => {
    while (from < tasks) {
      const start = from;
      from += CALL;
      await submit(singlesSpec(start, Math.min(CALL, tasks - start)));
    }
  };
  await Promise.all(Array.from({ length: CALLS_AT_ONCE }, caller));
}

/** FINAL results that COMPLETED, counted from the journal's rows alone. */
async function completedIn(pool: pg.Pool): Promise<number> {
  const text = `select coalesce(sum(cardinality(indexes)), 0)::int as n from attempt_end
    where (dispositions is null or dispositions = '{0}') and (outcomes is null or outcomes = '{0}')`;
  return (await pool.query(text)).rows[0].n as number;
}
