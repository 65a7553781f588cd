/** The yardstick of processes: `xargs -P2`, fed with numbers. */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Contender, Round } from "../report/measure.ts";
import { cpuMsOfTree } from "../report/measure.ts";
import { runDirectory } from "../system/ending.ts";

export const SLOTS = 2;

/** `xargs -P2 -n1 /bin/true`: a process per number, nothing kept. */
export function xargsTrue(tasks: number): Contender {
  return {
    name: "xargs -P2 -n1 /bin/true",
    round: () => timed(tasks, ["-P", String(SLOTS), "-n1", "/bin/true"], tmpdir()),
    close: async () => {},
  };
}

/** The same work as our shell line: a directory of its own and one line of output kept. */
export function xargsShell(tasks: number): Contender {
  const root = runDirectory("xargs");
  let serial = 0;
  return {
    name: "xargs -P2 sh -c",
    round: async (): Promise<Round> => {
      const directory = join(root, String(++serial));
      const text = `mkdir -p "${directory}/$0" && cd "${directory}/$0" && echo "value $0" > stdout`;
      const round = await timed(tasks, ["-P", String(SLOTS), "-n1", "sh", "-c", text], root);
      const made = readdirSync(directory);
      if (made.length !== tasks) throw new Error(`xargs made ${made.length} of ${tasks} directories`);
      const last = readFileSync(join(directory, String(tasks), "stdout"), "utf8");
      if (last !== `value ${tasks}\n`) throw new Error(`xargs wrote ${JSON.stringify(last)}`);
      rmSync(directory, { recursive: true });
      return round;
    },
    close: async () => rmSync(root, { recursive: true, force: true }),
  };
}

function timed(tasks: number, args: string[], cwd: string): Promise<Round> {
  return new Promise((resolve, reject) => {
    const cpu = cpuMsOfTree(process.pid);
    const start = performance.now();
    const child = spawn("xargs", args, { cwd, stdio: ["pipe", "ignore", "inherit"] });
    child.stdin.end(Array.from({ length: tasks }, (_, i) => i + 1).join("\n"));
    child.once("error", reject);
    child.once("exit", (code) => {
      const elapsedMs = performance.now() - start;
      if (code !== 0) reject(new Error(`xargs ended with ${code}`));
      else resolve({ count: tasks, elapsedMs, cpuMs: cpuMsOfTree(process.pid) - cpu, peakBytes: 0 });
    });
  });
}
