/**
 * Seeds that once failed, then 2,000 more on all processors: 1,600 that are always the same, and 400 that come with the
 * commit, so that every change is also tried with histories that nobody has seen. A failing seed prints its command.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { range, simulateAll } from "./pool.ts";
import { KEPT_SEEDS } from "./seeds.ts";
import { simulate } from "./simulate.ts";

const FIXED_SEEDS = 1_600;
const COMMIT_SEEDS = 400;
/** Seeds of commits begin above every fixed one. */
const COMMIT_SEEDS_FROM = 1_000_000;

async function check(seeds: readonly number[]): Promise<void> {
  const { failures } = await simulateAll(seeds);
  const told = failures.map(
    ({ seed, message }) => `${message}\n  bin/node test/simulation/run.ts --seed ${seed} --trace`,
  );
  assert.equal(failures.length, 0, `${failures.length} of ${seeds.length} failed\n${told.slice(0, 5).join("\n")}`);
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

test("seeds that once failed", () => check(KEPT_SEEDS.map(({ seed }) => seed)));

test("1,600 fixed seeds: no promise is broken, and everything ends once all is healed", () =>
  check(range(1, FIXED_SEEDS)));

test("400 seeds of this commit", () => {
  const from = COMMIT_SEEDS_FROM + commitNumber() * COMMIT_SEEDS;
  return check(range(from, from + COMMIT_SEEDS - 1));
});

test("a seed is one history: the same lines every time, other lines for another seed", async () => {
  const traceOf = async (seed: number): Promise<string> => {
    const lines: string[] = [];
    await simulate(seed, { print: (line) => lines.push(line) });
    return lines.join("\n");
  };
  const first = await traceOf(7);
  assert.ok(first.length > 1_000);
  assert.equal(await traceOf(7), first);
  assert.notEqual(await traceOf(8), first);
});
