import assert from "node:assert/strict";
import { test } from "node:test";
import {
  formatCount,
  formatRate,
  formatShortDuration,
  humanBytes,
  humanDuration,
  plural,
  secondsBetween,
} from "../../../agent/cli/format.ts";

test("durations", () => {
  const cases: [number | null, string][] = [
    [null, "-"],
    [0, "0 ms"],
    [0.0424, "42 ms"],
    [0.9999, "1.0 s"],
    [9.94, "9.9 s"],
    [9.96, "10 s"],
    [59.6, "1 min"],
    [61, "1 min 01 s"],
    [1800, "30 min"],
    [3599.7, "1 h"],
    [7500, "2 h 05 min"],
    [86_400 * 3 + 3600 * 4, "3 d 04 h"],
  ];
  for (const [seconds, text] of cases) assert.equal(humanDuration(seconds), text);
});

test("short durations for the progress line", () => {
  const cases: [number, string][] = [
    [0, "0s"],
    [59.4, "59s"],
    [60, "1m00s"],
    [3600, "1h00m"],
    [90_000, "1d1h"],
  ];
  for (const [seconds, text] of cases) assert.equal(formatShortDuration(seconds), text);
});

test("sizes", () => {
  const cases: [number | null, string][] = [
    [null, "-"],
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1 KiB"],
    [1536, "1.5 KiB"],
    [10 * 1024 ** 2, "10 MiB"],
    [1024 ** 4, "1 TiB"],
  ];
  for (const [bytes, text] of cases) assert.equal(humanBytes(bytes), text);
});

test("counts, rates, plurals", () => {
  assert.equal(formatCount(999), "999");
  assert.equal(formatCount(1_000_000), "1,000,000");
  assert.equal(formatRate(0.05), "3.0/min");
  assert.equal(formatRate(1.25), "1.3/s");
  assert.equal(formatRate(12_345.6), "12,346/s");
  assert.equal(plural(1, "task"), "1 task");
  assert.equal(plural(2000, "task"), "2,000 tasks");
});

test("seconds between two times", () => {
  assert.equal(secondsBetween("2026-01-01T00:00:00.000Z", "2026-01-01T00:00:01.500Z"), 1.5);
  assert.equal(secondsBetween("2026-01-01T00:00:01.000Z", "2026-01-01T00:00:00.000Z"), 0, "clocks differ");
  assert.equal(secondsBetween("2026-01-01T00:00:00.000Z", null), null);
});
