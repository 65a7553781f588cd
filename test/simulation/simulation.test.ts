/**
 * 500 seeds: 400 that are always the same, and 100 that come with the commit, so that every change is also tried with
 * histories that nobody has seen. A failing seed prints the command that replays it with a trace.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { simulate } from "./simulate.ts";

const FIXED_SEEDS = 400;
const COMMIT_SEEDS = 100;
/** Seeds of commits begin above every fixed one. */
const COMMIT_SEEDS_FROM = 1_000_000;

function check(from: number, count: number): void {
  const failed: string[] = [];
  for (let seed = from; seed < from + count; seed++) {
    const { violation } = simulate(seed);
    if (violation === null) continue;
    failed.push(`${violation.message}\n  bin/node test/simulation/run.ts --seed ${seed} --trace`);
  }
  assert.equal(failed.length, 0, `${failed.length} of ${count} seeds failed\n${failed.slice(0, 5).join("\n")}`);
}

/** A number from the commit; 0 where there is no repository. */
function commitNumber(): number {
  try {
    const commit = execFileSync("git", ["rev-parse", "HEAD"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    return Number.parseInt(commit.slice(0, 7), 16);
  } catch {
    return 0;
  }
}

test("400 fixed seeds: no promise is broken, and everything ends once all is healed", () => check(1, FIXED_SEEDS));

test("100 seeds of this commit", () => check(COMMIT_SEEDS_FROM + commitNumber() * COMMIT_SEEDS, COMMIT_SEEDS));

test("a seed is one history: the same lines every time, other lines for another seed", () => {
  const traceOf = (seed: number): string => {
    const lines: string[] = [];
    simulate(seed, { print: (line) => lines.push(line) });
    return lines.join("\n");
  };
  assert.ok(traceOf(7).length > 1_000);
  assert.equal(traceOf(7), traceOf(7));
  assert.notEqual(traceOf(7), traceOf(8));
});
