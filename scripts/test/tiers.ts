/**
 * The kinds of tests in the order they run: what fails fastest and explains most comes first.
 */
import { globSync } from "node:fs";

interface Tier {
  /** Folder below test/. */
  name: string;
  /** A hang limit, not a measurement: a file that takes longer is ended and fails. */
  fileTimeoutMs: number;
  /** True: one file at a time, because its tests measure, kill or fill things. */
  alone: boolean;
}

const MINUTE_MS = 60_000;

export const TIERS: readonly Tier[] = [
  { name: "unit", fileTimeoutMs: 2 * MINUTE_MS, alone: false },
  { name: "simulation", fileTimeoutMs: 3 * MINUTE_MS, alone: false },
  { name: "integration", fileTimeoutMs: 4 * MINUTE_MS, alone: false },
  { name: "conformance", fileTimeoutMs: 5 * MINUTE_MS, alone: false },
  { name: "fault", fileTimeoutMs: 10 * MINUTE_MS, alone: true },
  { name: "e2e", fileTimeoutMs: 10 * MINUTE_MS, alone: true },
];

/** Paths of a tier's test files from the root, sorted. */
export function testFiles(tier: string): string[] {
  return globSync(`test/${tier}/**/*.test.ts`).sort();
}
