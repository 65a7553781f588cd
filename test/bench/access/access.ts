/**
 * (i) What asking who may do what costs: one experiment shown to a member, by turns by a coordinator that asks and one that
 * does not; and 500 experiments listed out of many to a member of three projects of a hundred.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { Agent as KeepAlive, request } from "node:http";
import { fileURLToPath } from "node:url";
import { createClient } from "../../../shared/api/client.ts";
import { createUser } from "../../support/users.ts";
import type { Benchmark, Outcome, Setting } from "../benchmark.ts";
import { atMost } from "../report/goal.ts";
import { percentile } from "../report/statistics.ts";
import { textTable } from "../report/table.ts";
import { runDirectory } from "../system/ending.ts";

const TITLE = "(i) authorization: show one experiment, list 500 of many, ms";
const PROGRAM = fileURLToPath(new URL("server.ts", import.meta.url));
const TOKEN = `bench-${"t".repeat(40)}`;
const PROJECTS = 100;
const MEMBER_OF = 3;
const LISTED = 500;
const SUBMITTING = 64;

interface Server {
  url: string;
  stop(): Promise<void>;
}

export const access: Benchmark = {
  title: TITLE,
  run: async ({ database, quick, say }: Setting): Promise<Outcome> => {
    const [asking, open] = [
      await start(await database.create("bench_access"), "asking"),
      await start(await database.create("bench_access_open"), "open"),
    ];
    const experiments = quick ? 5_000 : 100_000;
    const member = await fill(asking.url, experiments, say);
    await fill(open.url, PROJECTS, say);
    const shows = { asking: [] as number[], open: [] as number[] };
    const [ask, bare] = [getter(asking.url, member), getter(open.url, TOKEN)];
    // The first experiment belongs to the first project, of which the member is one.
    for (let i = -50; i < (quick ? 300 : 3_000); i++) {
      const pair = [await ask("/api/v1/experiments/1"), await bare("/api/v1/experiments/1")] as const;
      if (i < 0) continue;
      shows.asking.push(pair[0]);
      shows.open.push(pair[1]);
    }
    const lists: number[] = [];
    for (let i = -5; i < (quick ? 30 : 200); i++) {
      const ms = await ask(
        `/api/v1/experiments?limit=${LISTED}`,
        experiments / PROJECTS >= LISTED ? LISTED : undefined,
      );
      if (i >= 0) lists.push(ms);
    }
    await asking.stop();
    await open.stop();
    const row = (name: string, samples: number[]): string[] => [
      name,
      ...[0.5, 0.9, 0.99].map((part) => percentile(samples, part).toFixed(2)),
    ];
    const ratio = percentile(shows.asking, 0.5) / percentile(shows.open, 0.5);
    return {
      text: textTable(
        `${TITLE}; ${experiments} experiments`,
        ["", "p50", "p90", "p99"],
        [
          row("show, asked each time", shows.asking),
          row("show, nobody asked", shows.open),
          row(`list of ${LISTED}, a member of ${MEMBER_OF} of ${PROJECTS} projects`, lists),
        ],
      ),
      goals: [
        atMost("show, asking against not asking", ratio, 1.1, "×"),
        atMost(`list of ${LISTED}, p50`, percentile(lists, 0.5), 50, "ms"),
      ],
      figures: { ...shows, lists },
    };
  },
};

async function start(databaseUrl: string, how: "asking" | "open"): Promise<Server> {
  const env = {
    ...process.env,
    DATABASE_URL: databaseUrl,
    AIRAVATA_OPERATOR_TOKEN: TOKEN,
    AIRAVATA_DATA_DIR: runDirectory("access"),
    JWT_SECRET_KEY: "bench-only-0123456789-abcdefghijklmnopqrstuvwxyz",
    RATE_LIMIT_ENABLED: "false",
  };
  const child = spawn(process.execPath, [...process.execArgv, PROGRAM, how], {
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  return { url: await said(child), stop: () => ended(child) };
}

function said(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    child.stdout?.on("data", (data: Buffer) => {
      const url = /http:\/\/\S+/.exec(data.toString())?.[0];
      if (url) resolve(url);
    });
    child.once("exit", (code) => reject(new Error(`the coordinator ended with ${code} before it listened`)));
  });
}

async function ended(child: ChildProcess): Promise<void> {
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await gone;
}

/** Projects, their experiments, and somebody who is a member of the first ones; resolves with his token. */
async function fill(server: string, experiments: number, say: (line: string) => void): Promise<string> {
  const operator = createClient({ server, token: TOKEN });
  const projects = Array.from({ length: PROJECTS }, (_, i) => `project-${i}`);
  for (const name of projects) await operator.call("createProject", { body: { name } });
  const member = await createUser({ client: operator, url: server }, { username: "member" });
  for (const project of projects.slice(0, MEMBER_OF)) {
    await operator.call("setProjectMember", { params: { project }, body: { user: "member", role: "submitter" } });
  }
  let next = 0;
  const submit = async (): Promise<void> => {
    while (next < experiments) {
      const project = projects[next++ % PROJECTS];
      const spec = { version: 1, name: "bench", project, tasks: { task: { argv: ["/bin/true"] } } };
      await operator.call("submitExperiment", { body: { spec } });
      if (next % 20_000 === 0) say(`${next} of ${experiments} experiments`);
    }
  };
  await Promise.all(Array.from({ length: SUBMITTING }, submit));
  return member.login.access_token;
}

/** Asks over one connection that it keeps; resolves with how long it took. */
function getter(server: string, token: string): (path: string, items?: number) => Promise<number> {
  const agent = new KeepAlive({ keepAlive: true, maxSockets: 1 });
  const headers = { authorization: `Bearer ${token}` };
  return (path, items) =>
    new Promise((resolve, reject) => {
      const asked = performance.now();
      const sent = request(server + path, { agent, headers }, (answer) => {
        let text = "";
        answer.setEncoding("utf8").on("data", (data) => {
          text += data;
        });
        answer.once("end", () => {
          const ms = performance.now() - asked;
          const isWhole = items === undefined || JSON.parse(text).items.length === items;
          if (answer.statusCode === 200 && isWhole) resolve(ms);
          else reject(new Error(`${path} was answered with ${answer.statusCode}: ${text.slice(0, 200)}`));
        });
      });
      sent.once("error", reject);
      sent.end();
    });
}
