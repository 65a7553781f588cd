/** A process per task through the whole system: submitted over HTTP, leased, run by an agent with two slots, durable. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Contender, cpuMsOfTree, peakBytesOf, type Round } from "../report/measure.ts";
import { startAgent, startServer } from "../system/coordinator.ts";
import type { Database } from "../system/database.ts";
import { SLOTS } from "./xargs.ts";

/** The end is looked for after half of the time that the rest should take, and no sooner: a question costs a millisecond. */
const POLL_LEAST_MS = 20;

export async function airavataProcesses(database: Database, tasks: number, kind: "argv" | "shell"): Promise<Contender> {
  const server = await startServer(database.url);
  const agent = await startAgent(server, SLOTS);
  const task = kind === "argv" ? { argv: ["/bin/true"] } : { command: "echo value {value} && true" };
  const requires = { cpu: 1, ram_gb: 0.001, disk_gb: 0 };
  const spec = {
    version: 1,
    name: kind,
    tasks: { task: { ...task, requires, task_inputs: { value: `1..${tasks}` } } },
  };
  return {
    name: `airavata, ${kind}`,
    round: async (): Promise<Round> => {
      const cpu = cpuMsOfTree(process.pid) + database.cpuMs();
      const start = performance.now();
      const { id } = await server.client.call("submitExperiment", { body: { spec } });
      for (;;) {
        const { state, tasks: counts } = await server.client.call("getExperiment", {
          params: { experiment: id },
          query: {},
        });
        if (state === "COMPLETED" && counts.completed === tasks) break;
        if (state === "FAILED" || state === "CANCELED")
          throw new Error(`the experiment ended ${state}: ${JSON.stringify(counts)}`);
        const rest = ((performance.now() - start) / Math.max(1, counts.completed)) * (tasks - counts.completed);
        const waitMs = Math.min(500, Math.max(POLL_LEAST_MS, rest / 2));
        await new Promise((resolve) => setTimeout(resolve, waitMs));
      }
      const elapsedMs = performance.now() - start;
      const cpuMs = cpuMsOfTree(process.pid) + database.cpuMs() - cpu;
      if (kind === "shell") verifyOutput(agent.outputDir, id, tasks);
      return { count: tasks, elapsedMs, cpuMs, peakBytes: peakBytesOf(server.pid) };
    },
    close: async () => {
      await agent.stop();
      await server.stop();
    },
  };
}

/** Every attempt has a directory of its own with its line of output in it. */
function verifyOutput(outputDir: string, experiment: number, tasks: number): void {
  const root = join(outputDir, ".attempts", String(experiment), "task");
  const made = readdirSync(root).length;
  if (made !== tasks) throw new Error(`${made} of ${tasks} tasks have a directory`);
  const text = readFileSync(join(root, String(tasks - 1), "1", ".stdout"), "utf8");
  if (text !== `value ${tasks}\n`) throw new Error(`the last task wrote ${JSON.stringify(text)}`);
}
