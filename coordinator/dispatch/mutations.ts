/**
 * Deliberate bugs, all off. Only the simulation's own test turns one on, to prove that the simulation would find it:
 * a safety net that has never caught anything is not known to be one.
 */
export interface Mutations {
  /** Answers 201, acknowledges and leases when gathered instead of when committed. */
  acknowledgeBeforeCommit: boolean;
  /** Queues children as soon as the parent's end is gathered. */
  childBeforeCommit: boolean;
  /** Goes on renewing and leasing after its own deadline. */
  renewAfterDeadline: boolean;
  /** Accepts reports of superseded attempts. */
  fenceForgotten: boolean;
  /** A lease given back unused gives its attempt number back, too. */
  attemptReusedAfterRelease: boolean;
  /** A duplicate report adds to the counters again. */
  duplicateCounted: boolean;
  /** A duplicate report becomes a second end. */
  duplicateFolded: boolean;
  /** Leases more than fits, beyond what the agent asked for. */
  leaseAboveCapacity: boolean;
  /** A stall of this process counts as silence of its agents. */
  stallIgnored: boolean;
  /** Does not notice that its machine slept. */
  sleepUnnoticed: boolean;
  /** Reports about experiments that left memory are not answered. */
  evictedReportDropped: boolean;
  /** A join is queued with each of its needs that completes. */
  needsReleasedTwice: boolean;
  /** max_failures counts failures that are not durable yet. */
  failuresBeforeCommit: boolean;
  /** A second machine with the same identity takes the session over while the first one works. */
  identityShared: boolean;
}

export const NO_MUTATIONS: Mutations = {
  acknowledgeBeforeCommit: false,
  childBeforeCommit: false,
  renewAfterDeadline: false,
  fenceForgotten: false,
  attemptReusedAfterRelease: false,
  duplicateCounted: false,
  duplicateFolded: false,
  leaseAboveCapacity: false,
  stallIgnored: false,
  sleepUnnoticed: false,
  evictedReportDropped: false,
  needsReleasedTwice: false,
  failuresBeforeCommit: false,
  identityShared: false,
};
