/** Experiments that have ended, in the journal of a real database, for tests of what becomes of them. */
import type { TestContext } from "node:test";
import type { Batch, DecisionRecord } from "../../coordinator/dispatch/batch.ts";
import type { Reign } from "../../coordinator/dispatch/ports.ts";
import type { ArchiveRecord, RetentionStore } from "../../coordinator/store/retention.ts";
import { createStore, type Store } from "../../coordinator/store/store.ts";
import type { Connection } from "../../db/connection.ts";
import type { ExperimentId } from "../../shared/model/ids.ts";
import { Cutter, end, lease, submit } from "./journal.ts";
import { freshDatabase, type TestDatabase } from "./postgres.ts";

export interface EndedStage {
  database: TestDatabase;
  store: Store;
  retention: RetentionStore;
  reign: Reign;
  sql: Connection;
  /** Appends, and returns its seq. */
  append(parts: Partial<Batch>): Promise<number>;
  /** Submits these, of one task each, and ends them; returns the seq of their end. */
  run(...experiments: number[]): Promise<number>;
  /** Writes a checkpoint of everything so far. */
  checkpoint(): Promise<void>;
  /** Archives these as they ended at `endedSeq`. */
  archive(endedSeq: number, ...experiments: number[]): Promise<number[]>;
}

export async function endedStage(t: TestContext, version: "embedded" | "15" = "embedded"): Promise<EndedStage> {
  const database = await freshDatabase(t, { version });
  const store = createStore(database.url);
  database.defer(() => store.close());
  const reign = await store.leadership(0, "here").campaign(t.signal);
  database.defer(() => reign.resign());
  await reign.load();
  const cutter = new Cutter(reign);
  const retention = store.retention(0);
  const append = async (parts: Partial<Batch>): Promise<number> => {
    const batch = cutter.batch(parts);
    await reign.append(batch);
    return batch.seq;
  };
  return {
    database,
    store,
    retention,
    reign,
    append,
    sql: await database.connect(),
    run: async (...experiments) => {
      await append({ submits: experiments.map((experiment) => submit(experiment)) });
      await append({ leases: experiments.map((experiment) => lease(experiment, 0, [0])) });
      return append({
        ends: experiments.map((experiment) => end(experiment, 0, [0])),
        decisions: experiments.map((experiment) => decided("ended", experiment)),
      });
    },
    checkpoint: () => reign.checkpoint({ shard: 0, term: reign.term, seq: cutter.seq, experiments: [], chunks: [] }),
    archive: (endedSeq, ...experiments) =>
      retention.archive(
        reign.term,
        experiments.map((experiment) => archiveRecord(experiment, endedSeq)),
        null,
      ),
  };
}

export function archiveRecord(experiment: number, endedSeq: number): ArchiveRecord {
  const spec = new TextEncoder().encode("gzip");
  return { experiment: experiment as ExperimentId, endedSeq, summary: '{"format":1}', spec, file: null };
}

export function decided(kind: DecisionRecord["kind"], experiment: number): DecisionRecord {
  const ended = kind === "ended";
  return {
    kind,
    experiment: experiment as ExperimentId,
    actor: 1 as never,
    scope: null,
    reason: "",
    value: ended ? "COMPLETED" : null,
    ...(ended ? { counts: { completed: 1, failed: 0, canceled: 0 } } : {}),
  };
}
