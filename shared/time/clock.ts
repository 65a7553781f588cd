/**
 * The clock port. Decisions take monotonic time: it never jumps and is comparable only within one process. People and
 * the database see wall-clock time. Whoever needs time takes a `Clock`, so that tests and the simulation pass their own.
 */
export interface Clock {
  /** Monotonic milliseconds, with fractions; the zero is arbitrary. */
  mono(): number;
  /** Wall-clock milliseconds since 1970. */
  wall(): number;
}

/** The machine's own clock. It stands still neither for a stall nor for a step of the wall clock. */
export const systemClock: Clock = {
  mono: () => performance.now(),
  wall: () => Date.now(),
};
