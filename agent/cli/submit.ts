/**
 * Hands an experiment in, once: all tries carry the same idempotency key, so that an answer that was lost on the way
 * costs a second question and not a second experiment.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { ApiError, type Client } from "../../shared/api/client.ts";
import type { Experiment, SubmitExperiment } from "../../shared/api/experiment.ts";
import { isPassing } from "./follow.ts";

/** A takeover after a crash is over in seconds; a server that is away for longer is somebody's to look at. */
const GIVE_UP_MS = 30_000;
const BACKOFF_CAP_MS = 4_000;
/** A coordinator that restarts is back within a second or two. */
const PROBES = 4;
const PROBE_PAUSE_MS = 300;

/** Looks whether anybody answers at all: an address that is wrong should be known in a moment, not in half a minute. */
export async function probe(client: Client): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await client.call("health", {});
      return;
    } catch (error) {
      if (!isPassing(error) || tries === PROBES) throw error;
      await delay(PROBE_PAUSE_MS * tries);
    }
  }
}

/** Throws the server's refusal, or `server_unreachable` after half a minute without an answer. */
export async function submit(client: Client, body: SubmitExperiment, onWait: () => void): Promise<Experiment> {
  const idempotencyKey = randomUUID();
  const deadline = performance.now() + GIVE_UP_MS;
  for (let tries = 1; ; tries += 1) {
    try {
      return await client.call("submitExperiment", { body, idempotencyKey });
    } catch (error) {
      if (!isPassing(error)) throw error;
      const asked = error instanceof ApiError ? (error.retryAfterSeconds ?? 0) * 1000 : 0;
      const waitMs = Math.max(asked, Math.random() * Math.min(BACKOFF_CAP_MS, 250 * 2 ** tries));
      if (performance.now() + waitMs > deadline) throw error;
      if (tries === 1) onWait();
      await delay(waitMs);
    }
  }
}
