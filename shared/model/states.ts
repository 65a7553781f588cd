/**
 * States and who moves them. Each has a sentence: what it means, who moves it on, and what happens if that mover dies.
 * `TASK_TRANSITIONS` is the whole truth; the diagram in README.md here is compared with it by a test.
 */

/** States of a task, as stored in one byte. */
export const TaskState = {
  /** A need is unfinished. The core moves it when the parent's end is committed; a new dispatcher derives it again from the ledger. */
  WAITING: 0,
  /** May be leased. The core leases it to an agent that asks; if the dispatcher dies it is still queued for the next one. */
  QUEUED: 1,
  /** One attempt is with an agent. Its report ends it; if the agent dies the lease runs out and the core queues it again. */
  LEASED: 2,
  /** Ended well. Final unless a person retries a task that it depends on. */
  COMPLETED: 3,
  /** Ended badly with no try left. Final until a person retries it. */
  FAILED: 4,
  /** Ended by a person, by max_failures or because a need failed for good. Final until retried. */
  CANCELED: 5,
} as const;
export type TaskState = (typeof TaskState)[keyof typeof TaskState];
export const TASK_STATE_NAMES = ["WAITING", "QUEUED", "LEASED", "COMPLETED", "FAILED", "CANCELED"] as const;
export type TaskStateName = (typeof TASK_STATE_NAMES)[number];

/**
 * Allowed moves of a task; every other one is a broken invariant. QUEUED → COMPLETED | FAILED is the late report of the
 * latest attempt: its lease ran out, nobody else got the task yet, and the work was done after all.
 */
export const TASK_TRANSITIONS: Record<TaskStateName, readonly TaskStateName[]> = {
  WAITING: ["QUEUED", "CANCELED"],
  QUEUED: ["LEASED", "CANCELED", "COMPLETED", "FAILED"],
  LEASED: ["COMPLETED", "FAILED", "CANCELED", "QUEUED"],
  COMPLETED: [],
  FAILED: ["QUEUED", "WAITING"],
  CANCELED: ["QUEUED", "WAITING"],
};

export function isFinal(state: TaskState): boolean {
  return state >= TaskState.COMPLETED;
}

/** What a leased task is doing, as its agent last said; shown to people, never needed for correctness. */
export const PHASE_NAMES = ["LEASED", "DATA_STAGING", "ENV_SETUP", "RUNNING", "OUTPUT_STAGING"] as const;
export type PhaseName = (typeof PHASE_NAMES)[number];

/** States of an experiment. */
export const EXPERIMENT_STATE_NAMES = ["CREATED", "EXECUTING", "PAUSED", "COMPLETED", "FAILED", "CANCELED"] as const;
/**
 * CREATED: accepted, nothing leased yet; the first lease moves it on. EXECUTING: at least one lease was given; the last
 * task's end moves it on. PAUSED: no new leases until a person resumes; what runs goes on. COMPLETED: every task
 * completed. FAILED: every task ended, at least one failed. CANCELED: every task ended, none failed, at least one was
 * canceled. Retry leads from an ended state back to EXECUTING. All are derived from the ledger: no mover can die.
 */
export type ExperimentState = (typeof EXPERIMENT_STATE_NAMES)[number];

/** States of an agent's session. */
export const SESSION_STATE_NAMES = ["READY", "DRAINING", "GONE", "LOST"] as const;
/**
 * READY: heartbeats come, leases may be given. DRAINING: finishes what it holds, takes nothing new. GONE: said goodbye
 * holding nothing. LOST: stopped renewing; its leases were taken back. A lost agent that returns registers anew.
 */
export type SessionState = (typeof SESSION_STATE_NAMES)[number];
