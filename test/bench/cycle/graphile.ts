/**
 * graphile-worker at its best: adding and running at once, addJobs of 1,000, a local queue of 2,000, 24 at a time, batch
 * delays 0. One process, as its authors' own benchmark runs it.
 */
import { Logger, makeWorkerUtils, type Runner, run, type WorkerUtils } from "graphile-worker";
import pg from "pg";
import { type Contender, cpuMsOfTree, peakBytesOf, type Round } from "../report/measure.ts";
import type { Database } from "../system/database.ts";

const CALL = 1_000;
const silent = new Logger(() => () => {});

export async function graphile(database: Database, tasks: number): Promise<Contender> {
  const pool = new pg.Pool({ connectionString: database.url, max: 10 });
  const utils: WorkerUtils = await makeWorkerUtils({ pgPool: pool, logger: silent });
  await utils.migrate();
  let ran = 0;
  let finished: () => void = () => {};
  const runner: Runner = await run({
    pgPool: pool,
    taskList: {
      task: () => {
        if (++ran === tasks) finished();
      },
    },
    noHandleSignals: true,
    preset: {
      worker: {
        logger: silent,
        concurrentJobs: 24,
        pollInterval: 50,
        localQueue: { size: 2_000 },
        completeJobBatchDelay: 0,
        failJobBatchDelay: 0,
      },
    },
  });
  return {
    name: "graphile-worker",
    round: async (): Promise<Round> => {
      ran = 0;
      const done = new Promise<void>((resolve) => {
        finished = resolve;
      });
      const cpu = cpuMsOfTree(process.pid) + database.cpuMs();
      const start = performance.now();
      for (let from = 0; from < tasks; from += CALL) {
        const count = Math.min(CALL, tasks - from);
        await utils.addJobs(
          Array.from({ length: count }, (_, i) => ({ identifier: "task", payload: { value: `v${from + i}` } })),
        );
      }
      await done;
      // Its cycle ends when the row is gone, not when the function ran.
      for (;;) {
        const left = await pool.query("select count(*)::int as n from graphile_worker._private_jobs");
        if (left.rows[0].n === 0) break;
      }
      const elapsedMs = performance.now() - start;
      const cpuMs = cpuMsOfTree(process.pid) + database.cpuMs() - cpu;
      if (ran !== tasks) throw new Error(`graphile-worker ran ${ran} of ${tasks}`);
      return { count: tasks, elapsedMs, cpuMs, peakBytes: peakBytesOf(process.pid) };
    },
    close: async () => {
      await runner.stop();
      await utils.release();
      await pool.end();
    },
  };
}
