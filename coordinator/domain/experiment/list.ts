/** Lists experiments: the history knows all of them, the dispatcher how far the unfinished ones are. */
import { AiravataError } from "../../../shared/error/error.ts";
import type { ExperimentId } from "../../../shared/model/ids.ts";
import type { ExperimentState } from "../../../shared/model/states.ts";
import type { ExperimentQuery } from "../../store/records.ts";
import type { VisibleExperiments } from "../access/access.ts";
import { recordOfStored, type Sources } from "./find.ts";
import type { ExperimentRecord } from "./record.ts";

export interface ListQuery {
  limit: number;
  cursor: string | undefined;
  state: ExperimentState | undefined;
  project: string | undefined;
  name: string | undefined;
  visible: VisibleExperiments | null;
}

export interface Listed<T> {
  items: T[];
  nextCursor: string | null;
}

/** Stored rows that one page looks at while it searches for a state: some hundred unfinished ones are many. */
const SEARCHED_MAX = 5_000;

const FINAL: readonly string[] = ["COMPLETED", "FAILED", "CANCELED"];

/** Newest first. Throws `cursor_invalid`, `not_leading`. */
export async function listExperiments(sources: Sources, query: ListQuery): Promise<Listed<ExperimentRecord>> {
  const items: ExperimentRecord[] = [];
  const visible = query.visible && {
    projects: [...query.visible.projects].map(Number),
    experiments: [...query.visible.experiments].map(Number),
  };
  let before = query.cursor === undefined ? null : parseCursor(query.cursor);
  for (let searched = 0; searched < SEARCHED_MAX; ) {
    const rows = await sources.history.experiments({
      before,
      limit: query.limit + 1 - items.length,
      state: storedState(query.state),
      project: query.project ?? null,
      name: query.name ?? null,
      visible,
    });
    searched += rows.length;
    for (const row of rows) {
      const record = recordOfStored(sources, row);
      if (query.state !== undefined && record.state !== query.state) continue;
      if (items.length === query.limit) return { items, nextCursor: String(items.at(-1)!.experiment) };
      items.push(record);
    }
    const last = rows.at(-1);
    if (last === undefined) return { items, nextCursor: null };
    before = last.experiment;
  }
  return { items, nextCursor: before === null ? null : String(before) };
}

function storedState(state: ExperimentState | undefined): ExperimentQuery["state"] {
  if (state === undefined) return null;
  return FINAL.includes(state) ? (state as ExperimentQuery["state"]) : "unfinished";
}

function parseCursor(cursor: string): ExperimentId {
  if (/^\d{1,15}$/.test(cursor)) return Number(cursor) as ExperimentId;
  throw new AiravataError("cursor_invalid", "the cursor is not one of this list; leave it out to begin anew");
}
