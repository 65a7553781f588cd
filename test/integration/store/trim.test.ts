/** Tables without partitions lose what nothing needs, and keep what a load or a history still asks for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ExperimentId } from "../../../shared/model/ids.ts";
import { decided, endedStage } from "../../support/ended.ts";

const never = new AbortController().signal;

test("heads and decisions go up to the oldest experiment that is kept, and the older checkpoint", async (t) => {
  const { sql, retention, run, append, checkpoint, archive, reign, store } = await endedStage(t);
  const seqs = async (table: string) =>
    (await sql.rows<{ seq: string }>(`select seq from ${table} order by seq`, [], 5_000)).map(({ seq }) => Number(seq));
  const first = await run(1);
  const second = await run(2);
  assert.deepEqual(await retention.trim(never), { rows: 0, more: false });
  await checkpoint();
  assert.deepEqual(await retention.trim(never), { rows: 0, more: false });
  assert.deepEqual(await archive(first, 1), [1]);
  // Three heads and one decision of experiment 1; experiment 2 was submitted by the fourth append.
  assert.deepEqual(await retention.trim(never), { rows: 4, more: false });
  assert.deepEqual(await seqs("journal"), [4, 5, 6]);
  assert.deepEqual(await seqs("decision"), [6]);
  assert.equal((await store.history(0).decisions(2 as ExperimentId, 0, 10)).length, 1);
  const attempts = await sql.rows(
    "select leased_at from attempt where experiment = 2 and leased_at is not null",
    [],
    5_000,
  );
  assert.equal(attempts.length, 1);

  assert.deepEqual(await archive(second, 2), [2]);
  await retention.trim(never);
  // The checkpoint's own head stays: the next append follows it, and a load begins there.
  assert.deepEqual(await seqs("journal"), [6]);
  await append({ decisions: [] });
  assert.equal((await reign.load()).checkpointSeq, 6);
  await run(3);
  await checkpoint();
  await append({ decisions: [decided("retry", 3)] });
  await retention.trim(never);
  assert.deepEqual(await seqs("journal"), [6, 7, 8, 9, 10, 11]);
});

test("nothing goes without a checkpoint; spent tokens go after a month", async (t) => {
  const { sql, retention, store } = await endedStage(t);
  const now = Date.now();
  const token = (age: string, spent: string) =>
    sql.query(
      `insert into enrolment_token (secret_hash, created_by, created_at, expires_at ${spent === "revoked" ? ", revoked_at" : ""})
       values (sha256('${age}${spent}'), 1, now() - interval '${age}' - interval '1 hour', now() - interval '${age}'
       ${spent === "revoked" ? `, now() - interval '${age}'` : ""})`,
      5_000,
    );
  await token("40 days", "expired");
  await token("40 days", "revoked");
  await token("20 days", "expired");
  assert.deepEqual(await retention.trim(never), { rows: 2, more: false });
  assert.equal((await sql.rows("select from enrolment_token", [], 5_000)).length, 1);
  assert.deepEqual(await store.retention(0).due(now, 0, 10), []);
});
