/** pg-boss in batches of 1,000: insert, fetch and complete at once, four fetchers. */

import pg from "pg";
import { PgBoss } from "pg-boss";
import { type Contender, cpuMsOfTree, peakBytesOf, type Round } from "../report/measure.ts";
import type { Database } from "../system/database.ts";

const CALL = 1_000;
const FETCHERS = 4;

export async function pgboss(database: Database, tasks: number): Promise<Contender> {
  const boss = new PgBoss({ connectionString: database.url, max: 10, supervise: false, schedule: false });
  boss.on("error", (error) => {
    throw error;
  });
  await boss.start();
  const pool = new pg.Pool({ connectionString: database.url, max: 1 });
  let serial = 0;
  return {
    name: "pg-boss",
    round: async (): Promise<Round> => {
      const queue = `task${++serial}`;
      await boss.createQueue(queue);
      const cpu = cpuMsOfTree(process.pid) + database.cpuMs();
      const start = performance.now();
      let completed = 0;
      const add = async (): Promise<void> => {
        for (let from = 0; from < tasks; from += CALL) {
          const count = Math.min(CALL, tasks - from);
          await boss.insert(
            queue,
            Array.from({ length: count }, (_, i) => ({ data: { value: `v${from + i}` } })),
          );
        }
      };
      const work = async (): Promise<void> => {
        while (completed < tasks) {
          const jobs = await boss.fetch(queue, { batchSize: CALL });
          if (jobs.length === 0) continue;
          await boss.complete(
            queue,
            jobs.map((job) => job.id),
          );
          completed += jobs.length;
        }
      };
      await Promise.all([add(), ...Array.from({ length: FETCHERS }, work)]);
      const elapsedMs = performance.now() - start;
      const cpuMs = cpuMsOfTree(process.pid) + database.cpuMs() - cpu;
      const rows = await pool.query(
        "select count(*)::int as n from pgboss.job where name = $1 and state = 'completed'",
        [queue],
      );
      if (rows.rows[0].n !== tasks) throw new Error(`pg-boss completed ${rows.rows[0].n} of ${tasks}`);
      await boss.deleteQueue(queue);
      return { count: tasks, elapsedMs, cpuMs, peakBytes: peakBytesOf(process.pid) };
    },
    close: async () => {
      await boss.stop({ graceful: false });
      await pool.end();
    },
  };
}
