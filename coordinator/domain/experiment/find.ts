/**
 * Where an experiment is known: in the dispatcher's memory while it is unfinished and for a while after, in the history
 * always. What is unfinished and not in memory belongs to another coordinator that leads.
 */
import { AiravataError } from "../../../shared/error/error.ts";
import type { ExperimentDefinition } from "../../../shared/model/definition.ts";
import type { ExperimentId } from "../../../shared/model/ids.ts";
import type { Dispatcher, ExperimentView, TaskCounts } from "../../dispatch/contract.ts";
import type { ArchiveFile, StoredExperiment, StoredRunTime } from "../../store/records.ts";
import type { History } from "../history.ts";
import { type ExperimentSummary, parseSummary } from "../retention/summary.ts";
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

/** With its definition and tasks. Throws `experiment_not_found`, `experiment_archived`, or `not_leading` as `findRecord` does. */
export async function findExperiment(sources: Sources, id: ExperimentId): Promise<FoundExperiment> {
  const known = await lookUp(sources, id);
  if (!("stored" in known)) return known;
  if (known.stored.archivedAtMs !== null) throw await archived(sources.history, known.stored);
  const definition = await sources.history.definition(id);
  if (!definition) throw new AiravataError("experiment_not_found", `the definition of experiment ${id} is gone`);
  return { record: recordOfStored(sources, known.stored), definition, inMemory: false };
}

/**
 * The experiment as lists show it, archived or not. Throws `experiment_not_found`, or `not_leading` when it is unfinished
 * and this process does not lead.
 */
export async function findRecord(sources: Sources, id: ExperimentId): Promise<ExperimentRecord> {
  const known = await lookUp(sources, id);
  return "stored" in known ? recordOfStored(sources, known.stored) : known.record;
}

async function lookUp(
  { dispatcher, history }: Sources,
  id: ExperimentId,
): Promise<FoundExperiment | { stored: StoredExperiment }> {
  const found = (view: ExperimentView): FoundExperiment => {
    return { record: recordOfView(view), definition: view.definition, inMemory: true };
  };
  const view = dispatcher.experiment(id);
  if (view) return found(view);
  const stored = await history.experiment(id);
  if (!stored) throw new AiravataError("experiment_not_found", `there is no experiment ${id}`);
  // It may have been submitted while the history was read.
  const late = dispatcher.experiment(id);
  return late ? found(late) : { stored };
}

async function archived(history: History, { experiment, archivedAtMs }: StoredExperiment): Promise<AiravataError> {
  const file = (await history.summary(experiment))?.file;
  const when = new Date(archivedAtMs ?? 0).toISOString();
  const where = file ? `its tasks and attempts are in ${file.path}` : "its tasks and attempts were not kept";
  return new AiravataError(
    "experiment_archived",
    `experiment ${experiment} was archived on ${when}: its summary is left, ${where}; to run it again, submit its file anew`,
    { data: { archived_at: when, file: file?.path ?? null } },
  );
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
    archivedAtMs: stored.archivedAtMs,
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

/** What is left of an archived one. */
export interface ArchivedExperiment {
  record: ExperimentRecord;
  summary: ExperimentSummary;
  file: ArchiveFile | null;
  specText: string | null;
}

/** Throws `experiment_not_found`, `not_leading`. */
export async function detailExperiment(
  sources: Sources,
  id: ExperimentId,
  include?: "spec" | "run_times",
): Promise<DetailedExperiment | ArchivedExperiment> {
  const specText = include === "spec" ? ((await sources.history.specText(id)) ?? null) : null;
  return archivedOr(
    sources,
    id,
    (archived) => ({ ...archived, specText }),
    async () => {
      const found = await findExperiment(sources, id);
      const counts = await templateCounts(sources, found);
      const runTimes = include === "run_times" ? await sources.history.runTimes(id) : [];
      return { found, counts, specText, runTimes };
    },
  );
}

/**
 * What its summary gives when it is archived, else what `live` finds; also when it is archived in the midst of that.
 * Throws `experiment_not_found`, `not_leading`, and what `live` does.
 */
export async function archivedOr<A, L>(
  sources: Sources,
  id: ExperimentId,
  ofSummary: (archived: Omit<ArchivedExperiment, "specText">) => A,
  live: (record: ExperimentRecord) => Promise<L>,
): Promise<A | L> {
  const record = await findRecord(sources, id);
  if (record.archivedAtMs === null) {
    try {
      return await live(record);
    } catch (error) {
      if (!(error instanceof AiravataError && error.code === "experiment_archived")) throw error;
      return archivedOr(sources, id, ofSummary, live);
    }
  }
  const stored = await sources.history.summary(id);
  if (!stored) throw new Error(`experiment ${id} is archived and has no summary`);
  return ofSummary({ record, summary: parseSummary(stored.summary), file: stored.file });
}
