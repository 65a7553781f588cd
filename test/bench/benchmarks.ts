/** Every benchmark by the name that `--only` takes, in the order in which they run. */

import { access } from "./access/access.ts";
import { agentBenchmark } from "./agent/rest.ts";
import { agents } from "./agents/agents.ts";
import type { Benchmark } from "./benchmark.ts";
import { growth } from "./growth/growth.ts";
import { latency } from "./latency/latency.ts";
import { peers } from "./peers/peers.ts";
import { rateBenchmark } from "./rate.ts";
import { atLeast } from "./report/goal.ts";
import { ratio } from "./report/measure.ts";
import { snapshot } from "./snapshot/snapshot.ts";
import { takeover } from "./takeover/takeover.ts";

export const BENCHMARKS: Record<string, Benchmark> = {
  cycle: rateBenchmark("cycle", {
    title: "(a) full durable cycle submit → lease → end, no process, adding and running at once",
    unit: "tasks",
    against: "graphile-worker",
    contenders: [
      { name: "graphile", tasks: 30_000, own: true },
      { name: "pgboss", tasks: 20_000, own: true },
      { name: "bare", tasks: 200_000, own: true },
      { name: "singles", tasks: 100_000, own: true },
      { name: "array", tasks: 200_000, own: true },
    ],
    goals: (figures) => [
      atLeast("single tasks", ratio(figures, "airavata, single tasks", "graphile-worker"), 4, "× graphile-worker"),
      atLeast("an array", ratio(figures, "airavata, array", "airavata, single tasks"), 1.2, "× single tasks"),
    ],
  }),
  argv: rateBenchmark("argv", {
    title: "(b1) a process per task, durable end to end, two slots: /bin/true",
    unit: "tasks",
    against: "xargs -P2 -n1 /bin/true",
    contenders: [
      { name: "xargsTrue", tasks: 6_000, own: false },
      { name: "spawnLoop", tasks: 6_000, own: false },
      { name: "argv", tasks: 6_000, own: true },
    ],
    goals: (figures) => [
      atLeast("argv", ratio(figures, "airavata, argv", "xargs -P2 -n1 /bin/true"), 1.7, "× xargs"),
      atLeast("argv", ratio(figures, "airavata, argv", "C posix_spawn loop"), 0.75, "× a C posix_spawn loop"),
    ],
  }),
  shell: rateBenchmark("shell", {
    title: "(b2) a shell line with a directory of its own and one line of output kept, two slots",
    unit: "tasks",
    against: "xargs -P2 sh -c",
    contenders: [
      { name: "xargsShell", tasks: 4_000, own: false },
      { name: "shell", tasks: 4_000, own: true },
    ],
    goals: (figures) => [atLeast("shell line", ratio(figures, "airavata, shell", "xargs -P2 sh -c"), 1.5, "× xargs")],
  }),
  latency,
  snapshot,
  agents,
  takeover,
  growth,
  peers,
  agent: agentBenchmark,
  access,
};
