/**
 * What one attempt came to, as this agent saw it: the record of the outbox and the row of an `ended` report.
 */
import type { Blame, Outcome } from "../../shared/model/attempt.ts";

export interface AttemptEnd {
  /** `attemptKeyText` of the attempt. */
  key: string;
  outcome: Outcome;
  blame: Blame;
  /** Exit status, −1 when there is none. */
  exitCode: number;
  /** Signal number, 0 when there is none. */
  signal: number;
  /** Wall-clock milliseconds; 0 when it was never started. */
  startedAtMs: number;
  endedAtMs: number;
  cpuMs: number;
  memoryMaxBytes: number;
  /** From and to storage; absent when nothing was. */
  readBytes?: number;
  writtenBytes?: number;
  /** Last error output of a failed attempt, at most `FAILED_TAIL_BYTES` of UTF-8. */
  tail?: string;
  /** A sentence where the codes do not say it all. */
  detail?: string;
}
