/**
 * Properties of any history: replay from any checkpoint gives exactly the live state at every seq; counts are what a
 * recount says; the floor agrees with the ledger; and once everybody is well again, everything ends.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Core } from "../../../coordinator/dispatch/core.ts";
import { foldBatch } from "../../../coordinator/dispatch/ledger/fold.ts";
import { emptyLedger, stateOf } from "../../../coordinator/dispatch/ledger/ledger.ts";
import { encodeCheckpoint, ledgerFrom, markDirty } from "../../../coordinator/dispatch/ledger/snapshot.ts";
import { TaskState } from "../../../shared/model/states.ts";
import { differenceOf, recountDifference } from "../../simulation/database/compare.ts";
import { Durable } from "../../simulation/database/durable.ts";
import { History, histories } from "./history.ts";

/** Runs per property: at most two seconds each. */
const REPLAYS = { numRuns: 150 };
const HISTORIES = { numRuns: 1_000 };

test("replay from any checkpoint equals the live state, at every seq", () => {
  fc.assert(
    fc.property(histories, fc.array(fc.nat({ max: 9 }), { minLength: 40, maxLength: 40 }), (moves, whims) => {
      const history = new History();
      const { stage } = history;
      const durable = new Durable();
      for (const move of moves) {
        const before = stage.journal.length;
        history.play(move);
        for (const batch of stage.journal.slice(before)) durable.append(batch);
        if (stage.journal.length === before) continue;
        for (const seq of durable.checkpointSeqs()) {
          const loaded = ledgerFrom(durable.load(2, seq));
          assert.equal(differenceOf(stage.core.ledger, loaded), null, `from ${seq} to ${durable.seq}`);
        }
        const whim = whims[durable.seq % whims.length] as number;
        if (whim > 2) continue;
        const checkpoint = encodeCheckpoint(stage.core.ledger, 0, 1);
        // One in three is not written, and all of it is due again.
        if (whim === 0) markDirty(stage.core.ledger, checkpoint);
        else durable.checkpoint(checkpoint);
      }
    }),
    REPLAYS,
  );
});

test("counts are what a recount says, the floor agrees with the ledger, and everything ends once all are well", () => {
  fc.assert(
    fc.property(histories, (moves) => {
      const history = new History();
      const { core } = history.stage;
      for (const move of moves) {
        history.play(move);
        assert.equal(recountDifference(core.ledger), null);
        assert.equal(floorDifference(core), null);
      }
      history.finish();
      assert.equal(recountDifference(core.ledger), null);
      assert.equal(floorDifference(core), null);
      assert.equal(core.held.size, 0);
      const again = emptyLedger();
      for (const batch of history.stage.journal) foldBatch(again, batch);
      assert.equal(differenceOf(core.ledger, again), null);
    }),
    HISTORIES,
  );
});

test("each end and each lease is counted once: deltas are what the batches hold", () => {
  fc.assert(
    fc.property(histories, (moves) => {
      const history = new History();
      for (const move of moves) history.play(move);
      for (const batch of history.stage.journal) {
        let leased = 0;
        let ended = 0;
        for (const delta of batch.deltas) {
          leased += delta.leased;
          ended += delta.completed + delta.failed + delta.canceled + delta.requeued;
        }
        const count = (records: { indexes: number[] }[]): number => records.reduce((n, r) => n + r.indexes.length, 0);
        assert.deepEqual([leased, ended], [count(batch.leases), count(batch.ends)]);
      }
    }),
    HISTORIES,
  );
});

/** Where floor and ledger contradict each other, in words. */
function floorDifference(core: Core): string | null {
  for (const experiment of core.ledger.experiments.values()) {
    for (const template of experiment.templates) {
      for (let i = 0; i < template.count; i++) {
        const held = core.held.get(template.base + i);
        const state = stateOf(template, i);
        if (state === TaskState.LEASED && !held) return `${experiment.id}.${template.ordinal}.${i} is held by nobody`;
        if (held?.committed === true && !held.ghost && state !== TaskState.LEASED) {
          return `${experiment.id}.${template.ordinal}.${i} is held and not LEASED`;
        }
        if (held && held.attempt !== (template.attempts[i] as number) + (held.committed ? 0 : 1)) {
          return `${experiment.id}.${template.ordinal}.${i} is held as attempt ${held.attempt}`;
        }
      }
    }
  }
  for (const floor of core.agents.values()) {
    let cpus = floor.capacity.cpus;
    let ahead = 0;
    for (const held of floor.held) {
      if (held.ahead) ahead++;
      else cpus -= held.class.requirement.cpus;
      if (core.held.get(held.template.base + held.index) !== held) return `agent ${floor.agent} holds what it does not`;
    }
    if (cpus !== floor.free.cpus) return `agent ${floor.agent} has ${floor.free.cpus} cpus free instead of ${cpus}`;
    if (ahead !== floor.aheadUsed) return `agent ${floor.agent} has ${floor.aheadUsed} ahead instead of ${ahead}`;
  }
  return null;
}
