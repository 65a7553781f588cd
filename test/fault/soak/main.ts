/**
 * `npm run soak`: 100,000 tasks for at least ten minutes under continuous faults, and a table of what became of them.
 *   npm run soak -- --minutes 10 --tasks 100000 --seed 17 --faults-per-minute 40 --agents 3 --lanes 8
 */
import { parseArgs } from "node:util";
import { type SoakReport, soak } from "./soak.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    tasks: { type: "string", default: "100000" },
    "experiment-tasks": { type: "string", default: "250" },
    "faults-per-minute": { type: "string", default: "40" },
    agents: { type: "string", default: "3" },
    lanes: { type: "string", default: "8" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 1_000_000)) },
  },
});

const asked = new AbortController();
process.once("SIGINT", () => {
  console.log("no more faults; what was accepted is finished and judged (again Ctrl-C: leave everything as it is)");
  asked.abort();
});

console.log(`seed ${values.seed}`);
const report = await soak({
  minutes: Number(values.minutes),
  tasks: Number(values.tasks),
  experimentTasks: Number(values["experiment-tasks"]),
  faultsPerMinute: Number(values["faults-per-minute"]),
  agents: Number(values.agents),
  lanes: Number(values.lanes),
  seed: Number(values.seed),
  signal: asked.signal,
  tell: (line) => console.log(line),
}).catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
  return undefined;
});
if (report !== undefined) print(report);

function print({ verdict, faults, chaosSeconds, healSeconds, stallSecondsMax }: SoakReport): void {
  const { inVain, ends, ...figures } = verdict.figures;
  const rows: [string, number][] = [
    ...Object.entries(figures),
    ["seconds under faults", chaosSeconds],
    ["seconds from the last mend to the last end", healSeconds],
    ["tasks per second", figures.tasks / (chaosSeconds + healSeconds)],
    ["longest time without an end, s", stallSecondsMax],
    ...Object.entries(faults).map(([kind, times]): [string, number] => [`fault: ${kind}`, times]),
    ...Object.entries(ends).map(([end, times]): [string, number] => [`attempts ended ${end}`, times]),
    ...Object.entries(inVain).map(([end, times]): [string, number] => [`executions in vain: ${end}`, times]),
  ];
  for (const [name, value] of rows) console.log(`${name.padEnd(48)}${Math.round(value * 10) / 10}`);
}
