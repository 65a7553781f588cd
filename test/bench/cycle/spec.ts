/** The experiments that the cycle is measured with: an array in one call, and single tasks with a value of their own each. */

import type { ExperimentDefinition } from "../../../shared/model/definition.ts";
import { parseExperiment } from "../../../shared/spec/parse.ts";

const HEAD = { version: 1, resources: { compute: { cpu: 1, ram_gb: 0.001, disk_gb: 0 } } };

/** One call, one template, `tasks` tasks by a range. */
export function arraySpec(tasks: number): Record<string, unknown> {
  return { ...HEAD, name: "array", tasks: { task: { argv: ["/bin/true"], task_inputs: { value: `1..${tasks}` } } } };
}

/** One of many calls: `count` tasks, each with its own text. */
export function singlesSpec(from: number, count: number): Record<string, unknown> {
  const value = Array.from({ length: count }, (_, i) => `v${from + i}`);
  return { ...HEAD, name: "singles", tasks: { task: { argv: ["/bin/true"], task_inputs: { value } } } };
}

export function arrayDefinition(tasks: number): ExperimentDefinition {
  return parseExperiment({ object: arraySpec(tasks) }, {}).definition;
}
