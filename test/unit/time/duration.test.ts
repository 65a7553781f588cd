/**
 * Durations and sizes: both directions agree, and nothing is guessed.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatBytes, formatDuration, parseBytes, parseDuration } from "../../../shared/time/duration.ts";

test("durations as people write them", () => {
  const table: [string, number | undefined][] = [
    ["30s", 30_000],
    ["168h", 604_800_000],
    ["1h30m", 5_400_000],
    ["500ms", 500],
    ["1.5s", 1_500],
    ["2d", 172_800_000],
    ["0", 0],
    ["30", undefined],
    ["", undefined],
    ["s", undefined],
    ["-1s", undefined],
    ["1 s", undefined],
    ["1s ", undefined],
    ["1sm", undefined],
    ["1e3s", undefined],
  ];
  for (const [text, ms] of table) assert.equal(parseDuration(text), ms, text);
});

test("sizes as people write them", () => {
  const table: [string, number | undefined][] = [
    ["1000", 1_000],
    ["64k", 65_536],
    ["64KB", 65_536],
    ["1MiB", 1_048_576],
    ["1.5 GiB", 1_610_612_736],
    ["2t", 2 * 1024 ** 4],
    ["0", 0],
    ["", undefined],
    ["1X", undefined],
    ["-1", undefined],
    ["1e9", undefined],
    ["99999999999999t", undefined],
  ];
  for (const [text, bytes] of table) assert.equal(parseBytes(text), bytes, text);
});

test("what is formatted is read back as itself", () => {
  fc.assert(fc.property(fc.nat(1_000_000_000), (ms) => parseDuration(formatDuration(ms)) === ms));
  fc.assert(fc.property(fc.nat(2 ** 31 - 1), (bytes) => parseBytes(formatBytes(bytes)) === bytes));
});
