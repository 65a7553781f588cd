/**
 * `npm run bench`: what the system costs, as ratios within one run. `-- --only NAME[,NAME]` chooses benchmarks, `--rounds N`
 * sets the interleaved rounds, `--quick` shrinks the work, `--json FILE` writes the figures, `--profile` shows where the
 * time goes.
 */
import { rmSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Benchmark, Outcome, Setting } from "./benchmark.ts";
import { BENCHMARKS } from "./benchmarks.ts";
import { watchBackends } from "./profile/backends.ts";
import { profileInto } from "./profile/options.ts";
import { profileTables } from "./profile/top.ts";
import { goalLine } from "./report/goal.ts";
import { startDatabase } from "./system/database.ts";
import { beginRun } from "./system/ending.ts";

const PROFILES = fileURLToPath(new URL("../../build/profile", import.meta.url));

const options = parseArgs({
  options: {
    only: { type: "string" },
    rounds: { type: "string", default: "3" },
    quick: { type: "boolean", default: false },
    json: { type: "string" },
    profile: { type: "boolean", default: false },
  },
}).values;

const say = (line: string): void => void process.stderr.write(`${line}\n`);

async function runOne(name: string, benchmark: Benchmark, setting: Setting): Promise<Outcome> {
  say(`\n${benchmark.title}`);
  if (!options.profile) return benchmark.run(setting);
  const directory = join(PROFILES, name);
  rmSync(directory, { recursive: true, force: true });
  profileInto(directory);
  const watch = await watchBackends(setting.database.url);
  const outcome = await benchmark.run(setting);
  profileInto(null);
  return { ...outcome, text: [outcome.text, ...profileTables(directory), await watch.stop()].join("\n\n") };
}

async function main(): Promise<void> {
  const names = options.only === undefined ? Object.keys(BENCHMARKS) : options.only.split(",");
  const unknown = names.find((name) => BENCHMARKS[name] === undefined);
  if (unknown !== undefined)
    throw new Error(`there is no benchmark "${unknown}"; there are ${Object.keys(BENCHMARKS).join(", ")}`);
  beginRun();
  const machine = `${cpus().length} × ${cpus()[0]?.model ?? "cpu"}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`;
  process.stdout.write(`${machine}; fsync, full_page_writes and synchronous_commit are on\n`);
  const results: Record<string, Omit<Outcome, "text"> & { seconds: number }> = {};
  for (const name of names) {
    // A server of its own: what one benchmark leaves behind is not the next one's cost.
    const database = await startDatabase();
    const start = performance.now();
    const setting = { database, rounds: Number(options.rounds), quick: options.quick, say };
    const { text, goals, figures } = await runOne(name, BENCHMARKS[name] as Benchmark, setting);
    await database.stop();
    const seconds = Math.round((performance.now() - start) / 1000);
    results[name] = { goals, figures, seconds };
    process.stdout.write(`\n${[text, ...goals.map(goalLine), `took ${seconds} s`].join("\n")}\n`);
  }
  const missed = Object.values(results).flatMap(({ goals }) => goals.filter(({ met }) => !met));
  process.stdout.write(`\n${missed.length === 0 ? "every goal is met" : `${missed.length} goals are missed`}\n`);
  if (options.json !== undefined) writeFileSync(options.json, JSON.stringify({ machine, results }, null, 2));
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
    process.exit(1);
  },
);
