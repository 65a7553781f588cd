/**
 * The bound of processes: a C loop of `posix_spawn` and `wait` that keeps two in flight and does nothing else. Compiled by
 * the project's own toolchain, static, as the runner is (it then starts tasks faster than from a dynamic one); where that
 * is not there by the machine's `cc`.
 */
import { execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Contender, cpuMsOfTree, type Round } from "../report/measure.ts";
import { runDirectory } from "../system/ending.ts";
import { SLOTS } from "./xargs.ts";

const SOURCE = fileURLToPath(new URL("spawn-loop.c", import.meta.url));
const ZIG = "ziglang-0.17.1/bin/python3";

export function spawnLoop(tasks: number): Contender {
  const program = join(runDirectory("spawn-loop"), "spawn-loop");
  const [compiler = "", ...words] = compilerCommand();
  execFileSync(compiler, [...words, "-O2", "-o", program, SOURCE], { stdio: ["ignore", "ignore", "inherit"] });
  return {
    name: "C posix_spawn loop",
    round: () => timed(program, tasks),
    close: async () => {},
  };
}

function compilerCommand(): string[] {
  const { AIRAVATA_TOOLCHAIN_DIR, XDG_CACHE_HOME = join(homedir(), ".cache") } = process.env;
  const python = join(AIRAVATA_TOOLCHAIN_DIR ?? join(XDG_CACHE_HOME, "airavata-toolchain"), ZIG);
  if (!existsSync(python)) return ["cc"];
  const machine = process.arch === "arm64" ? "aarch64" : "x86_64";
  return [python, "-m", "ziglang", "cc", "-target", `${machine}-linux-musl`, "-static"];
}

function timed(program: string, tasks: number): Promise<Round> {
  return new Promise((resolve, reject) => {
    const cpu = cpuMsOfTree(process.pid);
    const start = performance.now();
    const child = spawn(program, [String(tasks), String(SLOTS), "/bin/true"], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    child.once("error", reject);
    child.once("exit", (code) => {
      const elapsedMs = performance.now() - start;
      if (code !== 0) reject(new Error(`the spawn loop ended with ${code}`));
      else resolve({ count: tasks, elapsedMs, cpuMs: cpuMsOfTree(process.pid) - cpu, peakBytes: 0 });
    });
  });
}
