/** What was decided about an experiment, from its submit to its end, in the order of the journal. */
import { AiravataError } from "../../../shared/error/error.ts";
import { type ActorId, type ExperimentId, OPERATOR_ACTOR, SYSTEM_ACTOR } from "../../../shared/model/ids.ts";
import type { StoredDecision } from "../../store/records.ts";
import { archivedOr, findRecord, type Sources } from "./find.ts";
import type { Listed } from "./list.ts";

export interface TimelineRecord {
  atMs: number;
  /** 0 for the submit, which begins every timeline. */
  seq: number;
  kind: string;
  message: string;
  data: Record<string, unknown>;
}

/** Throws `experiment_not_found`, `cursor_invalid`. */
export async function timeline(
  sources: Sources,
  id: ExperimentId,
  query: { limit: number; cursor: string | undefined },
): Promise<Listed<TimelineRecord>> {
  const record = await findRecord(sources, id);
  if (query.cursor !== undefined && !/^\d{1,15}$/.test(query.cursor)) {
    throw new AiravataError("cursor_invalid", "the cursor is not one of this list; leave it out to begin anew");
  }
  const items: TimelineRecord[] = [];
  if (query.cursor === undefined) {
    const message = `submitted with ${record.counts.total} tasks`;
    items.push({ atMs: record.submittedAtMs, seq: 0, kind: "submitted", message, data: {} });
  }
  const after = Number(query.cursor ?? 0);
  // One more than fits tells whether there is another page.
  const wanted = query.limit + 1 - items.length;
  const decisions = await archivedOr(
    sources,
    id,
    ({ summary }) => summary.decisions.filter(({ seq }) => seq > after).slice(0, wanted),
    () => sources.history.decisions(id, after, wanted),
  );
  for (const decision of decisions) items.push(entryOf(decision));
  const more = items.length > query.limit;
  if (more) items.pop();
  return { items, nextCursor: more ? String(items.at(-1)!.seq) : null };
}

function entryOf({ atMs, seq, kind, actor, reason, value }: StoredDecision): TimelineRecord {
  const message = kind === "ended" ? `ended ${value}${reason ? `: ${reason}` : ""}` : `${kind}: ${reason}`;
  return { atMs, seq, kind, message, data: { actor: actorName(actor), ...(value === null ? {} : { value }) } };
}

function actorName(actor: ActorId): string {
  if (actor === SYSTEM_ACTOR) return "system";
  return actor === OPERATOR_ACTOR ? "operator" : String(actor);
}
