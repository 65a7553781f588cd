/** Our own processes under measurement: a coordinator on the benchmark's database, and a real agent beside it. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Client, createClient } from "../../shared/api/client.ts";

const LAUNCHER = fileURLToPath(new URL("../../bin/airavata", import.meta.url));
const READY_MS = 20_000;

export interface Server {
  url: string;
  client: Client;
  pid: number;
  dataDir: string;
  stop(): Promise<void>;
}

/** Starts `airavata both` and waits until it leads. */
export async function startServer(databaseUrl: string): Promise<Server> {
  const dataDir = mkdtempSync(join(tmpdir(), "airavata-bench-"));
  const env = { ...process.env, DATABASE_URL: databaseUrl, AIRAVATA_DATA_DIR: dataDir, LOG_LEVEL: "warn" };
  const child = spawn(LAUNCHER, ["both", "--port", "0"], { env, stdio: ["ignore", "pipe", "inherit"] });
  endWithUs(child);
  const url = await urlOf(child);
  const token = readFileSync(join(dataDir, "token"), "utf8").trim();
  await until(
    "the coordinator leads",
    async () => (await fetch(`${url}/api/v1/health/ready`).catch(() => null))?.ok === true,
  );
  return {
    url,
    client: createClient({ server: url, token }),
    pid: child.pid as number,
    dataDir,
    stop: async () => {
      await ended(child);
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

/** Starts a real agent with so many slots and waits until it is READY. */
export async function startAgent(server: Server, cpus: number): Promise<{ outputDir: string; stop(): Promise<void> }> {
  const outputDir = mkdtempSync(join(tmpdir(), "airavata-bench-agent-"));
  const created = await server.client.call("createEnrolmentToken", { body: { note: "bench" } });
  const env = {
    ...process.env,
    API_URL: server.url,
    OUTPUT_DIR: outputDir,
    WORKER_ID: `bench-${process.pid}`,
    AIRAVATA_ENROLMENT_TOKEN: created.token,
    LOG_LEVEL: "warn",
  };
  const child = spawn(LAUNCHER, ["agent", "--cpus", String(cpus)], { env, stdio: ["ignore", "ignore", "inherit"] });
  endWithUs(child);
  await until("the agent is READY", async () => {
    const page = await server.client.call("listAgents", { query: {} });
    return page.items.some((agent) => agent.state === "READY");
  });
  return {
    outputDir,
    stop: async () => {
      await ended(child);
      rmSync(outputDir, { recursive: true, force: true });
    },
  };
}

/** Whatever ends the benchmark ends what it started. */
function endWithUs(child: ChildProcess): void {
  process.once("exit", () => child.kill("SIGKILL"));
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
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

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + READY_MS;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`not so within ${READY_MS / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
