/** A Python peer as a contender: one process for all of its rounds, asked by lines. */
import { spawn } from "node:child_process";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Contender, cpuMsOfTree, type Round } from "../report/measure.ts";
import { runDirectory } from "../system/ending.ts";

export type PythonPeer = "ray" | "dask" | "parsl";

const SCRIPT = fileURLToPath(new URL("peer.py", import.meta.url));
/** For its start, and for a round: many times as long as the slowest takes. */
const ANSWER_LIMIT_MS = 120_000;

export async function startPython(
  python: string,
  peer: PythonPeer,
  work: "noop" | "process",
  tasks: number,
): Promise<Contender> {
  // They start programs of their environment by name.
  const path = `${dirname(python)}:${process.env.PATH}`;
  const env = { ...process.env, PATH: path, RAY_USAGE_STATS_ENABLED: "0", PYTHONWARNINGS: "ignore" };
  const directory = runDirectory(peer);
  const child = spawn(python, [SCRIPT, peer, directory], { env, cwd: directory, stdio: ["pipe", "pipe", "ignore"] });
  process.once("exit", () => child.kill("SIGKILL"));
  const gone = new Promise((resolve) => child.once("exit", resolve));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async (): Promise<Record<string, unknown>> => {
    const late = setTimeout(() => child.kill("SIGKILL"), ANSWER_LIMIT_MS);
    try {
      for (;;) {
        // Its helpers may hold its output open when it is gone.
        const { value, done } = await Promise.race([lines.next(), gone.then(() => ({ value: "", done: true }))]);
        if (done) throw new Error(`${peer} ended, or did not answer within ${ANSWER_LIMIT_MS / 1000} s`);
        // Some of them print what nobody asked for.
        if (value.startsWith("{")) return JSON.parse(value);
      }
    } finally {
      clearTimeout(late);
    }
  };
  await answer();
  return {
    name: { ray: "Ray", dask: "Dask", parsl: "Parsl" }[peer],
    round: async (): Promise<Round> => {
      const cpu = cpuMsOfTree(child.pid as number);
      child.stdin.write(`${work} ${tasks}\n`);
      const { elapsed_ms: elapsedMs, verified } = await answer();
      if (verified !== true) throw new Error(`${peer} returned something else than its tasks`);
      const cpuMs = cpuMsOfTree(child.pid as number) - cpu;
      return { count: tasks, elapsedMs: elapsedMs as number, cpuMs, peakBytes: 0 };
    },
    close: async () => {
      const kill = setTimeout(() => child.kill("SIGKILL"), 10_000);
      child.stdin.end();
      await gone;
      clearTimeout(kill);
    },
  };
}
