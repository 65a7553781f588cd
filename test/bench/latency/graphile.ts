/** graphile-worker at rest: one job added, until its function is called, by its own notification. */
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import pg from "pg";

const silent = new Logger(() => () => {});

export async function graphileLatency(url: string): Promise<{ once(): Promise<number>; close(): Promise<void> }> {
  const pool = new pg.Pool({ connectionString: url, max: 10 });
  pool.on("error", () => {});
  const utils = await makeWorkerUtils({ pgPool: pool, logger: silent });
  await utils.migrate();
  let called: (at: number) => void = () => {};
  const runner = await run({
    pgPool: pool,
    taskList: { task: () => called(performance.now()) },
    noHandleSignals: true,
    // No local queue and no batches: the shortest way that it has.
    preset: { worker: { logger: silent, concurrentJobs: 4, pollInterval: 2_000 } },
  });
  return {
    once: async () => {
      const ran = new Promise<number>((resolve) => {
        called = resolve;
      });
      const asked = performance.now();
      await utils.addJob("task", { value: "v" });
      return (await ran) - asked;
    },
    close: async () => {
      await runner.stop();
      await utils.release();
      await pool.end();
    },
  };
}
