/**
 * Follows one experiment to its end: events as they come, a question now and then where none come, a new connection
 * where the old one broke. It hands on states, never differences, so that whatever is lost or repeated counts right.
 */
import { setTimeout as delay } from "node:timers/promises";
import { ApiError, type Client } from "../../shared/api/client.ts";
import type { WatchMessage } from "../../shared/api/event.ts";
import type { Experiment, ExperimentDetail } from "../../shared/api/experiment.ts";
import { watch } from "../../shared/api/watch.ts";
import { AiravataError } from "../../shared/error/error.ts";

/** Between the append of the last end and that of the experiment: a commit. */
const END_MS = 50;
/** With no event for so long the state is asked for: a proxy that swallows the socket must not freeze the bar. */
const QUIET_MS = 2_000;

interface FollowOptions {
  client: Client;
  experiment: number;
  signal: AbortSignal;
  /** The newest state. */
  onState(experiment: Experiment): void;
  /** True when the server cannot be heard, false when it can again. */
  onReconnecting(reconnecting: boolean): void;
  onEvent?(message: WatchMessage): void;
  /** Where the server is now; asked again and again while nobody answers where it was. Absent: it stays where it is. */
  find?(): Promise<Client | undefined>;
}

function hasEnded(experiment: Experiment): boolean {
  return experiment.state === "COMPLETED" || experiment.state === "FAILED" || experiment.state === "CANCELED";
}

/**
 * Resolves with the client in use and the final state. Rejects when the server refuses (`ApiError` below 500), or with
 * the signal's reason.
 */
export async function follow(options: FollowOptions): Promise<{ client: Client; final: ExperimentDetail }> {
  let client = options.client;
  let cursor: string | undefined;
  for (;;) {
    const ended = await followAt(client, cursor, options, (seen) => {
      cursor = seen;
    });
    if (ended !== undefined) return { client, final: ended };
    client = (await options.find?.()) ?? client;
  }
}

/** Follows at one address; undefined when the server should be looked for elsewhere. */
async function followAt(
  client: Client,
  cursor: string | undefined,
  options: FollowOptions,
  onCursor: (cursor: string) => void,
): Promise<ExperimentDetail | undefined> {
  const { experiment } = options;
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, options.signal]);
  let heardAt = performance.now();
  let ended: () => void = () => {};
  const end = new Promise<void>((resolve) => {
    ended = resolve;
  });
  const take = (state: Experiment): void => {
    if (state.id !== experiment) return;
    options.onState(state);
    if (hasEnded(state)) ended();
  };

  const listen = async (): Promise<void> => {
    const messages = watch({
      server: client.server,
      token: client.currentToken ?? client.token,
      subscribe: { experiments: [experiment], cursor },
      signal,
      onLost: () => {
        options.onReconnecting(true);
        // Asked for at once: the answer, or its lack, says whether the server is still where it was.
        heardAt = Number.NEGATIVE_INFINITY;
      },
    });
    for await (const message of messages) {
      heardAt = performance.now();
      options.onReconnecting(false);
      if ("cursor" in message) onCursor(message.cursor);
      if ("experiments" in message) message.experiments.forEach(take);
      if (message.type === "experiment.ended") ended();
      options.onEvent?.(message);
    }
  };
  const ask = async (): Promise<undefined> => {
    for (;;) {
      await delay(QUIET_MS / 4, undefined, { signal });
      if (performance.now() - heardAt < QUIET_MS) continue;
      try {
        take(await client.call("getExperiment", { params: { experiment }, signal }));
        options.onReconnecting(false);
      } catch (error) {
        if (!isPassing(error)) throw error;
        options.onReconnecting(true);
        // Only an address where nobody answers may be the wrong one.
        if (options.find && error instanceof AiravataError) return undefined;
      }
      heardAt = performance.now();
    }
  };
  const finish = async (): Promise<ExperimentDetail> => {
    for (;;) {
      await end;
      const final = await client.call("getExperiment", {
        params: { experiment },
        query: { include: "run_times" },
        signal,
      });
      // A retry may have opened it again between its end and this question.
      if (hasEnded(final) && final.ended_at !== null) return final;
      // The last task's end is durable a moment before the experiment's, which carries the time.
      await delay(hasEnded(final) ? END_MS : QUIET_MS / 4, undefined, { signal });
    }
  };
  try {
    return await Promise.race([listen().then(() => undefined), ask(), finish()]);
  } catch (error) {
    options.signal.throwIfAborted();
    if (!isPassing(error)) throw error;
    return undefined;
  } finally {
    stop.abort(new Error("no longer followed"));
  }
}

/** Worth asking again: nobody answered, or the server cannot for now. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof AiravataError || error instanceof ApiError)) return false;
  return error.status === 429 || error.status >= 500;
}
