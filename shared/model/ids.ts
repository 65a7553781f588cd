/**
 * Ids of the system's nouns. All are plain numbers below 2^53, branded so that they cannot be mixed up.
 * People and URLs see a task as `EXPERIMENT.TEMPLATE.INDEX`, for example `17.dock.42`; the command line also takes slashes.
 */
export type Brand<T, B extends string> = T & { readonly __brand: B };

/** Number of an experiment, given by the dispatcher in submit order; never reused, also not after a restore. */
export type ExperimentId = Brand<number, "experiment">;
/** Number of an enrolled agent (its identity, not its session). */
export type AgentId = Brand<number, "agent">;
export type ProjectId = Brand<number, "project">;
/** Who did it: a person, a token or the system itself (0). */
export type ActorId = Brand<number, "actor">;

export const SYSTEM_ACTOR = 0 as ActorId;
/** The holder of the token made at first start. */
export const OPERATOR_ACTOR = 1 as ActorId;
export const DEFAULT_PROJECT = 1 as ProjectId;

/** One task: (experiment, template ordinal, index). */
export interface TaskKey {
  experiment: ExperimentId;
  template: number;
  index: number;
}

/** One attempt of one task; the attempt number is the fencing token. */
export interface AttemptKey extends TaskKey {
  attempt: number;
}

/** Text form of an attempt used as a file-safe key between agent and runner: `17.0.42.3`. */
export function attemptKeyText(key: AttemptKey): string {
  return `${key.experiment}.${key.template}.${key.index}.${key.attempt}`;
}

/** The reverse of `attemptKeyText`; undefined when the text is not one. */
export function parseAttemptKey(text: string): AttemptKey | undefined {
  const match = /^(\d{1,15})\.(\d{1,9})\.(\d{1,9})\.(\d{1,9})$/.exec(text);
  if (!match) return undefined;
  return {
    experiment: Number(match[1]) as ExperimentId,
    template: Number(match[2]),
    index: Number(match[3]),
    attempt: Number(match[4]),
  };
}
