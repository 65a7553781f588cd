/**
 * Other systems beside ours where they do the same work: tasks that do nothing, and a process per task. What each of them
 * does not do stands below the table; one that cannot be had on this machine is named instead of failing the run.
 */
import type { Benchmark, Outcome, Setting } from "../benchmark.ts";
import { type ContenderName, startContender } from "../contender.ts";
import { type Contender, type Figure, interleave, table } from "../report/measure.ts";
import { startBullMq } from "./bullmq.ts";
import { type Found, nodePeers, pythonPeers, redisServer } from "./install.ts";
import { type PythonPeer, startPython } from "./python.ts";

const TITLE = "other systems doing the same work";
const QUICK_SHARE = 1 / 10;
const PYTHON_TASKS = 4_000;
const BULLMQ_TASKS = 10_000;
const OWN_TASKS = { singles: 60_000, graphile: 15_000, argv: 4_000, xargsTrue: 4_000 };

const NOTES = [
  "ours: every task, lease and end is in PostgreSQL before it is answered; graphile-worker: every job, and every end",
  "BullMQ: every write is on the disk of Redis (appendfsync always); no leases that outlive a session, no runner",
  "Ray, Dask: nothing is on a disk: tasks are lost with the driver or the scheduler, and so are their results",
  "Parsl: nothing is on a disk without its checkpoints, which were off: tasks are lost with the script",
  "Ray, Dask and Parsl run functions in resident workers, two of them; their `process` is subprocess.run of /bin/true",
];

export const peers: Benchmark = {
  title: TITLE,
  run: async (setting: Setting): Promise<Outcome> => {
    const python = await pythonPeers();
    const missing: string[] = [];
    const idle = await compare(setting, "noop", ["graphile", "singles"], python, missing);
    const process = await compare(setting, "process", ["xargsTrue", "argv"], python, missing);
    const tables = [
      table("tasks that do nothing, through the whole system", "tasks", idle, "graphile-worker"),
      table("a process of /bin/true per task, two at once", "tasks", process, "xargs -P2 -n1 /bin/true"),
    ];
    const gone = [...new Set(missing)].map((sentence) => `not here: ${sentence}`);
    return {
      text: [...tables, [...NOTES, ...gone].join("\n")].join("\n\n"),
      goals: [],
      figures: { idle, process, gone },
    };
  },
};

type Start = () => Promise<Contender>;

async function compare(
  { database, rounds, quick, say }: Setting,
  work: "noop" | "process",
  own: (keyof typeof OWN_TASKS)[],
  python: Found,
  missing: string[],
): Promise<Figure[]> {
  const size = (tasks: number): number => (quick ? tasks * QUICK_SHARE : tasks);
  const starts: Start[] = own.map((name) => async () => {
    const url = await database.create(`bench_peers_${name.toLowerCase()}`);
    return startContender(name satisfies ContenderName, url, database.postmaster, size(OWN_TASKS[name]));
  });
  if (work === "noop") {
    const [modules, redis] = [await nodePeers(), redisServer()];
    const absent = [modules, redis].find((found) => "missing" in found);
    if (absent !== undefined && "missing" in absent) missing.push(`BullMQ: ${absent.missing}`);
    else if ("path" in modules && "path" in redis)
      starts.push(() => startBullMq(modules.path, redis.path, size(BULLMQ_TASKS)));
  }
  for (const peer of ["ray", "dask", "parsl"] satisfies PythonPeer[]) {
    if ("missing" in python) missing.push(`${peer}: ${python.missing}`);
    else starts.push(() => startPython(python.path, peer, work, size(PYTHON_TASKS)));
  }
  // One after the other: idle schedulers of others would take what little there is of two cores.
  const figures: Figure[] = [];
  for (const start of starts) {
    try {
      figures.push(...(await interleave([await start()], rounds, say)));
    } catch (error) {
      missing.push(error instanceof Error ? error.message : String(error));
    }
  }
  return figures;
}
