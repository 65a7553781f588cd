/**
 * How an attempt ends: outcome, blame, who pays, and what becomes of the task. Codes are what the database and the wire
 * hold (small integers, never renumbered); names are what people see.
 */
import type { RetryCause } from "./definition.ts";

/** What an attempt came to. */
export const Outcome = {
  COMPLETED: 0,
  FAILED: 1,
  CANCELED: 2,
  /** The agent was lost, or its state: nobody knows how far it came. */
  LOST: 3,
  /** Given back before it was started. */
  RELEASED: 4,
} as const;
export type Outcome = (typeof Outcome)[keyof typeof Outcome];
export const OUTCOME_NAMES = ["COMPLETED", "FAILED", "CANCELED", "LOST", "RELEASED"] as const;

/** The classified cause of an end. */
export const Blame = {
  NONE: 0,
  /** The command ended with a status other than 0. */
  EXIT: 1,
  /** A signal that nobody here sent. */
  SIGNAL: 2,
  /** Its own wall time ran out. */
  TIMEOUT: 3,
  /** Killed for memory. */
  OOM: 4,
  /** The command could not be started. */
  SPAWN: 5,
  /** Exit 0, but a named output is missing or leads outside. */
  OUTPUT: 6,
  /** No space, or the disk failed. */
  DISK: 7,
  /** The runner process died under it. */
  RUNNER_LOST: 8,
  /** The agent stopped renewing its leases. */
  AGENT_LOST: 9,
  /** The agent no longer knows this attempt: the lease never arrived, or its state was wiped. */
  NOT_HELD: 10,
  /** A person canceled it. */
  CANCELED: 11,
  /** The allocation around the agent ended. */
  ALLOCATION: 12,
  /** The agent is draining and had not started it, or it was recalled. */
  RELEASED: 13,
  /** The agent could not prepare it (directory, rendering): a fault of the site. */
  AGENT: 14,
} as const;
export type Blame = (typeof Blame)[keyof typeof Blame];
export const BLAME_NAMES = [
  "none",
  "exit",
  "signal",
  "timeout",
  "oom",
  "spawn",
  "output",
  "disk",
  "runner_lost",
  "agent_lost",
  "not_held",
  "canceled",
  "allocation",
  "released",
  "agent",
] as const;

/** Whose retry budget a failed attempt uses. */
export const Charge = { NONE: 0, USER: 1, INFRASTRUCTURE: 2 } as const;
export type Charge = (typeof Charge)[keyof typeof Charge];
export const CHARGE_NAMES = ["none", "user", "infrastructure"] as const;

/** What the end does to the task. */
export const Disposition = { FINAL: 0, REQUEUE: 1 } as const;
export type Disposition = (typeof Disposition)[keyof typeof Disposition];
export const DISPOSITION_NAMES = ["FINAL", "REQUEUE"] as const;

const USER_CAUSES: Partial<Record<Blame, RetryCause>> = {
  [Blame.EXIT]: "exit",
  [Blame.SIGNAL]: "signal",
  [Blame.TIMEOUT]: "timeout",
  [Blame.OOM]: "oom",
  [Blame.SPAWN]: "spawn",
  [Blame.OUTPUT]: "output",
};

/** The retry cause that a blame stands for in `retries.on`; undefined for infrastructure. */
export function retryCause(blame: Blame): RetryCause | undefined {
  return USER_CAUSES[blame];
}

/** Who pays for an end: a released or canceled attempt nobody, the user for the task's own faults, the site for the rest. */
export function chargeFor(outcome: Outcome, blame: Blame): Charge {
  if (outcome === Outcome.COMPLETED || outcome === Outcome.CANCELED || outcome === Outcome.RELEASED) return Charge.NONE;
  if (blame === Blame.NOT_HELD) return Charge.NONE;
  return retryCause(blame) === undefined ? Charge.INFRASTRUCTURE : Charge.USER;
}
