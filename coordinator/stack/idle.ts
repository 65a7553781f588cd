/** Tells when a stack that nobody asked to keep is idle: no unfinished task, no client, for long enough. */
import type { Clock } from "../../shared/time/clock.ts";

export interface IdleSources {
  /** Tasks that are not ended; undefined while nobody can say (no leadership). */
  unfinished(): number | undefined;
  /** Clients now, and when the last one was there; monotonic ms. */
  activity(): { clients: number; lastMono: number };
}

/** A twentieth of the time is precise enough; at most every ten seconds, at least every hundred milliseconds. */
const CHECKS = 20;

/** Calls `onIdle` once. Returns the function that stops watching. */
export function watchIdle(idleMs: number, sources: IdleSources, clock: Clock, onIdle: () => void): () => void {
  let busyMono = clock.mono();
  const timer = setInterval(
    () => {
      const { clients, lastMono } = sources.activity();
      if (clients > 0 || sources.unfinished() !== 0) busyMono = clock.mono();
      busyMono = Math.max(busyMono, lastMono);
      if (clock.mono() - busyMono < idleMs) return;
      clearInterval(timer);
      onIdle();
    },
    Math.min(10_000, Math.max(100, idleMs / CHECKS)),
  );
  return () => clearInterval(timer);
}
