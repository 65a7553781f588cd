/**
 * BullMQ on a Redis of its own whose every write is on the disk before it is answered (`appendfsync always`, read back):
 * addBulk of 1,000 while a worker runs what comes.
 */
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";
import { type Contender, cpuMsOfTree, peakBytesOf, type Round } from "../report/measure.ts";
import { until } from "../system/coordinator.ts";
import { runDirectory } from "../system/ending.ts";

const CALL = 1_000;
/** Jobs under way at once, so that its worker does not wait for Redis with each. */
const AT_ONCE = 100;

interface BullMq {
  Queue: new (
    name: string,
    options: object,
  ) => {
    addBulk(jobs: object[]): Promise<unknown>;
    getJobCounts(): Promise<Record<string, number>>;
    close(): Promise<void>;
  };
  Worker: new (name: string, run: () => Promise<void>, options: object) => { close(force?: boolean): Promise<void> };
}

type RedisClient = new (
  options: object,
) => { config(...words: string[]): Promise<unknown>; disconnect(): void; on(name: string, listener: () => void): void };

export async function startBullMq(modules: string, redis: string, tasks: number): Promise<Contender> {
  const load = createRequire(join(modules, "package.json"));
  const { Queue, Worker } = load("bullmq") as BullMq;
  const { Redis } = load("ioredis") as { Redis: RedisClient };
  const directory = runDirectory("redis");
  const path = join(directory, "redis.sock");
  const words = ["--port", "0", "--unixsocket", path, "--dir", directory, "--save", "", "--appendonly", "yes"];
  const server = spawn(redis, [...words, "--appendfsync", "always"], { stdio: "ignore" });
  process.once("exit", () => server.kill("SIGKILL"));
  const connection = { path, maxRetriesPerRequest: null };
  const keep = { removeOnComplete: true, removeOnFail: true };
  let serial = 0;
  const probe = new Redis(connection);
  // Until it listens.
  probe.on("error", () => {});
  await until("redis says that every write is on its disk", async () => {
    const said = JSON.stringify(await probe.config("GET", "append*"));
    return said.includes('"appendfsync","always"') && said.includes('"appendonly","yes"');
  });
  probe.disconnect();
  return {
    name: "BullMQ",
    round: async (): Promise<Round> => {
      const name = `tasks${++serial}`;
      const queue = new Queue(name, { connection });
      let ran = 0;
      const done = Promise.withResolvers<void>();
      const run = async (): Promise<void> => {
        if (++ran === tasks) done.resolve();
      };
      const cpu = cpuMsOfTree(process.pid);
      const start = performance.now();
      const worker = new Worker(name, run, { connection, concurrency: AT_ONCE });
      for (let from = 0; from < tasks; from += CALL) {
        const count = Math.min(CALL, tasks - from);
        const data = Array.from({ length: count }, (_, i) => ({
          name: "task",
          data: { value: `v${from + i}` },
          opts: keep,
        }));
        await queue.addBulk(data);
      }
      await done.promise;
      await until("nothing is left", async () => {
        const counts = await queue.getJobCounts();
        return Object.values(counts).every((count) => count === 0);
      });
      const elapsedMs = performance.now() - start;
      const cpuMs = cpuMsOfTree(process.pid) - cpu;
      if (ran !== tasks) throw new Error(`BullMQ ran ${ran} of ${tasks}`);
      await worker.close();
      await queue.close();
      return { count: tasks, elapsedMs, cpuMs, peakBytes: peakBytesOf(process.pid) };
    },
    close: async () => {
      const gone = new Promise((resolve) => server.once("exit", resolve));
      server.kill("SIGTERM");
      await gone;
    },
  };
}
