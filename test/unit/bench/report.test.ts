/** The benchmarks' own arithmetic: percentiles, drift, goals, tables. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { amount, atLeast, atMost, goalLine } from "../../bench/report/goal.ts";
import { ratio } from "../../bench/report/measure.ts";
import { drift, median, percentile } from "../../bench/report/statistics.ts";
import { textTable } from "../../bench/report/table.ts";

test("a percentile is the sample at its nearest rank, in any order of the samples", () => {
  const samples = [5, 1, 4, 2, 3];
  assert.equal(percentile(samples, 0.5), 3);
  assert.equal(percentile(samples, 0.99), 5);
  assert.equal(percentile(samples, 0), 1);
  assert.equal(percentile(samples, 0.2), 1);
  assert.equal(percentile(samples, 0.21), 2);
  assert.deepEqual(samples, [5, 1, 4, 2, 3], "the samples stay as they are");
  const hundred = Array.from({ length: 100 }, (_, i) => i + 1);
  assert.equal(percentile(hundred, 0.99), 99);
  assert.throws(() => percentile([], 0.5));
});

test("a median of an even number lies between the two in the middle", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.throws(() => median([]));
});

test("drift compares the last third with the first, and one hiccup is none", () => {
  assert.equal(drift([10, 10, 10, 10, 10, 10]), 1);
  assert.equal(drift([10, 10, 10, 7, 6, 5, 5, 5, 5]), 0.5);
  assert.equal(drift([10, 10, 10, 1, 10, 10, 10, 1, 10]), 1);
  assert.equal(drift([8]), 1);
});

test("a goal is met at its bound, and what was not measured has missed", () => {
  assert.equal(atLeast("rate", 1.2, 1.2, "×").met, true);
  assert.equal(atLeast("rate", 1.19, 1.2, "×").met, false);
  assert.equal(atMost("memory", 20, 20, "kB").met, true);
  assert.equal(atMost("memory", 20.1, 20, "kB").met, false);
  assert.equal(atMost("memory", Number.NaN, 20, "kB").met, false);
  assert.equal(atLeast("rate", Number.NaN, 1, "×").met, false);
  assert.equal(goalLine(atMost("memory", 20.125, 20, "kB")), "MISSED  memory: 20.13 kB (goal ≤ 20.00)");
  assert.equal(goalLine(atLeast("rate", 12_345, 400, "/s")), "met     rate: 12,345 /s (goal ≥ 400)");
  assert.equal(amount(Number.NaN), "none");
});

test("a ratio of what was not there is not a number", () => {
  const figure = { least: 1, most: 1, cpuMsPerThousand: 1, peakMiB: 1, rates: [1] };
  const figures = [
    { name: "a", median: 30, ...figure },
    { name: "b", median: 10, ...figure },
  ];
  assert.equal(ratio(figures, "a", "b"), 3);
  assert.ok(Number.isNaN(ratio(figures, "a", "c")));
});

test("a table's columns are as wide as their widest cell", () => {
  const table = textTable(
    "rates",
    ["", "tasks/s"],
    [
      ["one", "10"],
      ["another", "1,000,000"],
    ],
  );
  assert.equal(table, "rates\n           tasks/s\none             10\nanother  1,000,000");
});
