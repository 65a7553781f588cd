/** What people decide about an experiment or some of its tasks. The dispatcher makes it durable and carries it out. */
import { AiravataError } from "../../../shared/error/error.ts";
import type { ActorId, ExperimentId } from "../../../shared/model/ids.ts";
import type { Origin } from "../../dispatch/batch.ts";
import type { DecisionRequest } from "../../dispatch/contract.ts";
import { splitTaskId, templateOf } from "../task/find.ts";
import { type FoundExperiment, findExperiment, findRecord, type Sources } from "./find.ts";
import type { ExperimentRecord } from "./record.ts";

export interface Decision {
  kind: "cancel" | "pause" | "resume" | "retry";
  reason: string | undefined;
  /** Names of tasks; undefined: all. */
  tasks: readonly string[] | undefined;
  actor: ActorId;
  origin?: Origin;
}

const PAST = { cancel: "canceled", pause: "paused", resume: "resumed", retry: "retried" } as const;

/**
 * Throws `experiment_not_found`, `experiment_archived`, `task_not_found`, `experiment_state_conflict`, `request_invalid`
 * when single tasks are named for what concerns the whole, `not_leading`.
 */
export async function decideExperiment(
  sources: Sources,
  id: ExperimentId,
  decision: Decision,
): Promise<{ affected: number; record: ExperimentRecord }> {
  const { kind, tasks, actor, origin } = decision;
  if (tasks !== undefined && kind !== "cancel" && kind !== "retry") {
    throw new AiravataError("request_invalid", `${kind} concerns the whole experiment, so it takes no tasks`);
  }
  // Looked up here, because the dispatcher knows nothing of one that is archived.
  const known = sources.dispatcher.experiment(id) !== undefined && tasks === undefined;
  const found = known ? undefined : await findExperiment(sources, id);
  const scope = tasks === undefined || !found ? null : scopeOf(found, tasks);
  const reason = decision.reason ?? `${PAST[kind]} by request`;
  const request: DecisionRequest = { kind, experiment: id, actor, scope, reason, value: null, origin };
  const { affected } = await sources.dispatcher.decide(request);
  return { affected, record: await findRecord(sources, id) };
}

/** Names as inclusive ranges per template, sorted, each task once. Exported for tests. */
export function scopeOf(found: FoundExperiment, tasks: readonly string[]): NonNullable<DecisionRequest["scope"]> {
  const indexes = new Map<number, Set<number>>();
  for (const name of tasks) {
    const { experiment, templateName, index } = splitTaskId(name);
    const template = templateOf(found, templateName);
    if (experiment !== found.record.experiment || index >= template.count) {
      throw new AiravataError("task_not_found", `experiment ${found.record.experiment} has no task ${name}`);
    }
    const chosen = indexes.get(template.ordinal) ?? new Set();
    indexes.set(template.ordinal, chosen.add(index));
  }
  return [...indexes].map(([template, chosen]) => ({ template, ranges: rangesOf(chosen) }));
}

function rangesOf(indexes: Set<number>): [number, number][] {
  const ranges: [number, number][] = [];
  for (const index of [...indexes].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last && last[1] === index - 1) last[1] = index;
    else ranges.push([index, index]);
  }
  return ranges;
}
