/** What was acknowledged survives kill -9 of PostgreSQL, and the campaign outlives its absence. fsync is on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createStore } from "../../../coordinator/store/store.ts";
import { Cutter, end, lease, submit } from "../../support/journal.ts";
import { freshDatabase, testCluster } from "../../support/postgres.ts";

test("acknowledged appends are there after a crash, an unacknowledged one is there whole or not at all", async (t) => {
  const database = await freshDatabase(t, { durable: true });
  const cluster = await testCluster({ durable: true });
  const store = createStore(database.url);
  database.defer(() => store.close());
  const reign = await store.leadership(0, "here").campaign(t.signal);
  database.defer(() => reign.resign());
  const cutter = new Cutter(reign);
  await reign.append(cutter.batch({ submits: [submit(1)] }));
  let acknowledged = 1;
  const fifty = Promise.withResolvers<void>();
  const appending = (async () => {
    for (;;) {
      const index = cutter.seq % 10;
      await reign.append(cutter.batch({ leases: [lease(1, 0, [index])], ends: [end(1, 0, [index])] }));
      acknowledged = cutter.seq;
      if (acknowledged === 50) fifty.resolve();
    }
  })();
  const over = assert.rejects(appending);
  await fifty.promise;
  await cluster.crash();
  await over;
  // A campaign that began while there was nothing to connect to would have come to the same.
  const next = await store.leadership(0, "here").campaign(t.signal);
  database.defer(() => next.resign());
  const { batches } = await next.load();
  assert.ok(
    batches.length === acknowledged || batches.length === acknowledged + 1,
    `${batches.length} of ${acknowledged}`,
  );
  assert.deepEqual(
    batches.map((batch) => batch.seq),
    batches.map((_, i) => i + 1),
  );
  for (const batch of batches.slice(1)) assert.deepEqual([batch.leases.length, batch.ends.length], [1, 1]);
});

test("a campaign waits for a database that is not there", async (t) => {
  const database = await freshDatabase(t, { durable: true });
  const cluster = await testCluster({ durable: true });
  const store = createStore(database.url);
  database.defer(() => store.close());
  const crashed = cluster.crash();
  const campaign = store.leadership(0, "here").campaign(t.signal);
  await crashed;
  const reign = await campaign;
  assert.equal(reign.term, 1);
  await reign.resign();
});
