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
}

export const NO_MUTATIONS: Mutations = {
  acknowledgeBeforeCommit: false,
  childBeforeCommit: false,
  renewAfterDeadline: false,
  fenceForgotten: false,
  attemptReusedAfterRelease: false,
  duplicateCounted: false,
};
