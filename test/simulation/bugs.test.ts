/**
 * A net that has never caught anything is not known to be one: each deliberate bug must be found within the 2,000 seeds of
 * the test run, and by an invariant that speaks of it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { BUGS, type Bug } from "./bugs.ts";
import { simulate } from "./simulate.ts";

const SEEDS = 2_000;

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
  duplicateFolded: /^a report counts once/,
  leaseAboveCapacity: /^no lease above capacity/,
  stallIgnored: /^nobody is lost because we slept/,
  sleepUnnoticed: /^(authority ends|one trusted holder|nothing starts that another)/,
  evictedReportDropped: /^everything ends/,
  needsReleasedTwice: /^(a child after its parent|the live state never contradicts|replay equals live)/,
  failuresBeforeCommit: /^max_failures counts what is durable/,
  identityShared: /^(nobody disowns what another one holds|nobody is lost because|one trusted holder)/,
  recallIgnored: /^what is recalled does not start/,
  lanesNotRecalled: /^without trust nothing starts/,
  outboxTruncatedEarly: /^an end is kept until it is acknowledged/,
  timelineIgnored: /^no past meets its own future/,
  trustFromAnswer: /^(trust counts from before the question|one trusted holder|nothing starts that another)/,
  agentSleepUnnoticed: /^(one trusted holder|nothing starts that another)/,
  graceFromTakeover: /^nobody is lost because we slept/,
  checkpointWithoutLeases: /^replay equals live/,
  partitionDroppedEarly: /^a partition goes when all of it has ended/,
};

for (const bug of BUGS) {
  test(`found: ${bug}`, async (t) => {
    const others: string[] = [];
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { violation } = await simulate(seed, { bug });
      if (violation === null) continue;
      if (FOUND_BY[bug].test(violation.message)) {
        t.diagnostic(`by seed ${seed}: ${violation.message}`);
        return;
      }
      // Another invariant may see its consequences first in one seed; one of them must name the bug itself.
      others.push(`seed ${seed}: ${violation.message}`);
    }
    assert.fail(`${SEEDS} seeds did not find it by name; by others: ${others.slice(0, 5).join("; ") || "not at all"}`);
  });
}

test("there are at least twenty of them", () => assert.ok(BUGS.length >= 20, `${BUGS.length}`));
