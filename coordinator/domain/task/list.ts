/** Pages through the tasks of an experiment, in the order of templates and indexes, a slice at a time. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { AiravataError } from "../../../shared/error/error.ts";
import type { ExperimentId } from "../../../shared/model/ids.ts";
import type { TaskStateName } from "../../../shared/model/states.ts";
import type { TaskView } from "../../dispatch/contract.ts";
import { findExperiment, type Sources, templateCounts } from "../experiment/find.ts";
import type { Listed } from "../experiment/list.ts";
import { taskViews, templateOf } from "./find.ts";

export interface TaskQuery {
  limit: number;
  cursor: string | undefined;
  /** Name or ordinal. */
  template: string | undefined;
  state: TaskStateName | undefined;
}

export interface ListedTask {
  experiment: ExperimentId;
  templateName: string;
  view: TaskView;
}

/** Tasks looked at in one turn of the loop: about a millisecond. */
const SLICE_TASKS = 5_000;
/** Tasks that one page looks at while it searches for a state; the page then ends early, with a cursor. */
const SEARCHED_MAX = 1_000_000;

const COUNTED = {
  WAITING: "waiting",
  QUEUED: "queued",
  LEASED: "leased",
  COMPLETED: "completed",
  FAILED: "failed",
  CANCELED: "canceled",
} as const;

/** Throws `experiment_not_found`, `task_not_found` for an unknown template, `cursor_invalid`, `not_leading`. */
export async function listTasks(sources: Sources, id: ExperimentId, query: TaskQuery): Promise<Listed<ListedTask>> {
  const found = await findExperiment(sources, id);
  const counts = query.state === undefined ? [] : await templateCounts(sources, found);
  const chosen = query.template === undefined ? undefined : templateOf(found, query.template);
  const start = query.cursor === undefined ? { template: 0, index: 0 } : parseCursor(query.cursor);
  const items: ListedTask[] = [];
  let searched = 0;
  for (const template of found.definition.templates) {
    const { ordinal, name, count } = template;
    if (ordinal < start.template || (chosen && chosen.ordinal !== ordinal)) continue;
    if (query.state !== undefined && counts[ordinal]?.[COUNTED[query.state]] === 0) continue;
    let from = ordinal === start.template ? start.index : 0;
    while (from < count) {
      if (searched >= SEARCHED_MAX) return { items, nextCursor: `${ordinal}.${from}` };
      const wanted = query.state === undefined ? query.limit + 1 - items.length : SLICE_TASKS;
      const views = await taskViews(sources, found, ordinal, from, Math.min(from + wanted, count) - 1);
      if (views.length === 0) break;
      for (const view of views) {
        if (query.state !== undefined && view.state !== query.state) continue;
        if (items.length === query.limit) return { items, nextCursor: `${ordinal}.${view.index}` };
        items.push({ experiment: id, templateName: name, view });
      }
      from += views.length;
      searched += views.length;
      if (query.state !== undefined) await nextTurn();
    }
  }
  return { items, nextCursor: null };
}

function parseCursor(cursor: string): { template: number; index: number } {
  const match = /^(\d{1,9})\.(\d{1,9})$/.exec(cursor);
  if (match) return { template: Number(match[1]), index: Number(match[2]) };
  throw new AiravataError("cursor_invalid", "the cursor is not one of this list; leave it out to begin anew");
}
