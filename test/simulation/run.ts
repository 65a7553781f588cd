/**
 * The simulation by hand: `bin/node test/simulation/run.ts --seed 17 --trace`, `--seeds 1..5000 [--threads N]`,
 * `--bug fenceForgotten`.
 */
import { parseArgs } from "node:util";
import type { Bug } from "./bugs.ts";
import { type Failure, range, simulateAll } from "./pool.ts";
import { simulate, WORLD_VERSION } from "./simulate.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    seeds: { type: "string" },
    bug: { type: "string" },
    threads: { type: "string" },
    trace: { type: "boolean", default: false },
  },
});

const bug = values.bug as Bug | undefined;
const tell = ({ seed, message, endedAtMs }: Failure): void => {
  console.log(`seed ${seed} at ${(endedAtMs / 1_000).toFixed(3)} s: ${message}`);
  console.log(`  bin/node test/simulation/run.ts --seed ${seed} --trace${bug ? ` --bug ${bug}` : ""}`);
};

if (values.trace) {
  const print = (line: string): void => console.log(line);
  const { seed, violation, endedAtMs } = await simulate(Number(values.seed ?? 1), { print, ...(bug ? { bug } : {}) });
  if (violation) tell({ seed, endedAtMs, invariant: violation.invariant, message: violation.message });
  process.exitCode = violation ? 1 : 0;
} else {
  const [from, to] = (values.seeds ?? `${values.seed ?? 1}..${values.seed ?? 1}`).split("..").map(Number);
  const threads = values.threads === undefined ? {} : { threads: Number(values.threads) };
  const startedMs = performance.now();
  const { seeds, failures, figures } = await simulateAll(range(from as number, to as number), {
    bug,
    ...threads,
    heard: tell,
  });
  const tookMs = performance.now() - startedMs;
  console.log(
    `world ${WORLD_VERSION}: ${seeds} seeds (${from}..${to}), ${failures.length} failed, ` +
      `${(tookMs / seeds).toFixed(1)} ms each, ${(tookMs / 1_000).toFixed(1)} s`,
  );
  console.log(
    Object.entries(figures)
      .map(([name, number]) => `${name} ${number}`)
      .sort()
      .join(" · "),
  );
  process.exitCode = failures.length > 0 ? 1 : 0;
}
