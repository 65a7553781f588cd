/** (e) A large fleet that does nothing: what each of its agents costs the coordinator, and how soon all are back after its death. */
import { type ChildProcess, fork } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { generateIdentityKey } from "../../../shared/identity/identity.ts";
import type { Benchmark, Outcome, Setting } from "../benchmark.ts";
import { profilePath } from "../profile/options.ts";
import { amount, atMost } from "../report/goal.ts";
import { cpuMsOfTree } from "../report/measure.ts";
import { textTable } from "../report/table.ts";
import { type Server, startServer, until } from "../system/coordinator.ts";
import { figureOf } from "../system/figures.ts";
import type { FleetAnswer, FleetRequest, Member } from "./fleet.ts";
import { Inspector, type Memory } from "./inspector.ts";

const TITLE = "(e) idle agents, real sockets and keys";
const AGENTS = 10_000;
const QUICK_AGENTS = 1_000;
const PROCESSES = 4;
/** Connected before the first look, so that code and pools are not counted as theirs. */
const FIRST = 100;
/** A heartbeat is a quarter of it: 10 s. */
const TTL_MS = 40_000;
const CPU_WINDOW_MS = 30_000;
const BACK_LIMIT_MS = 120_000;

export const agents: Benchmark = {
  title: TITLE,
  run: async ({ database, quick, say }: Setting): Promise<Outcome> => {
    const count = quick ? QUICK_AGENTS : AGENTS;
    const url = await database.create("bench_agents");
    const members = await enrolled(url, count);
    say(`${count} agents are enrolled`);
    const server = await start(url, 0);
    const inspector = await Inspector.open(server.errors(), server.pid);
    const fleet = new Fleet();
    await fleet.begin(server.url, members.slice(0, FIRST));
    await fleet.all(FIRST, BACK_LIMIT_MS);
    const before = await inspector.memory();
    await fleet.begin(server.url, members.slice(FIRST));
    const cameMs = await fleet.all(count, BACK_LIMIT_MS);
    say(`all were connected after ${amount(cameMs / 1000)} s`);
    const after = await inspector.memory();
    const path = profilePath("coordinator-idle");
    const profiled = path === undefined ? undefined : await inspector.profile(path);
    const cpu = await cpuShare(server.pid, quick ? CPU_WINDOW_MS / 3 : CPU_WINDOW_MS);
    await profiled?.();
    const seen = await figureOf(server, "workers_active");
    if (seen !== count) throw new Error(`the coordinator counts ${seen} sessions of ${count}`);
    inspector.close();
    const refusedBefore = fleet.refused;
    const port = Number(new URL(server.url).port);
    await server.kill();
    const killed = performance.now();
    await fleet.fewerThan(count);
    const second = await start(url, port);
    const leadsMs = performance.now() - killed;
    await fleet.all(count, BACK_LIMIT_MS);
    const backMs = performance.now() - killed;
    await fleet.count();
    const refused = fleet.refused - refusedBefore;
    fleet.close();
    await second.stop();
    return outcomeOf({ count, before, after, cpu, leadsMs, backMs, refused });
  },
};

function start(url: string, port: number): Promise<Server> {
  const words = ["--session-ttl", `${TTL_MS / 1000}s`];
  return startServer(url, { port, words, nodeOptions: ["--inspect=127.0.0.1:0"] });
}

interface Measured {
  count: number;
  before: Memory;
  after: Memory;
  /** Of one core. */
  cpu: number;
  leadsMs: number;
  backMs: number;
  refused: number;
}

function outcomeOf(measured: Measured): Outcome {
  const { count, before, after, cpu, leadsMs, backMs, refused } = measured;
  const each = (pick: (memory: Memory) => number): number => (pick(after) - pick(before)) / (count - FIRST) / 1000;
  const resident = each(({ residentBytes }) => residentBytes);
  const rows = [
    ["resident memory each, kB", amount(resident)],
    ["live objects each, kB", amount(each(({ heapBytes }) => heapBytes))],
    ["buffers each, kB", amount(each(({ externalBytes }) => externalBytes))],
    ["CPU of the coordinator, % of a core", amount(cpu * 100)],
    ["killed → a new one leads, s", amount(leadsMs / 1000)],
    ["killed → all back, s", amount(backMs / 1000)],
    ["tries that were refused meanwhile", String(refused)],
  ];
  return {
    text: textTable(`${TITLE}: ${count.toLocaleString("en")}, heartbeat ${TTL_MS / 4000} s`, ["", ""], rows),
    goals: [
      atMost("memory of the coordinator for each", resident, 20, "kB"),
      atMost("CPU at a heartbeat of 10 s", cpu * 100, 5, "% of a core"),
      atMost("all back after kill -9 and start", backMs / 1000, 10, "s"),
    ],
    figures: measured,
  };
}

/** Identities as enrolment makes them, written at once: ten thousand requests would measure something else. */
async function enrolled(url: string, count: number): Promise<Member[]> {
  const keys = Array.from({ length: count }, generateIdentityKey);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query<{ agent: number; name: string }>(
    `insert into agent (name, public_key)
     select 'node' || n, decode(key, 'base64') from unnest($1::text[]) with ordinality as k(key, n)
     returning agent::int, name`,
    [keys.map(({ publicKey }) => publicKey)],
  );
  await client.end();
  return rows.map(({ agent, name }) => {
    const key = keys[Number(name.slice(4)) - 1]?.privatePem as string;
    return { agent, name, key };
  });
}

async function cpuShare(pid: number, windowMs: number): Promise<number> {
  const start = performance.now();
  const cpu = cpuMsOfTree(pid);
  await sleep(windowMs);
  return (cpuMsOfTree(pid) - cpu) / (performance.now() - start);
}

/** The client processes together; each has a source address of its own, so that ports do not run out. */
class Fleet {
  refused = 0;
  private readonly processes: ChildProcess[] = [];
  private readonly script = fileURLToPath(new URL("fleet.ts", import.meta.url));

  constructor() {
    for (let i = 0; i < PROCESSES; i++) {
      const child = fork(this.script, [], { execPath: process.execPath, execArgv: [] });
      process.once("exit", () => child.kill("SIGKILL"));
      this.processes.push(child);
    }
  }

  async begin(url: string, members: Member[]): Promise<void> {
    this.processes.forEach((child, i) => {
      const share = members.filter((_, n) => n % PROCESSES === i);
      const address = `127.0.0.${2 + i}`;
      const request = {
        type: "begin" as const,
        url,
        members: share,
        address,
        ttlMs: TTL_MS,
        spreadMs: share.length * 2,
      };
      child.send(request satisfies FleetRequest);
    });
  }

  async count(): Promise<number> {
    const answers = await Promise.all(
      this.processes.map((child) => {
        const answer = new Promise<FleetAnswer>((resolve) => child.once("message", resolve));
        child.send({ type: "count" } satisfies FleetRequest);
        return answer;
      }),
    );
    this.refused = answers.reduce((sum, { refused }) => sum + refused, 0);
    return answers.reduce((sum, { welcomed }) => sum + welcomed, 0);
  }

  /** Resolves with the ms that it took until so many are welcomed. */
  async all(count: number, limitMs: number): Promise<number> {
    const start = performance.now();
    await until(`${count} agents are welcomed`, async () => (await this.count()) === count, { limitMs, periodMs: 50 });
    return performance.now() - start;
  }

  async fewerThan(count: number): Promise<void> {
    await until("the fleet has noticed", async () => (await this.count()) < count, { periodMs: 5 });
  }

  close(): void {
    for (const child of this.processes) child.kill("SIGKILL");
  }
}
