/**
 * Files stay small: none over 600 lines, half of them at most 150. Rooms say what they are for in one screen.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { FILES, read } from "./tree.ts";

const LINES_MAX = 600;
const LINES_MEDIAN_MAX = 150;
const README_LINES_MAX = 60;
/** A file is made by a program from others and read by nobody. */
const GENERATED = ["db/schema.sql"];

const sources = FILES.filter((path) => /\.(ts|c|h|sh|sql)$/.test(path) && !GENERATED.includes(path));
const lines = (path: string): number => read(path).split("\n").length - 1;

test("no source file is longer than 600 lines", () => {
  assert.deepEqual(
    sources.filter((path) => lines(path) > LINES_MAX).map((path) => `${path}: ${lines(path)}`),
    [],
  );
});

test("half of the source files have at most 150 lines", () => {
  const sorted = sources.map(lines).sort((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
  assert.ok(median <= LINES_MEDIAN_MAX, `the median is ${median} lines, must be at most ${LINES_MEDIAN_MAX}`);
});

test("every room has a README of one screen", () => {
  const wrong: string[] = [];
  for (const room of rooms()) {
    const path = `${room}/README.md`;
    if (!FILES.includes(path)) wrong.push(`${path}: missing`);
    else if (lines(path) > README_LINES_MAX) wrong.push(`${path}: ${lines(path)} lines, at most ${README_LINES_MAX}`);
  }
  assert.deepEqual(wrong, []);
});

/** Folders at the top that hold source of ours, and the ones directly inside the three with rooms of their own. */
function rooms(): string[] {
  const found = new Set<string>();
  for (const path of sources) {
    const [top = "", second = ""] = path.split("/");
    if (path.split("/").length < 2) continue;
    found.add(top);
    if (["coordinator", "agent", "shared"].includes(top) && path.split("/").length > 2) found.add(`${top}/${second}`);
  }
  for (const name of ["bin", "examples"]) found.delete(name);
  return [...found].sort();
}
