/** The dispatcher around the core: when it ends, and what it answers past its deadline. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createDispatcher } from "../../../coordinator/dispatch/dispatcher.ts";
import type { LoadedState } from "../../../coordinator/dispatch/load.ts";
import type { Reign } from "../../../coordinator/dispatch/ports.ts";
import { silentLogger } from "../../../shared/log/log.ts";
import type { ExperimentId } from "../../../shared/model/ids.ts";

const LEAD_MS = 4_000;

/** A dispatcher that wins at once and loads when the test says so, on a clock that the test moves. */
function dispatching() {
  const time = { mono: 1_000 };
  const loading = Promise.withResolvers<LoadedState>();
  let resigned = false;
  const reign: Reign = {
    shard: 0,
    term: 1,
    timeline: 1,
    leadUntilMono: time.mono + LEAD_MS,
    load: () => loading.promise,
    append: async () => {},
    renew: async () => time.mono + LEAD_MS,
    checkpoint: async () => {},
    resign: async () => {
      resigned = true;
    },
  };
  const dispatcher = createDispatcher({
    leadership: {
      campaign: (signal) =>
        signal.aborted || resigned
          ? new Promise((_, reject) => signal.addEventListener("abort", reject))
          : Promise.resolve(reign),
    },
    clock: { mono: () => time.mono, wall: () => time.mono },
    random: () => 0.5,
    log: silentLogger,
    ttlMs: 20_000,
    infrastructureRetries: 10,
    loadEnded: async () => null,
  });
  const empty: LoadedState = {
    shard: 0,
    term: 1,
    timeline: 1,
    checkpointSeq: 0,
    experiments: [],
    experimentStates: [],
    chunks: [],
    batches: [],
    experimentMax: 0,
    idempotency: [],
  };
  const leading = new Promise<void>((resolve) => dispatcher.onLeadership((now) => now.leading && resolve()));
  return { dispatcher, time, leading, load: () => loading.resolve(empty), hasResigned: () => resigned };
}

test("one that is stopped while it loads resigns and ends", async () => {
  const { dispatcher, load, hasResigned } = dispatching();
  await new Promise(setImmediate);
  const stopped = dispatcher.stop();
  load();
  await stopped;
  assert.equal(hasResigned(), true);
  assert.equal(dispatcher.leadership().leading, false);
});

test("past its deadline nothing is answered from memory, though no timer has run yet", async () => {
  const { dispatcher, time, leading, load } = dispatching();
  load();
  await leading;
  assert.equal(dispatcher.leadership().leading, true);
  // As after SIGCONT: what lay in the sockets comes first.
  time.mono += LEAD_MS;
  assert.equal(dispatcher.leadership().leading, false);
  assert.equal(dispatcher.experiment(1 as ExperimentId), undefined);
  assert.deepEqual(dispatcher.agents(), []);
  await assert.rejects(
    dispatcher.decide({ kind: "cancel", experiment: 1 as ExperimentId } as Parameters<typeof dispatcher.decide>[0]),
    { code: "not_leading", message: /its lease has run out/ },
  );
  await dispatcher.stop();
});
