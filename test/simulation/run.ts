/**
 * The simulation by hand: `bin/node test/simulation/run.ts --seed 17 --trace`, `--seeds 1..5000`, `--bug fenceForgotten`.
 */
import { parseArgs } from "node:util";
import { type Bug, simulate } from "./simulate.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    seeds: { type: "string" },
    bug: { type: "string" },
    trace: { type: "boolean", default: false },
  },
});

const [from, to] = (values.seeds ?? `${values.seed ?? 1}..${values.seed ?? 1}`).split("..").map(Number) as [
  number,
  number,
];
const options = {
  ...(values.bug === undefined ? {} : { bug: values.bug as Bug }),
  ...(values.trace ? { print: (line: string) => console.log(line) } : {}),
};
const startedMs = performance.now();
let failed = 0;
const sum: Record<string, number> = {};
for (let seed = from; seed <= to; seed++) {
  const { violation, events, figures, endedAtMs } = simulate(seed, options);
  sum.events = (sum.events ?? 0) + events;
  for (const [name, count] of Object.entries(figures)) sum[name] = (sum[name] ?? 0) + count;
  if (violation === null) continue;
  failed++;
  console.log(`seed ${seed} at ${(endedAtMs / 1_000).toFixed(3)} s: ${violation.message}`);
  console.log(`  bin/node test/simulation/run.ts --seed ${seed} --trace${values.bug ? ` --bug ${values.bug}` : ""}`);
}
const count = to - from + 1;
const tookMs = performance.now() - startedMs;
console.log(`${count} seeds, ${failed} failed, ${(tookMs / count).toFixed(1)} ms each`);
console.log(
  Object.entries(sum)
    .map(([name, number]) => `${name} ${number}`)
    .sort()
    .join(" · "),
);
process.exitCode = failed > 0 ? 1 : 0;
