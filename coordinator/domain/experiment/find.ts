/**
 * Where an experiment is known: in the dispatcher's memory while it is unfinished and for a while after, in the history
 * always. What is unfinished and not in memory belongs to another coordinator that leads.
 */
import { AiravataError } from "../../../shared/error/error.ts";
import type { ExperimentDefinition } from "../../../shared/model/definition.ts";
import type { ExperimentId } from "../../../shared/model/ids.ts";
import type { Dispatcher, ExperimentView, TaskCounts } from "../../dispatch/contract.ts";
import type { StoredExperiment, StoredRunTime } from "../../store/records.ts";
import type { History } from "../history.ts";
import { type ExperimentRecord, recordOfView } from "./record.ts";

export interface Sources {
  dispatcher: Dispatcher;
  history: History;
}

export interface FoundExperiment {
  record: ExperimentRecord;
  definition: ExperimentDefinition;
  /** True while the dispatcher answers for its tasks. */
  inMemory: boolean;
}

/** Throws `experiment_not_found`, or `not_leading` when it is unfinished and this process does not lead. */
export async function findExperiment(sources: Sources, id: ExperimentId): Promise<FoundExperiment> {
  const view = sources.dispatcher.experiment(id);
  if (view) return { record: recordOfView(view), definition: view.definition, inMemory: true };
  const stored = await sources.history.experiment(id);
  if (!stored) throw new AiravataError("experiment_not_found", `there is no experiment ${id}`);
  // It may have been submitted while the history was read.
  const late = sources.dispatcher.experiment(id);
  if (late) return { record: recordOfView(late), definition: late.definition, inMemory: true };
  const definition = await sources.history.definition(id);
  if (!definition) throw new AiravataError("experiment_not_found", `the definition of experiment ${id} is gone`);
  return { record: recordOfStored(sources, stored), definition, inMemory: false };
}

/** Throws `not_leading` for an unfinished one. */
export function recordOfStored({ dispatcher }: Sources, stored: StoredExperiment): ExperimentRecord {
  const view = dispatcher.experiment(stored.experiment);
  if (view) return recordOfView(view);
  const { experiment, name, project, priority, submittedAtMs, tasks, end } = stored;
  if (end === null) {
    const { leading, detail } = dispatcher.leadership();
    const why = leading ? "it is being loaded" : `this coordinator does not lead: ${detail}`;
    throw new AiravataError("not_leading", `experiment ${experiment} is unfinished and ${why}`);
  }
  const { completed, failed, canceled } = end;
  const counts = { total: tasks, waiting: 0, queued: 0, leased: 0, completed, failed, canceled };
  return {
    experiment,
    name,
    project,
    state: end.state,
    priority,
    counts,
    running: 0,
    submittedAtMs,
    endedAtMs: end.atMs,
  };
}

/** Counts of each template, by ordinal. */
export async function templateCounts(sources: Sources, found: FoundExperiment): Promise<TaskCounts[]> {
  const { experiment } = found.record;
  const view: ExperimentView | undefined = sources.dispatcher.experiment(experiment);
  if (view) return view.templates.map(({ counts }) => counts);
  return sources.history.templateCounts(experiment);
}

export interface DetailedExperiment {
  found: FoundExperiment;
  /** Of each template, by ordinal. */
  counts: TaskCounts[];
  /** The file as it was sent; null unless it was asked for. */
  specText: string | null;
  /** How long completed tasks ran; empty unless it was asked for. */
  runTimes: StoredRunTime[];
}

/** Throws `experiment_not_found`, `not_leading`. */
export async function detailExperiment(
  sources: Sources,
  id: ExperimentId,
  include?: "spec" | "run_times",
): Promise<DetailedExperiment> {
  const found = await findExperiment(sources, id);
  const counts = await templateCounts(sources, found);
  const specText = include === "spec" ? ((await sources.history.specText(id)) ?? null) : null;
  const runTimes = include === "run_times" ? await sources.history.runTimes(id) : [];
  return { found, counts, specText, runTimes };
}
