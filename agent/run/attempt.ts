/**
 * What the run room needs to know of a lease in order to run it: the task, the fence, its values and where it runs.
 */
import type { AttemptKey } from "../../shared/model/ids.ts";
import type { LeasedTemplate } from "../../shared/protocol/messages.ts";

export interface RunnableAttempt extends AttemptKey {
  /** `attemptKeyText` of this attempt: its name between agent, runner and outbox. */
  readonly key: string;
  /** Names, definition and parameters of its template; undefined for an attempt adopted from a former agent process. */
  readonly leased: LeasedTemplate | undefined;
  /** Input values when the template's inputs were too large to travel in its definition. */
  readonly values: Record<string, string> | undefined;
  /** Per referenced parent the attempts whose outputs count, as in `LeaseGroup.parents`. */
  readonly parents: number[][] | undefined;
  /** The runner it was given to, −1 before that. */
  readonly lane: number;
  /** Numbers of the gpus that are its own while it runs. */
  readonly devices: readonly number[];
}
