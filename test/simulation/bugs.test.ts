/**
 * A net that has never caught anything is not known to be one: each deliberate bug must be found within the 500 seeds,
 * and by an invariant that speaks of it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { NO_MUTATIONS } from "../../coordinator/dispatch/mutations.ts";
import { type Bug, simulate } from "./simulate.ts";

const SEEDS = 500;

/** Which invariants may find which bug. */
const FOUND_BY: Record<Bug, RegExp> = {
  noTermCheck: /^(one dispatcher|replay equals live)/,
  termCheckWithoutLock: /^(one dispatcher|replay equals live)/,
  acknowledgeBeforeCommit: /^(nothing before its commit|an acknowledged result is durable)/,
  childBeforeCommit: /^a child after its parent/,
  renewAfterDeadline: /^(authority ends with its deadline|one trusted holder)/,
  fenceForgotten:
    /^(an acknowledged result is (durable|not lost)|one trusted holder|nothing starts|only the latest|a report counts once)/,
  attemptReusedAfterRelease: /^(an attempt number is given once|replay equals live)/,
  duplicateCounted: /^counters equal states/,
};

for (const bug of Object.keys(FOUND_BY) as Bug[]) {
  test(`found: ${bug}`, () => {
    const others: string[] = [];
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { violation } = simulate(seed, { bug });
      if (violation === null) continue;
      if (FOUND_BY[bug].test(violation.message)) return;
      // Another invariant may see its consequences first in one seed; one of the 500 must name the bug itself.
      others.push(`seed ${seed}: ${violation.message}`);
    }
    assert.fail(`${SEEDS} seeds did not find it by name; by others: ${others.slice(0, 5).join("; ") || "not at all"}`);
  });
}

test("every switch of the core is tried", () => {
  for (const name of Object.keys(NO_MUTATIONS)) assert.ok(name in FOUND_BY, name);
});
