/** The attempts that count: for completed tasks which attempt it was and which agent has its files. */
import { Disposition, Outcome } from "../../../shared/model/attempt.ts";
import type { AgentId, ExperimentId } from "../../../shared/model/ids.ts";
import type { History } from "../history.ts";

export interface CountedAttempt {
  index: number;
  attempt: number;
  agent: AgentId | null;
}

/** Of tasks `from … to` (inclusive), by index; tasks that did not complete are not in it. */
export async function countedAttempts(
  history: History,
  experiment: ExperimentId,
  template: number,
  from: number,
  to: number,
): Promise<CountedAttempt[]> {
  const counted = new Map<number, CountedAttempt>();
  for (const { index, attempt, agent, outcome, disposition } of await history.attempts(
    { experiment, template },
    from,
    to,
  )) {
    if (outcome !== Outcome.COMPLETED || disposition !== Disposition.FINAL) continue;
    // A task that was retried after it had completed counts with its latest.
    if ((counted.get(index)?.attempt ?? 0) < attempt) counted.set(index, { index, attempt, agent });
  }
  return [...counted.values()].sort((a, b) => a.index - b.index);
}
