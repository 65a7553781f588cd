/**
 * What `npm test` prints: a line per file, failures in full with the file's output, and at the end Node's own summary
 * lines over all tiers, what was left out and the command that adds it.
 */
import type { FileResult } from "./file.ts";
import type { Counts } from "./reporter.ts";

const colours = process.stdout.isTTY && process.env.NO_COLOR === undefined;
const paint = (code: number, text: string): string => (colours ? `\u001b[${code}m${text}\u001b[0m` : text);

export class Report {
  private readonly results: FileResult[] = [];
  private readonly startedMs = performance.now();

  tier(name: string, files: number): void {
    console.log(`\n${name}: ${files} ${files === 1 ? "file" : "files"}`);
  }

  file(result: FileResult): void {
    this.results.push(result);
    const { counts, ok, file, durationMs } = result;
    const skipped = counts.skipped > 0 ? `, ${counts.skipped} left out` : "";
    const took = `${(durationMs / 1000).toFixed(1)} s`;
    console.log(`${ok ? paint(32, "✔") : paint(31, "✖")} ${file} (${counts.tests} tests${skipped}, ${took})`);
    if (!ok) this.failed(result);
  }

  /** Prints the end; true when nothing failed. */
  end(): boolean {
    const total: Counts = { tests: 0, suites: 0, passed: 0, failed: 0, cancelled: 0, skipped: 0, todo: 0 };
    for (const { counts } of this.results) {
      for (const name of Object.keys(total) as (keyof Counts)[]) total[name] += counts[name];
    }
    const failed = this.results.filter((result) => !result.ok);
    if (failed.length > 0)
      console.log(`\nFailed:\n${failed.map(({ file }) => `  bin/node --test ${file}`).join("\n")}`);
    console.log(`
ℹ tests ${total.tests}
ℹ suites ${total.suites}
ℹ pass ${total.passed}
ℹ fail ${total.failed}
ℹ cancelled ${total.cancelled}
ℹ skipped ${total.skipped}
ℹ todo ${total.todo}
ℹ duration_ms ${Math.round(performance.now() - this.startedMs)}`);
    this.leftOut();
    if (this.results.length === 0) console.log("\nNo test file has such a path.");
    return this.results.length > 0 && failed.length === 0;
  }

  private failed({ failures, leftovers, output }: FileResult): void {
    for (const { name, error } of failures) console.log(`  ${paint(31, "✖")} ${name}\n${indent(error)}`);
    for (const { pid, command } of leftovers) console.log(`  left behind, now killed: ${pid} ${command.slice(0, 200)}`);
    if (output.trim() !== "") console.log(`  output:\n${indent(output.trimEnd())}`);
  }

  private leftOut(): void {
    const byReason = new Map<string, number>();
    for (const { reason } of this.results.flatMap((result) => result.leftOut)) {
      byReason.set(reason, (byReason.get(reason) ?? 0) + 1);
    }
    if (byReason.size === 0) return;
    console.log("\nLeft out:");
    for (const [reason, tests] of byReason) console.log(`  ${tests} ${tests === 1 ? "test" : "tests"}: ${reason}`);
    console.log('As root, "npm run test:services && npm test" adds them.');
  }
}

function indent(text: string): string {
  return text.replace(/^/gm, "      ");
}
