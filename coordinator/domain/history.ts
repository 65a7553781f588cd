/** What is durable and no longer (or never was) in the dispatcher's memory: the store's records, and states of tasks. */
import type { ExperimentId } from "../../shared/model/ids.ts";
import type { TaskCounts, TaskView } from "../dispatch/contract.ts";
import type { StoredHistory } from "../store/records.ts";

export interface History extends StoredHistory {
  /** Counts of each template of an ended experiment, by ordinal. */
  templateCounts(id: ExperimentId): Promise<TaskCounts[]>;
  /** Tasks `from … to` (inclusive) of an ended experiment. */
  tasks(id: ExperimentId, template: number, from: number, to: number): Promise<TaskView[]>;
}
