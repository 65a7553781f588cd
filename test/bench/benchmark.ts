/** What a benchmark is to `main.ts`: runs in a setting, answers with text for people, goals, and figures for `--json`. */
import type { Goal } from "./report/goal.ts";
import type { Database } from "./system/database.ts";

export interface Setting {
  database: Database;
  /** Interleaved rounds after the warm-up. */
  rounds: number;
  /** A tenth of the work or less: to see that it runs, not what it costs. */
  quick: boolean;
  say: (line: string) => void;
}

export interface Outcome {
  /** Tables, ready to print. */
  text: string;
  goals: Goal[];
  figures: unknown;
}

export interface Benchmark {
  title: string;
  run(setting: Setting): Promise<Outcome>;
}
