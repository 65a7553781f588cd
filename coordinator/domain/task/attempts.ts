/** The attempts of a task: those that ended from the history, the one that is held now from the dispatcher. */
import { AiravataError } from "../../../shared/error/error.ts";
import type { AgentId } from "../../../shared/model/ids.ts";
import type { StoredAttempt } from "../../store/records.ts";
import type { Sources } from "../experiment/find.ts";
import type { Listed } from "../experiment/list.ts";
import type { FoundTask } from "./find.ts";

export interface AttemptRecord {
  attempt: number;
  agent: AgentId | null;
  /** When its agent says that it started; null while it has not. */
  startedAtMs: number | null;
  /** Null while it is held. */
  end: StoredAttempt | null;
}

/** In order of their numbers. Throws `cursor_invalid`. */
export async function listAttempts(
  sources: Sources,
  task: FoundTask,
  query: { limit: number; cursor: string | undefined },
): Promise<Listed<AttemptRecord>> {
  if (query.cursor !== undefined && !/^\d{1,9}$/.test(query.cursor)) {
    throw new AiravataError("cursor_invalid", "the cursor is not one of this list; leave it out to begin anew");
  }
  const after = Number(query.cursor ?? 0);
  const all = (await allAttempts(sources, task)).filter(({ attempt }) => attempt > after);
  const items = all.slice(0, query.limit);
  return { items, nextCursor: all.length > items.length ? String(items.at(-1)!.attempt) : null };
}

/** Every attempt, by number. A task has as many as it was tried: tens, not thousands. */
async function allAttempts({ history }: Sources, { key, view }: FoundTask): Promise<AttemptRecord[]> {
  const ended = await history.attempts(key, key.index, key.index);
  const records: AttemptRecord[] = ended.map((end) => ({
    attempt: end.attempt,
    agent: end.agent,
    startedAtMs: end.startedAtMs === 0 ? null : end.startedAtMs,
    end,
  }));
  const isHeld = view.state === "LEASED" && !ended.some(({ attempt }) => attempt === view.attempt);
  if (isHeld) {
    records.push({ attempt: view.attempt, agent: view.agent, startedAtMs: view.startedAtMs, end: null });
  }
  return records.sort((a, b) => a.attempt - b.attempt);
}

/** One attempt, the latest when no number is given. Throws `log_not_found`. */
export async function findAttempt(
  sources: Sources,
  task: FoundTask,
  attempt: number | undefined,
): Promise<AttemptRecord> {
  const all = await allAttempts(sources, task);
  const chosen = attempt === undefined ? all.at(-1) : all.find((record) => record.attempt === attempt);
  if (chosen) return chosen;
  const name = `task ${task.key.experiment}.${task.template.name}.${task.key.index}`;
  const numbers = all.map((record) => record.attempt).join(", ");
  throw new AiravataError(
    "log_not_found",
    all.length === 0
      ? `${name} is ${task.view.state} and was not attempted${task.view.state === "CANCELED" ? "" : " yet"}`
      : `${name} has no attempt ${attempt}; it has ${numbers}`,
  );
}
