/**
 * What an agent costs before it does anything: memory of agent, supervisor and a runner at rest, and the time from the
 * start of its process to its first lease. As the sources run and as the single executable, taking turns; each round is a
 * process of its own on the same enrolled state directory, and the task waits before the agent is started.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { watch } from "../../../shared/api/watch.ts";
import type { Benchmark } from "../benchmark.ts";
import { amount, atMost, type Goal } from "../report/goal.ts";
import { median } from "../report/statistics.ts";
import { textTable } from "../report/table.ts";
import { type Server, startServer } from "../system/coordinator.ts";
import { runDirectory } from "../system/ending.ts";

const LAUNCHER = fileURLToPath(new URL("../../../bin/airavata", import.meta.url));
const EXECUTABLE = fileURLToPath(new URL("../../../dist/airavata", import.meta.url));
/** At rest: so long after the first task nothing happens any more but heartbeats. */
const REST_MS = 5_000;
const MIB = 1024 * 1024;

const COLUMNS = {
  leaseMs: "start to lease ms",
  agentMiB: "agent RSS MiB",
  anonymousMiB: "of it anonymous",
  supervisorMiB: "supervisor PSS MiB",
  runnerMiB: "runner PSS MiB",
};
type Figures = Record<keyof typeof COLUMNS, number>;

interface Form {
  name: string;
  program: string;
  outputDir: string;
  rounds: Figures[];
}

export const agentBenchmark: Benchmark = {
  title: "(h) an agent at rest, and from the start of its process to its first lease",
  run: async ({ database, rounds, quick, say }) => {
    const server = await startServer(await database.create("bench_agent"));
    const forms = [await form("sources", LAUNCHER, server)];
    if (existsSync(EXECUTABLE)) forms.push(await form("executable", EXECUTABLE, server));
    else say("dist/airavata is not there, so the single executable is left out: npm run build makes it");
    // A file that was just written lies in large pieces in the kernel's cache, and far more of it is counted as resident
    // than is used; as after a restart of the machine it is read from the disk. Then the first pass makes caches warm.
    for (const { program } of forms) execFileSync("dd", [`if=${program}`, "iflag=nocache", "count=0", "status=none"]);
    for (let pass = 0; pass <= (quick ? 1 : Math.max(5, rounds)); pass++) {
      for (const { name, program, outputDir, rounds: done } of forms) {
        const figures = await oneRound(program, outputDir, server);
        say(
          `${pass === 0 ? "warm-up" : `round ${pass}`}  ${name}: ${amount(figures.leaseMs)} ms, ${amount(figures.agentMiB)} MiB`,
        );
        if (pass > 0) done.push(figures);
      }
    }
    await server.stop();
    const names = Object.keys(COLUMNS) as (keyof Figures)[];
    const rows = forms.map(({ name, rounds: done }) => [
      name,
      ...names.map((column) => amount(medianOf(done, column))),
    ]);
    const text = textTable(agentBenchmark.title, ["agent", ...Object.values(COLUMNS)], rows);
    return { text, goals: forms.flatMap(goalsOf), figures: forms };
  },
};

function goalsOf({ name, rounds }: Form): Goal[] {
  return [
    atMost(`${name}: idle memory`, medianOf(rounds, "agentMiB"), 65, "MiB resident"),
    atMost(`${name}: supervisor`, medianOf(rounds, "supervisorMiB"), 1, "MiB proportional"),
    atMost(`${name}: runner`, medianOf(rounds, "runnerMiB"), 1, "MiB proportional"),
    atMost(`${name}: start to first lease`, medianOf(rounds, "leaseMs"), 200, "ms"),
  ];
}

function medianOf(rounds: Figures[], column: keyof Figures): number {
  return median(rounds.map((figures) => figures[column]));
}

async function form(name: string, program: string, server: Server): Promise<Form> {
  const outputDir = runDirectory("agent");
  const { token } = await server.client.call("createEnrolmentToken", { body: { note: "bench" } });
  const env = { ...environment(outputDir, server), WORKER_ID: `bench-${name}`, AIRAVATA_ENROLMENT_TOKEN: token };
  execFileSync(program, ["enrol"], { env, stdio: ["ignore", "ignore", "inherit"] });
  return { name, program, outputDir, rounds: [] };
}

function environment(outputDir: string, server: Server): NodeJS.ProcessEnv {
  return { ...process.env, API_URL: server.url, OUTPUT_DIR: outputDir, LOG_LEVEL: "warn" };
}

async function oneRound(program: string, outputDir: string, server: Server): Promise<Figures> {
  const over = new AbortController();
  const messages = watch({ server: server.url, token: server.token, subscribe: {}, signal: over.signal });
  await messages.next();
  const tasks = { task: { argv: ["/bin/true"], requires: { cpu: 1, ram_gb: 0.001, disk_gb: 0 } } };
  const { id } = await server.client.call("submitExperiment", { body: { spec: { version: 1, name: "first", tasks } } });
  const start = performance.now();
  const env = environment(outputDir, server);
  const child = spawn(program, ["agent", "--cpus", "1"], { env, stdio: ["ignore", "ignore", "inherit"] });
  let leaseMs = 0;
  for await (const message of messages) {
    if (message.type === "tasks.leased" && message.experiment === id) leaseMs = performance.now() - start;
    if (message.type === "experiment.ended" && message.experiment === id) break;
  }
  over.abort();
  await new Promise((resolve) => setTimeout(resolve, REST_MS));
  const runners = join(outputDir, "state", "runners");
  const supervisor = Number(/^pid (\d+)/.exec(readFileSync(join(runners, "supervisor.lock"), "utf8"))?.[1]);
  // The page of a lane begins with magic, version, lane, and the process id of its runner.
  const runner = readFileSync(join(runners, "lane-0.state")).readInt32LE(12);
  const figures = {
    leaseMs,
    agentMiB: mebibytes(child.pid as number, "status", "VmRSS"),
    anonymousMiB: mebibytes(child.pid as number, "status", "RssAnon"),
    supervisorMiB: mebibytes(supervisor, "smaps_rollup", "Pss"),
    runnerMiB: mebibytes(runner, "smaps_rollup", "Pss"),
  };
  await ended(child);
  return figures;
}

/** A line `Name:  123 kB` of a process's file in /proc. */
function mebibytes(pid: number, file: string, name: string): number {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(readFileSync(`/proc/${pid}/${file}`, "utf8"));
  if (match === null) throw new Error(`/proc/${pid}/${file} says nothing about ${name}`);
  return (Number(match[1]) * 1024) / MIB;
}

async function ended(child: ChildProcess): Promise<void> {
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await gone;
}
