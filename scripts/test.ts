/**
 * `npm test`: runs the tests tier by tier with Node's own runner, a process per file, and prints one summary.
 * It ends with what was left out for want of a service, and fails when a test leaves a process behind.
 * Words after `npm test --` choose files whose path contains one of them.
 */
import { availableParallelism } from "node:os";
import { killFiles, runFile } from "./test/file.ts";
import { Report } from "./test/report.ts";
import { TIERS, testFiles } from "./test/tiers.ts";

const words = process.argv.slice(2);
const report = new Report();

for (const [signal, status] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const) {
  process.once(signal, () => {
    killFiles();
    process.exit(status);
  });
}

for (const tier of TIERS) {
  const files = testFiles(tier.name).filter((file) => words.length === 0 || words.some((word) => file.includes(word)));
  if (files.length === 0) continue;
  report.tier(tier.name, files.length);
  const next = files.values();
  const lane = async (): Promise<void> => {
    for (const file of next) report.file(await runFile(file, tier.fileTimeoutMs));
  };
  await Promise.all(Array.from({ length: tier.alone ? 1 : availableParallelism() }, lane));
}

process.exitCode = report.end() ? 0 : 1;
