/**
 * The tasks of a file as a graph: who waits for whom, in which order they can be worked out, and where they wait in a
 * circle.
 */
import { nearestSlip } from "./nearest.ts";
import type { Problems } from "./problem.ts";
import type { TaskFile } from "./schema.ts";

/** Names of the tasks, parents before children; tasks of a cycle are left out, with a problem. */
export function taskOrder(tasks: ReadonlyMap<string, TaskFile>, problems: Problems): string[] {
  const parents = new Map<string, string[]>();
  const children = new Map<string, string[]>();
  const waiting = new Map<string, number>();
  for (const [name, task] of tasks) {
    const known = new Set<string>();
    for (const key of ["foreach", "needs"] as const) {
      for (const [position, parent] of (task?.[key] ?? []).entries()) {
        const path = ["tasks", name, key, position];
        if (!tasks.has(parent)) {
          const near = nearestSlip(parent, tasks.keys());
          problems.add(path, "spec_reference", `${name} has the unknown task ${parent} under ${key}`, {
            hint: near ? `did you mean ${near}?` : `the tasks are ${[...tasks.keys()].slice(0, 20).join(", ")}`,
          });
        } else if (parent === name) problems.add(path, "spec_cycle", `${name} waits for itself`);
        else if (known.has(parent))
          problems.add(path, "spec_conflict", `${name} names ${parent} twice under foreach and needs`, {
            hint: "once is enough",
          });
        else known.add(parent);
      }
    }
    parents.set(name, [...known]);
    waiting.set(name, known.size);
    for (const parent of known) {
      const list = children.get(parent) ?? [];
      list.push(name);
      children.set(parent, list);
    }
  }
  const order: string[] = [];
  const ready = [...tasks.keys()].filter((name) => waiting.get(name) === 0);
  for (let next = ready.shift(); next !== undefined; next = ready.shift()) {
    order.push(next);
    for (const child of children.get(next) ?? []) {
      const left = (waiting.get(child) ?? 0) - 1;
      waiting.set(child, left);
      if (left === 0) ready.push(child);
    }
  }
  reportCycles(new Set([...tasks.keys()].filter((name) => (waiting.get(name) ?? 0) > 0)), parents, problems);
  return order;
}

/** One problem for each separate cycle: walks from child to parent until a name comes again. */
function reportCycles(stuck: Set<string>, parents: Map<string, string[]>, problems: Problems): void {
  const done = new Set<string>();
  for (const start of stuck) {
    const walked: string[] = [];
    const position = new Map<string, number>();
    let name: string | undefined = start;
    while (name !== undefined && !done.has(name) && !position.has(name)) {
      position.set(name, walked.length);
      walked.push(name);
      name = parents.get(name)?.find((parent) => stuck.has(parent));
    }
    for (const each of walked) done.add(each);
    const from = name === undefined ? undefined : position.get(name);
    if (from === undefined) continue;
    const cycle = walked.slice(from);
    const first = cycle[0] as string;
    const shownNames = cycle.length > 10 ? [...cycle.slice(0, 10), "…"] : cycle;
    problems.add(
      ["tasks", first],
      "spec_cycle",
      `these tasks wait for each other in a circle: ${[...shownNames, first].join(" → ")}`,
    );
  }
}
