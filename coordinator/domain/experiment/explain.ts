/** Why an experiment is where it is: per template one unfinished task with its reasons, and failures grouped by cause. */
import { Outcome } from "../../../shared/model/attempt.ts";
import type { ExperimentId } from "../../../shared/model/ids.ts";
import type { Reason, Seen } from "../../dispatch/contract.ts";
import type { StoredAttempt } from "../../store/records.ts";
import { taskIdText } from "../task/find.ts";
import { listTasks } from "../task/list.ts";
import {
  type ArchivedExperiment,
  archivedOr,
  type FoundExperiment,
  findExperiment,
  type Sources,
  templateCounts,
} from "./find.ts";
import type { ExperimentRecord } from "./record.ts";

export interface FailureRecord {
  template: string;
  /** `Blame` code. */
  blame: number;
  exitCode: number;
  signal: number;
  tasks: number;
  example: string;
  tail: string | null;
  detail: string | null;
}

export interface ExperimentExplained {
  record: ExperimentRecord;
  reasons: Reason[];
  waiting: { template: string; tasks: number; example: string; reasons: Reason[] }[];
  failures: FailureRecord[];
}

/** Failures that are read for grouping, and templates whose unfinished tasks are explained. */
export const FAILURES_READ_MAX = 10_000;
const TEMPLATES_EXPLAINED_MAX = 50;

/** Throws `experiment_not_found`, `not_leading`. */
export function explainExperiment(sources: Sources, id: ExperimentId, seen: Seen): Promise<ExperimentExplained> {
  return archivedOr(sources, id, explainArchived, async () => {
    const found = await findExperiment(sources, id);
    const waiting = await explainWaiting(sources, found, seen);
    const failures = groupFailures(found, await sources.history.failures(id, FAILURES_READ_MAX));
    return { record: found.record, reasons: [summary(found.record)], waiting, failures };
  });
}

function explainArchived({ record, summary: kept, file }: Omit<ArchivedExperiment, "specText">): ExperimentExplained {
  const when = new Date(record.archivedAtMs ?? 0).toISOString();
  const message = `It was archived on ${when}${file ? `; its tasks are in ${file.path}` : ""}.`;
  const reasons = [summary(record), { code: "experiment_archived", message }];
  return { record, reasons, waiting: [], failures: kept.failures };
}

function summary({ counts }: ExperimentRecord): Reason {
  const parts = (["queued", "waiting", "leased", "completed", "failed", "canceled"] as const)
    .filter((name) => counts[name] > 0)
    .map((name) => `${counts[name]} ${name}`);
  return {
    code: "experiment_state",
    message: `Of ${counts.total} ${counts.total === 1 ? "task" : "tasks"} ${parts.join(", ")}.`,
  };
}

async function explainWaiting(
  sources: Sources,
  found: FoundExperiment,
  seen: Seen,
): Promise<ExperimentExplained["waiting"]> {
  if (!found.inMemory) return [];
  const counts = await templateCounts(sources, found);
  const explained: ExperimentExplained["waiting"] = [];
  for (const { ordinal, name } of found.definition.templates) {
    const { queued = 0, waiting = 0, leased = 0 } = counts[ordinal] ?? {};
    const state = queued > 0 ? "QUEUED" : waiting > 0 ? "WAITING" : leased > 0 ? "LEASED" : undefined;
    if (state === undefined) continue;
    if (explained.length === TEMPLATES_EXPLAINED_MAX) break;
    const query = { limit: 1, cursor: undefined, template: name, state } as const;
    const [task] = (await listTasks(sources, found.record.experiment, query)).items;
    if (!task) continue;
    explained.push({
      template: name,
      tasks: queued + waiting + leased,
      example: taskIdText(found.record.experiment, name, task.view.index),
      reasons: sources.dispatcher.explain(found.record.experiment, ordinal, task.view.index, seen),
    });
  }
  return explained;
}

/** Equal causes of one template together, the most frequent first. The example is the newest that says something. */
export function groupFailures(
  { record, definition }: FoundExperiment,
  failures: (StoredAttempt & { template: number })[],
): FailureRecord[] {
  const groups = new Map<string, FailureRecord>();
  for (const failure of failures) {
    if (failure.outcome === Outcome.CANCELED) continue;
    const { template, blame, exitCode, signal, tail, detail } = failure;
    const key = `${template} ${blame} ${exitCode} ${signal}`;
    const name = definition.templates[template]?.name ?? String(template);
    const group = groups.get(key);
    if (!group) {
      const example = taskIdText(record.experiment, name, failure.index);
      groups.set(key, { template: name, blame, exitCode, signal, tasks: 1, example, tail, detail });
      continue;
    }
    group.tasks++;
    if (group.tail === null && tail !== null) {
      Object.assign(group, { tail, detail, example: taskIdText(record.experiment, name, failure.index) });
    }
  }
  return [...groups.values()].sort((a, b) => b.tasks - a.tasks);
}
