/** Our own processes under measurement: coordinators on the benchmark's database, and real agents beside them. */
import { type ChildProcess, spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Client, createClient } from "../../../shared/api/client.ts";
import { profileOptions } from "../profile/options.ts";
import { runDirectory } from "./ending.ts";

const LAUNCHER = fileURLToPath(new URL("../../../bin/airavata", import.meta.url));
const READY_MS = 60_000;
/** All coordinators of a run know one token, so that replicas forward to each other. */
const TOKEN = `bench-${"t".repeat(40)}`;

export interface ServerOptions {
  /** Name in profiles. */
  role?: string;
  /** Further words of the command line. */
  words?: string[];
  /** 0: any free one. */
  port?: number;
  /** Options of Node itself. */
  nodeOptions?: string[];
  /** A replica listens and does not lead yet. */
  isReplica?: boolean;
}

export interface Server {
  url: string;
  client: Client;
  /** Of its operator. */
  token: string;
  pid: number;
  dataDir: string;
  /** What it writes to its error output so far. */
  errors(): string;
  stop(): Promise<void>;
  kill(): Promise<void>;
}

/** Starts `airavata both` and waits until it leads (or, as a replica, listens). */
export async function startServer(databaseUrl: string, options: ServerOptions = {}): Promise<Server> {
  const { role = "coordinator", words = [], port = 0, nodeOptions = [] } = options;
  const dataDir = runDirectory("coordinator");
  const env = {
    ...process.env,
    DATABASE_URL: databaseUrl,
    AIRAVATA_DATA_DIR: dataDir,
    AIRAVATA_OPERATOR_TOKEN: TOKEN,
    JWT_SECRET_KEY: "for-benchmarks-alone-Zk3vQ8tLw1XrB6yN0pHs5mJd",
    LOG_LEVEL: process.env.LOG_LEVEL ?? "warn",
    NODE_OPTIONS: [process.env.NODE_OPTIONS ?? "", ...nodeOptions, ...profileOptions(role)].join(" "),
  };
  const stdio = ["ignore", "pipe", "pipe"] as const;
  const child = spawn(LAUNCHER, ["both", "--port", String(port), ...words], { env, stdio: [...stdio] });
  endWithUs(child);
  let errors = "";
  child.stderr?.on("data", (data: Buffer) => {
    errors += data.toString();
    const told = data.toString().replace(/^(Debugger |For help).*\n?/gm, "");
    if (told.trim() !== "") process.stderr.write(told);
  });
  const url = await urlOf(child);
  if (options.isReplica !== true) await until("the coordinator leads", () => leads(url));
  return {
    url,
    client: createClient({ server: url, token: TOKEN }),
    token: TOKEN,
    pid: child.pid as number,
    dataDir,
    errors: () => errors,
    stop: async () => {
      await ended(child, "SIGTERM");
      rmSync(dataDir, { recursive: true, force: true });
    },
    kill: () => ended(child, "SIGKILL"),
  };
}

/** Whether it says that it leads. */
export async function leads(url: string): Promise<boolean> {
  const answer = await fetch(`${url}/api/v1/health`).catch(() => null);
  if (answer?.ok !== true) return false;
  return ((await answer.json()) as { leading: boolean }).leading;
}

export interface Agent {
  outputDir: string;
  pid: number;
  stop(): Promise<void>;
}

/** Starts a real agent with so many slots and waits until it is READY. */
export async function startAgent(server: Server, cpus: number): Promise<Agent> {
  const outputDir = runDirectory("agent");
  const created = await server.client.call("createEnrolmentToken", { body: { note: "bench" } });
  const env = {
    ...process.env,
    API_URL: server.url,
    OUTPUT_DIR: outputDir,
    WORKER_ID: `bench-${process.pid}`,
    AIRAVATA_ENROLMENT_TOKEN: created.token,
    LOG_LEVEL: process.env.LOG_LEVEL ?? "warn",
    NODE_OPTIONS: [process.env.NODE_OPTIONS ?? "", ...profileOptions("agent")].join(" "),
  };
  const child = spawn(LAUNCHER, ["agent", "--cpus", String(cpus)], { env, stdio: ["ignore", "ignore", "inherit"] });
  endWithUs(child);
  await until("the agent is READY", async () => {
    const page = await server.client.call("listAgents", { query: {} });
    return page.items.some((agent) => agent.state === "READY");
  });
  return {
    outputDir,
    pid: child.pid as number,
    stop: async () => {
      await ended(child, "SIGTERM");
      rmSync(outputDir, { recursive: true, force: true });
    },
  };
}

/** Whatever ends the benchmark ends what it started. */
function endWithUs(child: ChildProcess): void {
  const kill = (): void => void child.kill("SIGKILL");
  process.once("exit", kill);
  child.once("exit", () => process.off("exit", kill));
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  await gone;
}

/** The coordinator says where it listens on its standard output. */
function urlOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    child.stdout?.on("data", (data: Buffer) => {
      text += data.toString();
      const match = /http:\/\/[^\s"]+/.exec(text);
      if (match) resolve(match[0]);
    });
    child.once("exit", (code) => reject(new Error(`the coordinator ended with ${code} before it listened`)));
  });
}

/** Waits for a condition; rejects with its name when it does not come. */
export async function until(
  what: string,
  isSo: () => Promise<boolean> | boolean,
  timing: { limitMs?: number; periodMs?: number } = {},
): Promise<void> {
  const { limitMs = READY_MS, periodMs = 20 } = timing;
  const deadline = performance.now() + limitMs;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`not so within ${limitMs / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, periodMs));
  }
}
