/**
 * `npm run bench`: what the system costs, as ratios within one run. `-- --only NAME` runs one benchmark, `-- --rounds N`
 * sets the interleaved rounds, `-- --json FILE` writes the figures.
 */
import { writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { parseArgs } from "node:util";
import { type ContenderName, startContender } from "./contender.ts";
import { type Database, startDatabase } from "./cycle/database.ts";
import { type Figure, interleave, table } from "./measure.ts";

interface Benchmark {
  title: string;
  unit: string;
  /** Tasks a round; peers that are slower get fewer, so that rounds take alike. */
  contenders: { name: ContenderName; tasks: number; own: boolean }[];
  /** What the ratios are of. */
  against: string;
}

/** `own`: a database of its own on the same server, so that schemas do not meet. */
const BENCHMARKS: Record<string, Benchmark> = {
  cycle: {
    title: "(a) full durable cycle submit → lease → end, no process, adding and running at once",
    unit: "tasks",
    against: "graphile-worker",
    contenders: [
      { name: "graphile", tasks: 30_000, own: true },
      { name: "pgboss", tasks: 20_000, own: true },
      { name: "bare", tasks: 200_000, own: true },
      { name: "singles", tasks: 100_000, own: true },
      { name: "array", tasks: 200_000, own: true },
    ],
  },
  argv: {
    title: "(b1) a process per task, durable end to end, two slots: /bin/true",
    unit: "tasks",
    against: "xargs -P2 -n1 /bin/true",
    contenders: [
      { name: "xargsTrue", tasks: 6_000, own: false },
      { name: "argv", tasks: 6_000, own: true },
    ],
  },
  shell: {
    title: "(b2) a shell line with a directory of its own and one line of output kept, two slots",
    unit: "tasks",
    against: "xargs -P2 sh -c",
    contenders: [
      { name: "xargsShell", tasks: 4_000, own: false },
      { name: "shell", tasks: 4_000, own: true },
    ],
  },
};

const options = parseArgs({
  options: { only: { type: "string" }, rounds: { type: "string", default: "3" }, json: { type: "string" } },
}).values;

const say = (line: string): void => void process.stderr.write(`${line}\n`);

async function runOne(name: string, benchmark: Benchmark, database: Database): Promise<Figure[]> {
  say(`\n${benchmark.title}`);
  const contenders = [];
  for (const { name: contender, tasks, own } of benchmark.contenders) {
    const url = own ? await database.create(`bench_${name}_${contender.toLowerCase()}`) : database.url;
    contenders.push(await startContender(contender, url, database.postmaster, tasks));
  }
  return interleave(contenders, Number(options.rounds), say);
}

async function main(): Promise<void> {
  const names = options.only === undefined ? Object.keys(BENCHMARKS) : [options.only];
  const unknown = names.find((name) => BENCHMARKS[name] === undefined);
  if (unknown !== undefined)
    throw new Error(`there is no benchmark "${unknown}"; there are ${Object.keys(BENCHMARKS).join(", ")}`);
  const database = await startDatabase();
  const results: Record<string, Figure[]> = {};
  try {
    for (const name of names) results[name] = await runOne(name, BENCHMARKS[name] as Benchmark, database);
  } finally {
    await database.stop();
  }
  const machine = `${cpus().length} × ${cpus()[0]?.model ?? "cpu"}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`;
  process.stdout.write(`${machine}; fsync, full_page_writes and synchronous_commit are on\n`);
  for (const [name, figures] of Object.entries(results)) {
    const { title, unit, against } = BENCHMARKS[name] as Benchmark;
    process.stdout.write(`\n${table(title, unit, figures, against)}\n`);
  }
  if (options.json !== undefined) writeFileSync(options.json, JSON.stringify({ machine, results }, null, 2));
}

await main();
