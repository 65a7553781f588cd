/**
 * Figures of the work as it is committed: ends by outcome and how long tasks ran. Kept in arrays, a few additions per
 * task, so that a hundred thousand ends cost a millisecond.
 */
import { Outcome } from "../../shared/model/attempt.ts";
import type { Committed, Dispatcher } from "../dispatch/contract.ts";
import { Histogram } from "../dispatch/loop.ts";

/** Upper bounds in seconds: from a shell line to a week. */
const DURATION_SECONDS = [0.01, 0.05, 0.25, 1, 5, 30, 60, 300, 1_800, 3_600, 14_400, 86_400, 604_800];

export interface TaskFigures {
  /** Tasks that ended for good, by state, since this process began to lead. */
  ended: { completed: number; failed: number; canceled: number };
  /** Attempts that ran, by how long. */
  durationSeconds: Histogram;
}

export interface WorkFigures {
  tasks: TaskFigures;
  /** Agents that hold a session now. */
  activeAgents(): number;
  leading(): boolean;
  /** The dispatcher's own, by name. */
  dispatch(): Record<string, number>;
  /** The loop's own, and what waits by class. */
  loop: Dispatcher["loop"];
  queues: Dispatcher["queues"];
  stop(): void;
}

/** Counts what is committed from now on. */
export function createWorkFigures(dispatcher: Dispatcher): WorkFigures {
  const tasks: TaskFigures = {
    ended: { completed: 0, failed: 0, canceled: 0 },
    durationSeconds: new Histogram(DURATION_SECONDS),
  };
  return {
    tasks,
    activeAgents: () => dispatcher.agents().filter(({ state }) => state === "READY" || state === "DRAINING").length,
    leading: () => dispatcher.leadership().leading,
    dispatch: () => dispatcher.figures(),
    loop: dispatcher.loop,
    queues: dispatcher.queues,
    stop: dispatcher.subscribe((committed) => count(tasks, committed)),
  };
}

function count(figures: TaskFigures, { batch }: Committed): void {
  for (const { completed, failed, canceled } of batch.deltas) {
    // A retry takes ended tasks back; a counter only grows.
    figures.ended.completed += Math.max(0, completed);
    figures.ended.failed += Math.max(0, failed);
    figures.ended.canceled += Math.max(0, canceled);
  }
  for (const { outcomes, startedAtMs, endedAtMs } of batch.ends) {
    for (let i = 0; i < outcomes.length; i++) {
      const started = startedAtMs[i] ?? 0;
      if (started === 0 || outcomes[i] === Outcome.RELEASED || outcomes[i] === Outcome.LOST) continue;
      figures.durationSeconds.observe(Math.max(0, ((endedAtMs[i] ?? started) - started) / 1000));
    }
  }
}
