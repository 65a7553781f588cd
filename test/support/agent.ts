/** An agent in the test's own process, in a directory of its own, with the runner of this machine. */
import { mkdtemp, readFile, rm, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type AgentOptions, createAgent, type RunningAgent } from "../../agent/agent.ts";
import { createLogger, silentLogger } from "../../shared/log/log.ts";

const RUNNER = fileURLToPath(new URL(`../../agent/runner/bin/airavata-runner-linux-${process.arch}`, import.meta.url));

export async function agentDirectory(): Promise<string> {
  return mkdtemp(join(tmpdir(), "airavata-agent-"));
}

export function agentOptions(apiUrl: string, outputDir: string, more: Partial<AgentOptions> = {}): AgentOptions {
  return {
    apiUrl,
    outputDir,
    name: "tester",
    enrolmentToken: "token",
    keyMaxAgeMs: 0,
    runnerPath: RUNNER,
    resources: { cpus: 2, memoryBytes: 1024 ** 3, gpus: 0, labels: [], custom: [] },
    passEnv: [],
    pollIntervalMs: 10_000,
    lastsMs: null,
    metricsIntervalMs: 0,
    drainTimeoutMs: 60_000,
    program: { version: "0.0.0", executable: undefined, words: [] },
    news: { keeper: undefined, failure: undefined },
    updateTrialMs: 60_000,
    env: {},
    log: process.env.AGENT_TEST_LOG ? createLogger({ level: "debug", format: "text" }) : silentLogger,
    ...more,
  };
}

export async function startAgent(
  apiUrl: string,
  outputDir: string,
  more: Partial<AgentOptions> = {},
): Promise<RunningAgent> {
  return createAgent(agentOptions(apiUrl, outputDir, more));
}

const TMPFS_MAGIC = 0x01021994;

/** Whether what is written there counts as written to storage: a file system in memory has none. */
export async function countsStorage(directory: string): Promise<boolean> {
  return (await statfs(directory)).type !== TMPFS_MAGIC;
}

/** Ends supervisor, runners and whatever they run, then removes the directory. */
export async function removeAgentDirectory(outputDir: string): Promise<void> {
  for (const pid of await processesOf(outputDir)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It ended by itself.
    }
  }
  await rm(outputDir, { recursive: true, force: true });
}

/** Processes whose command line, directory or environment names the directory. */
export async function processesOf(outputDir: string): Promise<number[]> {
  const { readdir, readlink } = await import("node:fs/promises");
  const found: number[] = [];
  for (const name of await readdir("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const texts = await Promise.all([
      readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""),
      readFile(`/proc/${pid}/environ`, "utf8").catch(() => ""),
      readlink(`/proc/${pid}/cwd`).catch(() => ""),
    ]);
    if (texts.some((text) => text.includes(outputDir))) found.push(pid);
  }
  return found;
}
