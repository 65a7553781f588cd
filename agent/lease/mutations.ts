/**
 * Deliberate bugs of the agent's core, all off. Only the simulation's own test turns one on, to prove that the simulation
 * would find it.
 */
export interface AgentMutations {
  /** Does not give back what the coordinator recalls. */
  recallIgnored: boolean;
  /** Leaves what waits in its lanes there when trust ends. */
  lanesNotRecalled: boolean;
  /** Forgets ends when they are sent instead of when they are acknowledged. */
  outboxTruncatedEarly: boolean;
  /** Goes on with what it holds although the coordinator was restored. */
  timelineIgnored: boolean;
  /** Counts trust from the answer to a renewal instead of from its sending. */
  trustFromAnswer: boolean;
  /** Does not look at the wall clock: what it slept through it takes for no time. */
  sleepUnnoticed: boolean;
}

export const NO_MUTATIONS: AgentMutations = {
  recallIgnored: false,
  lanesNotRecalled: false,
  outboxTruncatedEarly: false,
  timelineIgnored: false,
  trustFromAnswer: false,
  sleepUnnoticed: false,
};
