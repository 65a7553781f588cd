/** A benchmark of rates: contenders that do the same work in turn, each in a process of its own, compared by medians. */
import type { Benchmark, Outcome, Setting } from "./benchmark.ts";
import { type ContenderName, startContender } from "./contender.ts";
import type { Goal } from "./report/goal.ts";
import { type Contender, type Figure, interleave, table } from "./report/measure.ts";

export interface RateBenchmark {
  title: string;
  unit: string;
  /** Tasks a round: slower ones get fewer, so that rounds take alike. `own`: has a database of its own on the server. */
  contenders: { name: ContenderName; tasks: number; own: boolean }[];
  /** What the ratios are of. */
  against: string;
  goals(figures: Figure[]): Goal[];
}

/** A quick round. */
const QUICK_SHARE = 1 / 20;

export function rateBenchmark(name: string, benchmark: RateBenchmark): Benchmark {
  return {
    title: benchmark.title,
    run: async ({ database, rounds, quick, say }: Setting): Promise<Outcome> => {
      const contenders: Contender[] = [];
      for (const { name: contender, tasks, own } of benchmark.contenders) {
        const url = own ? await database.create(`bench_${name}_${contender.toLowerCase()}`) : database.url;
        const size = quick ? Math.ceil((tasks * QUICK_SHARE) / 1_000) * 1_000 : tasks;
        contenders.push(await startContender(contender, url, database.postmaster, size));
      }
      const figures = await interleave(contenders, rounds, say);
      const text = table(benchmark.title, benchmark.unit, figures, benchmark.against);
      return { text, goals: benchmark.goals(figures), figures };
    },
  };
}
