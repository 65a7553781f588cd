/**
 * PostgreSQL, a coordinator and an agent as processes of their own, each to be killed and started again by a test. The
 * directory with logs and state stays when the test fails.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type pg from "pg";
import { parseDatabaseUrl } from "../../db/address.ts";
import { type Connection, openConnection } from "../../db/connection.ts";
import type { Agent } from "../../shared/api/agent.ts";
import { type ApiError, type Client, createClient } from "../../shared/api/client.ts";
import type { ExperimentDetail } from "../../shared/api/experiment.ts";
import type { Health } from "../../shared/api/health.ts";
import type { Attempt } from "../../shared/api/task.ts";
import { PAGE_ITEMS_MAX } from "../../shared/model/constants.ts";
import { AIRAVATA } from "./cli.ts";
import { TEST_SIGNING_KEY } from "./coordinator.ts";
import { FaultProcess, processesBelow, runnerProcesses, until } from "./fault-process.ts";
import { type Cluster, type ClusterOptions, startCluster } from "./postgres/cluster.ts";

export interface StackOptions {
  /** Processors that the agent states; 2 when silent. */
  cpus?: number;
  /** How long the agent may be silent before its tasks are given away; 20s when silent. */
  sessionTtl?: string;
  /** Flags of the coordinator beside what every stack has. */
  coordinatorWords?: string[];
  /** Another `bin/airavata` than this checkout's; a test may set `command.program` of a process later. */
  program?: string;
  /** True: the database is empty, and the first coordinator brings it to the schema of its program. */
  empty?: boolean;
  /** Of the server of PostgreSQL. */
  cluster?: Pick<ClusterOptions, "settings" | "directory">;
  /** The agent's program instead of this checkout's. */
  agentProgram?: string;
  /** What the agent is started with beside what every one has. */
  agentWords?: string[];
  /** Where the agent keeps its files; within the test's directory when silent. */
  outputDir?: string;
}

const TOKEN = "aop_for-tests-only-0123456789";
const DATABASE = "migrated";
const EMPTY_DATABASE = "empty";
const QUERY_TIMEOUT_MS = 60_000;

export class FaultStack {
  readonly directory: string;
  readonly cluster: Cluster;
  readonly outputDir: string;
  readonly coordinator: FaultProcess;
  agent!: FaultProcess;
  url = "";
  readonly #options: StackOptions;

  private constructor(options: StackOptions, directory: string, cluster: Cluster) {
    this.#options = options;
    this.directory = directory;
    this.cluster = cluster;
    this.outputDir = options.outputDir ?? join(directory, "agent");
    this.coordinator = this.newCoordinator("coordinator", 0);
  }

  /** Starts all of it, waits until the agent is READY, and ends it after `body`; the directory stays when that fails. */
  static async with(options: StackOptions, body: (stack: FaultStack) => Promise<void>): Promise<void> {
    const directory = mkdtempSync(join(tmpdir(), "airavata-fault-"));
    const cluster = await startCluster({ version: "embedded", durable: true, ...options.cluster });
    const stack = new FaultStack(options, directory, cluster);
    try {
      if (options.empty) await stack.createDatabase();
      await stack.start();
      await body(stack);
    } catch (error) {
      console.log(`what was left is in ${directory}`);
      throw error;
    } finally {
      await stack.end();
    }
    if (process.env.AIRAVATA_FAULT_KEEP !== undefined) console.log(`kept: ${directory}`);
    else rmSync(directory, { recursive: true, force: true });
  }

  private async createDatabase(): Promise<void> {
    const admin = await openConnection(parseDatabaseUrl(this.cluster.url("postgres")), { name: "fault" });
    await admin.query(`create database ${EMPTY_DATABASE}`, QUERY_TIMEOUT_MS);
    await admin.end();
  }

  private async start(): Promise<void> {
    this.coordinator.start();
    this.url = await listening(this.coordinator);
    await this.leads();
    // Its later lives listen where the agent and the client know it.
    this.coordinator.command.words.splice(1, 2, "--port", new URL(this.url).port);
    this.agent = await this.startAgent("agent", this.outputDir, this.url);
  }

  /** A further agent, which dials `url`; resolves when it is READY. The caller ends it, and the runners of its directory. */
  async startAgent(
    name: string,
    outputDir: string,
    url: string,
    program = this.#options.agentProgram ?? this.#options.program ?? AIRAVATA,
  ): Promise<FaultProcess> {
    mkdirSync(outputDir, { recursive: true });
    const { token } = await this.client.call("createEnrolmentToken", { body: { note: name } });
    const env: NodeJS.ProcessEnv = {
      ...process.env,
      API_URL: url,
      OUTPUT_DIR: outputDir,
      WORKER_ID: name,
      AIRAVATA_ENROLMENT_TOKEN: token,
      LOG_LEVEL: "info",
    };
    const { cpus = 2, agentWords = [] } = this.#options;
    const words = ["agent", "--cpus", String(cpus), "--memory", "64GiB", ...agentWords];
    const log = join(this.directory, `${name}.log`);
    const agent = new FaultProcess({ name, program, words, env, log });
    agent.start();
    await this.agentIs("READY", name);
    // It has its identity now; a token would make its next life enrol anew.
    delete env.AIRAVATA_ENROLMENT_TOKEN;
    return agent;
  }

  /** Where the journal is. */
  get databaseUrl(): string {
    return this.cluster.url(this.#options.empty ? EMPTY_DATABASE : DATABASE);
  }

  get client(): Client {
    return createClient({ server: this.url, token: TOKEN });
  }

  /** For the client's program. */
  get clientEnvironment(): NodeJS.ProcessEnv {
    return {
      ...process.env,
      AIRAVATA_SERVER: this.url,
      AIRAVATA_TOKEN: TOKEN,
      NO_COLOR: "1",
      XDG_CONFIG_HOME: "/none",
    };
  }

  /** A further coordinator on the same database; the caller starts and ends it. */
  newCoordinator(name: string, port: number): FaultProcess {
    const { sessionTtl = "20s", coordinatorWords = [] } = this.#options;
    const words = ["both", "--port", String(port), "--session-ttl", sessionTtl, ...coordinatorWords];
    const env = {
      ...process.env,
      DATABASE_URL: this.databaseUrl,
      AIRAVATA_OPERATOR_TOKEN: TOKEN,
      JWT_SECRET_KEY: TEST_SIGNING_KEY,
      AIRAVATA_DATA_DIR: join(this.directory, name),
      LOG_LEVEL: "info",
    };
    return new FaultProcess({
      name,
      program: this.#options.program ?? AIRAVATA,
      words,
      env,
      log: join(this.directory, `${name}.log`),
    });
  }

  async leads(url = this.url): Promise<void> {
    await until("the coordinator leads", async () => {
      const health = await fetchQuietly(`${url}/api/v1/health`);
      return health?.ok && ((await health.json()) as Health).leading;
    });
  }

  async agentIs(state: string, name = "agent"): Promise<void> {
    await until(`${name} is ${state}`, async () => (await this.agentRecord(name))?.state === state);
  }

  /** The agent as the coordinator sees it; undefined while that is away. */
  async agentRecord(name = "agent"): Promise<Agent | undefined> {
    const page = await this.client.call("listAgents", { query: {} }).catch(() => undefined);
    return page?.items.find((agent) => agent.name === name);
  }

  submit(spec: Record<string, unknown>): Promise<number> {
    return this.client.call("submitExperiment", { body: { spec } }).then(({ id }) => id);
  }

  experiment(id: number): Promise<ExperimentDetail> {
    return this.client.call("getExperiment", { params: { experiment: id }, query: {} });
  }

  /** Waits for the experiment's end; a coordinator that is away for a moment is waited for. */
  async ended(id: number, timeoutMs = 60_000): Promise<ExperimentDetail> {
    return until(
      `experiment ${id} ends`,
      async () => {
        const experiment = await this.experiment(id).catch((error: ApiError) => {
          if (error.status !== undefined && error.status < 500) throw error;
          return undefined;
        });
        return experiment !== undefined && experiment.ended_at !== null && experiment;
      },
      timeoutMs,
    );
  }

  /** How many tasks are in which state, counted by reading all of them. */
  async taskStates(experiment: number): Promise<Record<string, number>> {
    const seen = new Set<string>();
    const states: Record<string, number> = {};
    for (let cursor: string | undefined; ; ) {
      const query = { limit: PAGE_ITEMS_MAX, cursor };
      const { items, next_cursor } = await this.client.call("listTasks", { params: { experiment }, query });
      for (const { id, state } of items) {
        if (seen.has(id)) throw new Error(`task ${id} is listed twice`);
        seen.add(id);
        states[state] = (states[state] ?? 0) + 1;
      }
      if (next_cursor === null) return states;
      cursor = next_cursor;
    }
  }

  /** When its first attempt started; waits for that attempt's end, which carries the time. */
  firstStart(task: string): Promise<Date> {
    return until(`${task} has run`, async () => {
      const at = (await this.attempts(task))[0]?.started_at;
      return at !== null && at !== undefined && new Date(at);
    });
  }

  async attempts(task: string): Promise<Attempt[]> {
    return (await this.client.call("listAttempts", { params: { task }, query: {} })).items;
  }

  async lastAttempt(task: string): Promise<Attempt> {
    const attempts = await this.attempts(task);
    return attempts.reduce((last, other) => (other.attempt > last.attempt ? other : last));
  }

  /** Text of a log or a part of it, a character per byte. */
  async log(task: string, query: { stream?: "stdout" | "stderr"; offset?: number; limit?: number } = {}) {
    const response = await this.client.open("readLog", {
      params: { task },
      query: { stream: "stdout", offset: 0, follow: "false", ...query },
    });
    const totalBytes = Number(response.headers.get("airavata-total-bytes"));
    return { text: Buffer.from(await response.arrayBuffer()).toString("latin1"), totalBytes };
  }

  /** A session of ours on the journal's database, which the caller ends. */
  connection(): Promise<Connection> {
    return openConnection(parseDatabaseUrl(this.databaseUrl), { name: "fault" });
  }

  /** Rows of a query on the journal's own database. */
  async rows<R extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<R[]> {
    const connection = await this.connection();
    try {
      return await connection.rows<R>(text, values, QUERY_TIMEOUT_MS);
    } finally {
      await connection.end();
    }
  }

  async end(): Promise<void> {
    await this.agent?.kill("SIGKILL");
    await this.coordinator.kill("SIGKILL");
    await endRunners(this.outputDir);
    await this.cluster.stop();
  }
}

/**
 * Ends what an agent leaves behind: its supervisor first, which would start runners again, then the runners, then the tasks,
 * which nobody else would end now.
 */
export async function endRunners(outputDir: string): Promise<void> {
  await until("runners and their tasks have ended", () => {
    const supervisors = runnerProcesses(outputDir, "supervise");
    const runners = supervisors.length > 0 ? supervisors : runnerProcesses(outputDir, "run");
    const left = runners.length > 0 ? runners : processesBelow(outputDir);
    left.forEach(kill);
    return left.length === 0;
  });
}

/** Kills a process that may have ended. */
export function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended meanwhile.
  }
}

/** The address that a coordinator says it listens on. */
export function listening(coordinator: FaultProcess): Promise<string> {
  return until("the coordinator listens", () => {
    if (coordinator.ended !== undefined) {
      throw new Error(
        `it ended with ${coordinator.ended}:\n${readFileSync(coordinator.command.log, "utf8").slice(-2_000)}`,
      );
    }
    return /http:\/\/\S+/.exec(coordinator.said)?.[0];
  });
}

function fetchQuietly(url: string): Promise<Response | null> {
  return fetch(url).catch(() => null);
}
