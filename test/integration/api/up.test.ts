/**
 * `airavata up` as a process of its own: a whole stack below one directory, its agent, its ends and its second life after
 * kill -9.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { identify } from "../../../coordinator/stack/process.ts";
import { type Client, createClient } from "../../../shared/api/client.ts";
import { until } from "../../support/agent-peer.ts";
import { TEST_SIGNING_KEY } from "../../support/coordinator.ts";
import { freshDatabase } from "../../support/postgres.ts";

const BIN = fileURLToPath(new URL("../../../bin/airavata", import.meta.url));
/** The first start makes a database; the machine may be busy with other tests. */
const START_MS = 60_000;

interface Stack {
  process: ChildProcess;
  url: string;
  client: Client;
  errors(): string;
  ended: Promise<number | null>;
}

function dataDirectory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "airavata up "));
  t.after(async () => {
    // Agents and supervisors that a test left on purpose.
    for (const file of ["agents/local-1/agent.json"]) {
      const pid = JSON.parse(read(join(path, file)) ?? "{}").pid;
      if (typeof pid === "number") killQuietly(pid);
    }
    rmSync(path, { recursive: true, force: true, maxRetries: 5 });
  });
  return path;
}

function read(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // Gone.
  }
}

function launch(t: TestContext, dataDir: string, args: string[] = []): Omit<Stack, "url" | "client"> {
  const child = spawn(BIN, ["up", "--port", "0", "--data-dir", dataDir, "--log-format", "text", ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, DATABASE_URL: "", AIRAVATA_OPERATOR_TOKEN: "" },
  });
  let errors = "";
  child.stderr?.on("data", (chunk) => (errors += chunk));
  const ended = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
    await ended;
  });
  return { process: child, errors: () => errors, ended };
}

async function start(t: TestContext, dataDir: string, args: string[] = []): Promise<Stack> {
  const stack = launch(t, dataDir, args);
  let printed = "";
  stack.process.stdout?.on("data", (chunk) => (printed += chunk));
  await until(() => printed.includes("\n") || stack.process.exitCode !== null, "the URL", START_MS);
  assert.match(printed, /^http:\/\/127\.0\.0\.1:\d+\n/, stack.errors());
  const url = printed.split("\n")[0] as string;
  const token = readFileSync(join(dataDir, "token"), "utf8").trim();
  return { ...stack, url, client: createClient({ server: url, token }) };
}

async function agentReady({ client }: Stack): Promise<void> {
  await until(
    async () => (await client.call("listAgents", {})).items.some(({ state }) => state === "READY"),
    "a ready agent",
    30_000,
  );
}

async function completed({ client }: Stack, experiment: number): Promise<void> {
  await until(
    async () => (await client.call("getExperiment", { params: { experiment } })).state === "COMPLETED",
    "the experiment to complete",
    30_000,
  );
}

test("a stack runs an experiment, refuses a second one, revives its agent, and ends in order", async (t) => {
  const dataDir = dataDirectory(t);
  const stack = await start(t, dataDir);
  assert.equal(statSync(join(dataDir, "token")).mode & 0o777, 0o600);
  const named = JSON.parse(readFileSync(join(dataDir, "stack.json"), "utf8"));
  assert.equal(named.url, stack.url);
  assert.equal(named.pid, stack.process.pid);
  await agentReady(stack);
  const spec = "tasks: { a: { command: 'echo {n}', task_inputs: { n: 1..5 } } }";
  const { id } = await stack.client.call("submitExperiment", { body: { spec } });
  await completed(stack, id);

  const second = launch(t, dataDir);
  assert.notEqual(await second.ended, 0);
  assert.match(second.errors(), /runs already at http/);

  const agentFile = join(dataDir, "agents/local-1/agent.json");
  const { pid } = JSON.parse(readFileSync(agentFile, "utf8"));
  process.kill(pid, "SIGKILL");
  await until(() => JSON.parse(readFileSync(agentFile, "utf8")).pid !== pid, "another agent process", 30_000);
  await agentReady(stack);
  const { id: next } = await stack.client.call("submitExperiment", { body: { spec } });
  await completed(stack, next);
  assert.equal((await stack.client.call("listAgents", {})).items.length, 1);

  stack.process.kill("SIGTERM");
  assert.equal(await stack.ended, 0);
  assert.ok(!existsSync(join(dataDir, "stack.json")));
  assert.ok(!existsSync(agentFile));
});

test("after kill -9 the next stack takes over what is left, and a running task goes on", async (t) => {
  const dataDir = dataDirectory(t);
  const first = await start(t, dataDir);
  await agentReady(first);
  const marker = join(dataDir, "lines");
  const spec = `tasks: { a: { command: "for i in 1 2 3 4 5 6; do echo $$ >> '${marker}'; sleep 0.5; done" } }`;
  const { id } = await first.client.call("submitExperiment", { body: { spec } });
  await until(() => read(marker), "the task to start", 30_000);
  first.process.kill("SIGKILL");
  await first.ended;
  const second = await start(t, dataDir);
  await completed(second, id);
  const pids = new Set(read(marker)?.trim().split("\n"));
  assert.equal(pids.size, 1, "one process did all of it");
  const attempts = await second.client.call("listAttempts", { params: { task: `${id}.a.0` } });
  assert.deepEqual(
    attempts.items.map(({ attempt, outcome }) => [attempt, outcome]),
    [[1, "COMPLETED"]],
  );
  const agents = await second.client.call("listAgents", {});
  assert.equal(agents.items.length, 1);
});

test("a stack that nobody needs ends by itself, with its agent", async (t) => {
  const dataDir = dataDirectory(t);
  const stack = await start(t, dataDir, ["--idle-exit", "2s"]);
  await agentReady(stack);
  const agent = JSON.parse(readFileSync(join(dataDir, "agents/local-1/agent.json"), "utf8"));
  const spec = "tasks: { a: { command: 'sleep 4' } }";
  const begun = performance.now();
  await stack.client.call("submitExperiment", { body: { spec } });
  assert.equal(await stack.ended, 0);
  assert.ok(performance.now() - begun > 5_000, "not while a task runs");
  assert.equal(await identify(agent.pid), undefined);
});

test("server, daemon and both without DATABASE_URL say what to set", async (t) => {
  for (const command of ["server", "daemon", "both"]) {
    const child = spawn(BIN, [command, "--data-dir", dataDirectory(t)], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, DATABASE_URL: "" },
    });
    let errors = "";
    child.stderr.on("data", (chunk) => (errors += chunk));
    const code = await new Promise((resolve) => child.once("exit", resolve));
    assert.equal(code, 3);
    assert.match(errors, /set DATABASE_URL .* or use "airavata up"/);
  }
});

test("a signal ends a start that still waits, and a taken port is said in a sentence", async (t) => {
  const run = (args: string[], url: string) => {
    const child = spawn(BIN, ["server", "--data-dir", dataDirectory(t), "--log-format", "text", ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, DATABASE_URL: url, JWT_SECRET_KEY: TEST_SIGNING_KEY },
    });
    let errors = "";
    child.stderr.on("data", (chunk) => (errors += chunk));
    return { child, errors: () => errors, ended: new Promise((resolve) => child.once("exit", resolve)) };
  };
  const waiting = run(["--port", "0"], "postgres://u:p@127.0.0.1:1/d");
  await until(() => waiting.errors().includes("does not answer yet"), "it to wait", START_MS);
  waiting.child.kill("SIGTERM");
  assert.equal(await waiting.ended, 0);
  const database = await freshDatabase(t);
  const taken = createServer().listen(0, "127.0.0.1");
  t.after(() => taken.close());
  await until(() => taken.listening, "a taken port");
  const { port } = taken.address() as AddressInfo;
  const refused = run(["--port", String(port)], database.url);
  assert.equal(await refused.ended, 3);
  assert.match(refused.errors(), /another process listens there; choose another --port/);
});
