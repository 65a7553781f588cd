/**
 * An experiment as people see it, from whichever place knows it: the dispatcher's memory while it is unfinished, the
 * history afterwards.
 */
import type { ExperimentId } from "../../../shared/model/ids.ts";
import type { ExperimentState } from "../../../shared/model/states.ts";
import type { ExperimentView, TaskCounts } from "../../dispatch/contract.ts";

export interface ExperimentRecord {
  experiment: ExperimentId;
  name: string;
  /** Name of the project. */
  project: string;
  state: ExperimentState;
  priority: number;
  counts: TaskCounts;
  /** Tasks that their agents said to have started. */
  running: number;
  submittedAtMs: number;
  endedAtMs: number | null;
  /** From then on only its summary is left. */
  archivedAtMs: number | null;
}

export function recordOfView(view: ExperimentView): ExperimentRecord {
  return {
    experiment: view.experiment,
    name: view.definition.name,
    project: view.definition.project,
    state: view.state,
    priority: view.priority,
    counts: view.counts,
    running: view.running,
    submittedAtMs: view.submittedAtMs,
    endedAtMs: view.endedAtMs,
    archivedAtMs: null,
  };
}
