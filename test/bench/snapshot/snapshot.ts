/**
 * (d) The rate while somebody holds a snapshot open for the whole run, as a long report or a forgotten session does: dead
 * rows cannot be removed meanwhile, and a queue that updates its rows slows down more and more.
 */
import pg from "pg";
import type { Benchmark, Outcome, Setting } from "../benchmark.ts";
import { type ContenderName, startContender } from "../contender.ts";
import { atLeast } from "../report/goal.ts";
import { type Contender, type Figure, interleave } from "../report/measure.ts";
import { drift } from "../report/statistics.ts";
import { textTable } from "../report/table.ts";

const TITLE = "(d) rate with a snapshot held open for the whole run";
/** Slices: enough to see a trend. */
const SLICES = 12;
const QUICK_SLICES = 3;
const CONTENDERS: { name: ContenderName; tasks: number }[] = [
  { name: "singles", tasks: 40_000 },
  { name: "graphile", tasks: 15_000 },
];
const QUICK_SHARE = 1 / 10;

export const snapshot: Benchmark = {
  title: TITLE,
  run: async ({ database, quick, say }: Setting): Promise<Outcome> => {
    const contenders: Contender[] = [];
    const holders: pg.Client[] = [];
    for (const { name, tasks } of CONTENDERS) {
      for (const held of [false, true]) {
        const url = await database.create(`bench_snapshot_${name}_${held}`);
        const size = quick ? tasks * QUICK_SHARE : tasks;
        const contender = await startContender(name, url, database.postmaster, size);
        if (held) holders.push(await holdSnapshot(url));
        contenders.push({ ...contender, name: `${contender.name}${held ? ", snapshot held" : ""}` });
      }
    }
    const figures = await interleave(contenders, quick ? QUICK_SLICES : SLICES, say);
    for (const holder of holders) {
      // It must have lived until here, or nothing was measured.
      await holder.query("commit");
      await holder.end();
    }
    return outcomeOf(figures);
  },
};

/** A snapshot counts in its own database only. */
async function holdSnapshot(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, application_name: "bench snapshot" });
  await client.connect();
  await client.query("begin isolation level repeatable read");
  await client.query("select count(*) from pg_class");
  return client;
}

function outcomeOf(figures: Figure[]): Outcome {
  const rows = figures.map((figure, i) => {
    const free = figures[i - (i % 2)] as Figure;
    return [
      figure.name,
      Math.round(figure.median).toLocaleString("en"),
      `${Math.round(figure.least).toLocaleString("en")}–${Math.round(figure.most).toLocaleString("en")}`,
      (figure.median / free.median).toFixed(2),
      drift(figure.rates).toFixed(2),
    ];
  });
  const [free, held] = figures as [Figure, Figure];
  return {
    text: textTable(TITLE, ["", "tasks/s", "spread", "× without", "last third × first"], rows),
    goals: [
      atLeast(
        "with it held, against the slowest slice without",
        held.median / free.median,
        free.least / free.median,
        "×",
      ),
      atLeast("last third against first with it held", drift(held.rates), driftBound(free), "×"),
    ],
    figures,
  };
}

/** What the run drifts without a snapshot, less its own spread. */
function driftBound(free: Figure): number {
  return Math.min(1, drift(free.rates)) * (free.least / free.median);
}
