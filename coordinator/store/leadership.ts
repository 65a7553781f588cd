/** The leadership port on PostgreSQL: campaigns until a term is won, whatever the database does meanwhile. */
import type { Logger } from "../../shared/log/log.ts";
import type { LeadershipPort, Reign } from "../dispatch/ports.ts";
import { type Candidate, winTerm } from "./campaign.ts";
import { PostgresReign } from "./reign.ts";

/** Pauses between tries while the database cannot be used: uniform(½, 1) × min(2 s, 100 ms × 2^n). */
const PAUSE_FIRST_MS = 100;
const PAUSE_MAX_MS = 2_000;

/** Its address may be known only once this process listens; until then it does not campaign. */
type FutureCandidate = Omit<Candidate, "internalAddress"> & { internalAddress: string | Promise<string> };

export function createLeadership(candidate: FutureCandidate, log: Logger): LeadershipPort {
  return {
    async campaign(signal: AbortSignal): Promise<Reign> {
      const named = { ...candidate, internalAddress: await unlessAborted(candidate.internalAddress, signal) };
      for (let tries = 0; ; tries++) {
        signal.throwIfAborted();
        try {
          const won = await winTerm(named, signal);
          log.info("leadership won", { shard: candidate.shard, term: won.term, timeline: won.timeline });
          return new PostgresReign(won, { ...candidate, log });
        } catch (error) {
          signal.throwIfAborted();
          log.warn("the campaign for leadership is interrupted; it goes on", { shard: candidate.shard, error });
          await pause(Math.min(PAUSE_MAX_MS, PAUSE_FIRST_MS * 2 ** tries) * (0.5 + Math.random() / 2), signal);
        }
      }
    },
  };
}

function unlessAborted<T>(value: T | Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    Promise.resolve(value)
      .finally(() => signal.removeEventListener("abort", abort))
      .then(resolve, reject);
  });
}

/** Ends early, without a word, when the signal aborts. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done);
  });
}
