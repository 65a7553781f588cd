/** Checkpoints: what they let a load leave out, what they must not, and what of them is kept. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Batch, DecisionRecord } from "../../../coordinator/dispatch/batch.ts";
import { Deposed, type EncodedCheckpoint, type Reign } from "../../../coordinator/dispatch/ports.ts";
import { createStore, type Store } from "../../../coordinator/store/store.ts";
import type { ExperimentId } from "../../../shared/model/ids.ts";
import { Cutter, definition, end, lease, submit, template } from "../../support/journal.ts";
import { freshDatabase, type TestDatabase } from "../../support/postgres.ts";

interface Stage {
  database: TestDatabase;
  store: Store;
  reign: Reign;
  cutter: Cutter;
  append(parts: Partial<Batch>): Promise<number>;
}

async function stage(t: TestContext): Promise<Stage> {
  const database = await freshDatabase(t);
  const store = createStore(database.url);
  database.defer(() => store.close());
  const reign = await store.leadership(0, "here").campaign(t.signal);
  database.defer(() => reign.resign());
  const cutter = new Cutter(reign);
  const append = async (parts: Partial<Batch>): Promise<number> => {
    const batch = cutter.batch(parts);
    await reign.append(batch);
    return batch.seq;
  };
  return { database, store, reign, cutter, append };
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function checkpoint(reign: Reign, seq: number, experiments: number[], data: string): EncodedCheckpoint {
  return {
    shard: 0,
    term: reign.term,
    seq,
    experiments: experiments.map((experiment) => ({ experiment, data: bytes(`state ${data}`) })),
    chunks: experiments.map((experiment) => ({ experiment, template: 0, chunk: 0, data: bytes(`chunk ${data}`) })),
  };
}

function decision(kind: DecisionRecord["kind"], experiment: number): DecisionRecord {
  const value = kind === "ended" ? "COMPLETED" : null;
  return { kind, experiment: experiment as ExperimentId, actor: 1 as never, scope: null, reason: "", value };
}

test("after a checkpoint a load is its rows and the batches after it", async (t) => {
  const { reign, append } = await stage(t);
  await append({ submits: [submit(1), submit(2)] });
  const seq = await append({ leases: [lease(1, 0, [0])] });
  await reign.checkpoint(checkpoint(reign, seq, [1, 2], "A"));
  await append({ submits: [submit(3)], leases: [lease(2, 0, [1])] });
  const loaded = await reign.load();
  assert.equal(loaded.checkpointSeq, 2);
  assert.deepEqual(
    loaded.experiments.map((e) => e.experiment),
    [1, 2],
  );
  assert.deepEqual(loaded.experiments[0]?.definition, submit(1).definition);
  assert.deepEqual(
    loaded.experimentStates.map((e) => [e.experiment, Buffer.from(e.data).toString()]),
    [
      [1, "state A"],
      [2, "state A"],
    ],
  );
  assert.deepEqual(
    loaded.chunks.map((c) => [c.experiment, Buffer.from(c.data).toString()]),
    [
      [1, "chunk A"],
      [2, "chunk A"],
    ],
  );
  assert.deepEqual(
    loaded.batches.map((batch) => batch.seq),
    [3],
  );
  assert.equal(loaded.experimentMax, 3);
});

test("the newest row of each chunk at or before the checkpoint counts; a newer one that no checkpoint names does not", async (t) => {
  const { reign, append, database } = await stage(t);
  const first = await append({ submits: [submit(1), submit(2)] });
  await reign.checkpoint(checkpoint(reign, first, [1, 2], "A"));
  const second = await append({});
  await reign.checkpoint(checkpoint(reign, second, [2], "B"));
  const sql = await database.connect();
  await sql.query(
    "insert into checkpoint_chunk select shard, template, chunk, experiment, 99, '\\x00' from checkpoint_chunk where seq = 2",
    5_000,
  );
  const { chunks } = await reign.load();
  assert.deepEqual(
    chunks.map((c) => Buffer.from(c.data).toString()),
    ["chunk A", "chunk B"],
  );
});

test("what ended before the checkpoint is not loaded; what ended after it, or was retried since, is", async (t) => {
  const { reign, append } = await stage(t);
  await append({ submits: [1, 2, 3, 4].map((id) => submit(id)) });
  const seq = await append({ decisions: [decision("ended", 1), decision("ended", 2)] });
  await reign.checkpoint(checkpoint(reign, seq, [1, 2, 3, 4], "A"));
  await append({ decisions: [decision("retry", 2), decision("ended", 3)] });
  const { experiments, chunks } = await reign.load();
  assert.deepEqual(
    experiments.map((e) => e.experiment),
    [2, 3, 4],
  );
  assert.deepEqual(
    chunks.map((c) => c.experiment),
    [2, 3, 4],
  );
});

test("a checkpoint of an older term, or of a seq that was never appended, is refused and leaves nothing", async (t) => {
  const { reign, append, database } = await stage(t);
  const seq = await append({ submits: [submit(1)] });
  await assert.rejects(reign.checkpoint(checkpoint(reign, seq + 1, [1], "A")), Deposed);
  const sql = await database.connect();
  await sql.query("update leadership set term = 9", 5_000);
  await assert.rejects(reign.checkpoint(checkpoint(reign, seq, [1], "A")), Deposed);
  for (const table of ["checkpoint", "checkpoint_chunk", "checkpoint_experiment"]) {
    assert.deepEqual(await sql.rows(`select from ${table}`, [], 5_000), []);
  }
});

test("of each chunk the newest two are kept", async (t) => {
  const { reign, append, database } = await stage(t);
  await append({ submits: [submit(1), submit(2)] });
  for (let round = 0; round < 4; round++) {
    const seq = await append({});
    await reign.checkpoint(checkpoint(reign, seq, round === 0 ? [1, 2] : [1], `${round}`));
  }
  const sql = await database.connect();
  const kept = await sql.rows("select experiment::int, seq::int from checkpoint_chunk order by 1, 2", [], 5_000);
  assert.deepEqual(kept, [
    { experiment: 1, seq: 4 },
    { experiment: 1, seq: 5 },
    { experiment: 2, seq: 2 },
  ]);
  assert.deepEqual(await sql.rows("select seq::int from checkpoint order by 1", [], 5_000), [{ seq: 4 }, { seq: 5 }]);
});

test("one experiment is loaded with its own records alone", async (t) => {
  const { reign, append, store } = await stage(t);
  await append({ submits: [submit(1), submit(2)] });
  const seq = await append({ leases: [lease(1, 0, [0])] });
  await reign.checkpoint(checkpoint(reign, seq, [1, 2], "A"));
  await append({ leases: [lease(2, 0, [0])] });
  const delta = { leased: 0, completed: 1, failed: 0, canceled: 0, requeued: 0 };
  await append({
    ends: [end(1, 0, [0]), end(2, 0, [0])],
    deltas: [
      { experiment: 1 as ExperimentId, ...delta },
      { experiment: 2 as ExperimentId, ...delta },
    ],
  });
  const loaded = await store.history(0).load(1 as ExperimentId);
  assert.deepEqual(
    loaded?.experiments.map((e) => e.experiment),
    [1],
  );
  assert.deepEqual(
    loaded?.chunks.map((c) => c.experiment),
    [1],
  );
  assert.deepEqual(
    loaded?.batches.map((b) => b.seq),
    [4],
  );
  assert.deepEqual(loaded?.batches[0]?.ends, [end(1, 0, [0])]);
  assert.deepEqual(
    loaded?.batches[0]?.deltas.map((d) => d.experiment),
    [1],
  );
  assert.equal(await store.history(0).load(77 as ExperimentId), null);
});

test("a million pending tasks and a checkpoint of them are loaded in about a second", async (t) => {
  const { reign, append } = await stage(t);
  const big = submit(1, { definition: definition([template(0, "a", 1_000_000)]) });
  const seq = await append({ submits: [big] });
  const chunks = Array.from({ length: 245 }, (_, chunk) => ({
    experiment: 1,
    template: 0,
    chunk,
    data: new Uint8Array(8 + 4096 * 7).fill(chunk),
  }));
  await reign.checkpoint({ ...checkpoint(reign, seq, [1], "A"), chunks });
  const from = performance.now();
  const loaded = await reign.load();
  const tookMs = performance.now() - from;
  t.diagnostic(`loaded in ${Math.round(tookMs)} ms`);
  assert.equal(loaded.chunks.length, 245);
  assert.ok(
    loaded.chunks.every(({ chunk, data }) => data.length === 8 + 4096 * 7 && data.every((byte) => byte === chunk)),
  );
  // A hang limit, not the figure.
  assert.ok(tookMs < 10_000);
});
