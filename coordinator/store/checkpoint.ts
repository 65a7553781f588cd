/**
 * Writes a checkpoint: chunks first, the row that makes them count last, checked against the term under the append lock
 * like an append. Rows are never changed; of each chunk the newest two are kept, so that the checkpoint before this one
 * is whole until the next one stands.
 */
import type pg from "pg";
import type { Connection } from "../../db/connection.ts";
import { Deposed, type EncodedCheckpoint } from "../dispatch/ports.ts";
import { allNumbers, BIGINT } from "./columns.ts";
import { saveUsage } from "./projects.ts";
import { APPEND_LOCK } from "./sessions.ts";

/** A row is 28 kB at most (4,096 tasks × 7 B): 64 of them make a statement of 2 MB. */
const ROWS_PER_STATEMENT = 64;
const STATEMENT_TIMEOUT_MS = 30_000;

/** Rejects with Deposed when another term reigns; then nothing was written. */
export async function writeCheckpoint(bulk: Connection, checkpoint: EncodedCheckpoint): Promise<void> {
  const { shard, term, seq, experiments, chunks } = checkpoint;
  await bulk.query("begin", STATEMENT_TIMEOUT_MS);
  try {
    for (const query of insertions(
      "checkpoint_experiment",
      ["shard", "seq", "experiment", "data"],
      experiments.map((e) => [shard, seq, e.experiment, e.data]),
    )) {
      await bulk.query(query, STATEMENT_TIMEOUT_MS);
    }
    for (const query of insertions(
      "checkpoint_chunk",
      ["shard", "seq", "experiment", "template", "chunk", "data"],
      chunks.map((c) => [shard, seq, c.experiment, c.template, c.chunk, c.data]),
    )) {
      await bulk.query(query, STATEMENT_TIMEOUT_MS);
    }
    // A statement of its own before the check: what it sees is then newer than any takeover.
    await bulk.query(`select pg_advisory_xact_lock_shared(${APPEND_LOCK}, ${shard})`, STATEMENT_TIMEOUT_MS);
    const inserted = await bulk.query(
      {
        text: `insert into checkpoint (shard, seq, term)
               select l.shard, $2, $3 from leadership l join journal j on j.shard = l.shard and j.seq = $2
               where l.shard = $1 and l.term = $3`,
        values: [shard, seq, term],
      },
      STATEMENT_TIMEOUT_MS,
    );
    if (inserted.rowCount !== 1)
      throw new Deposed(`term ${term} of shard ${shard} is over, or seq ${seq} is not in its journal`);
    await bulk.query(saveUsage(checkpoint), STATEMENT_TIMEOUT_MS);
    await bulk.query("commit", STATEMENT_TIMEOUT_MS);
  } catch (error) {
    if (!bulk.isLost) await bulk.query("rollback", STATEMENT_TIMEOUT_MS).catch(() => {});
    throw error;
  }
}

/** Buffers go in binary: as text they would double. */
function* insertions(table: string, columns: string[], rows: (number | Uint8Array)[][]): Generator<pg.QueryConfig> {
  for (let from = 0; from < rows.length; from += ROWS_PER_STATEMENT) {
    const part = rows.slice(from, from + ROWS_PER_STATEMENT);
    const places = part.map((_, row) => `(${columns.map((_, i) => `$${row * columns.length + i + 1}`).join(", ")})`);
    const values = part
      .flat()
      .map((value) =>
        value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : value,
      );
    yield { text: `insert into ${table} (${columns.join(", ")}) values ${places.join(", ")}`, values };
  }
}

/**
 * Removes what this checkpoint and the one before it do not need, of the experiments that this one has written, and
 * idempotency keys that are over a day old. Safe to be cut off anywhere and to be left out.
 */
export async function pruneCheckpoints(
  bulk: Connection,
  { shard, seq, experiments, chunks }: EncodedCheckpoint,
): Promise<void> {
  const previous = "(select coalesce(max(p.seq), 0) from checkpoint p where p.shard = $1 and p.seq < $2)";
  const prune = async (table: string, key: string[], written: number[]): Promise<void> => {
    const same = (a: string, b: string): string => key.map((name) => `${a}.${name} = ${b}.${name}`).join(" and ");
    const text = `
      with kept as (
        select ${key.map((name) => `w.${name}`).join(", ")}, max(w.seq) as seq from ${table} w
        where w.shard = $1 and w.experiment = any($3) and w.seq <= ${previous}
        group by ${key.map((name) => `w.${name}`).join(", ")})
      delete from ${table} d using kept where ${same("d", "kept")} and d.seq < kept.seq`;
    await bulk.query({ text, values: [shard, seq, allNumbers([written], BIGINT)] }, STATEMENT_TIMEOUT_MS);
  };
  await prune(
    "checkpoint_experiment",
    ["shard", "experiment"],
    experiments.map((e) => e.experiment),
  );
  const experimentsOfChunks = [...new Set(chunks.map((c) => c.experiment))];
  await prune("checkpoint_chunk", ["shard", "experiment", "template", "chunk"], experimentsOfChunks);
  await bulk.query(
    { text: `delete from checkpoint where shard = $1 and seq < ${previous}`, values: [shard, seq] },
    STATEMENT_TIMEOUT_MS,
  );
  const text = "delete from idempotency where shard = $1 and created_at < now() - interval '25 hours'";
  await bulk.query({ text, values: [shard] }, STATEMENT_TIMEOUT_MS);
}
