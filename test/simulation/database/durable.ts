/**
 * What is durable, as a model: committed batches by seq, and checkpoint rows as they were written. It hands over what the
 * store would load at any checkpoint and any later seq. Batches are frozen: whoever changes one after its append throws.
 */
import type { Batch } from "../../../coordinator/dispatch/batch.ts";
import type { LoadedState } from "../../../coordinator/dispatch/load.ts";
import type { EncodedCheckpoint, EncodedChunk, EncodedExperiment } from "../../../coordinator/dispatch/ports.ts";
import { Retention } from "./retention.ts";

export class Durable {
  /** `batches[i]` has seq `i + 1`. */
  readonly batches: Batch[] = [];
  private checkpoints: EncodedCheckpoint[] = [];
  /** Raised by a restore. */
  timeline = 1;
  /** What has ended and may go. */
  readonly retention = new Retention();

  get seq(): number {
    return this.batches.length;
  }

  append(batch: Batch): void {
    this.retention.note(batch);
    for (const record of [...batch.leases, ...batch.ends]) {
      for (const column of Object.values(record)) if (Array.isArray(column)) Object.freeze(column);
    }
    for (const list of [batch.submits, batch.leases, batch.ends, batch.decisions, batch.deltas]) Object.freeze(list);
    this.batches.push(Object.freeze(batch));
  }

  checkpoint(checkpoint: EncodedCheckpoint): void {
    this.checkpoints.push(checkpoint);
  }

  /** A backup comes back that was taken at this seq: what came after it never was, and a new history begins. */
  restore(seq: number): void {
    this.batches.length = seq;
    this.checkpoints = this.checkpoints.filter((checkpoint) => checkpoint.seq <= seq);
    this.retention.restore(this.batches);
    this.timeline++;
  }

  newestCheckpoint(): number {
    return this.checkpoints.at(-1)?.seq ?? 0;
  }

  /** What a dispatcher finds: without what was in partitions that are gone. */
  loadKept(term: number): LoadedState {
    const loaded = this.load(term);
    const isKept = (id: number): boolean => !this.retention.isDropped(id);
    return {
      ...loaded,
      experiments: loaded.experiments.filter(({ experiment }) => isKept(experiment)),
      experimentStates: loaded.experimentStates.filter(({ experiment }) => isKept(experiment)),
      chunks: loaded.chunks.filter(({ experiment }) => isKept(experiment)),
      // Heads and decisions of the journal are in tables of their own and stay.
      batches: loaded.batches.map((batch) => {
        const { submits, leases, ends } = partOf(batch, isKept);
        return { ...batch, submits, leases, ends };
      }),
    };
  }

  /** Seqs of the checkpoints, 0 for none, ascending. */
  checkpointSeqs(): number[] {
    return [0, ...this.checkpoints.map(({ seq }) => seq)];
  }

  /** The history of one experiment, as it is read when somebody decides about one that has left memory. */
  history(experiment: number): LoadedState {
    return {
      shard: 0,
      term: 0,
      timeline: this.timeline,
      checkpointSeq: 0,
      experiments: [],
      experimentStates: [],
      chunks: [],
      // Of what is archived nothing is read any more, whether or not its rows are still there.
      batches: this.retention.isArchived(experiment)
        ? []
        : this.batches.map((batch) => partOf(batch, (id) => id === experiment)),
      experimentMax: experiment,
      idempotency: [],
    };
  }

  /**
   * What a load finds that uses the checkpoint of `checkpointSeq` and every batch after it up to `seq`: also what was in
   * partitions that are gone.
   */
  load(term: number, checkpointSeq = this.newestCheckpoint(), seq = this.seq): LoadedState {
    const states = new Map<number, EncodedExperiment>();
    const chunks = new Map<string, EncodedChunk>();
    for (const checkpoint of this.checkpoints) {
      if (checkpoint.seq > checkpointSeq) break;
      for (const row of checkpoint.experiments) states.set(row.experiment, row);
      for (const row of checkpoint.chunks) chunks.set(`${row.experiment}.${row.template}.${row.chunk}`, row);
    }
    const before = this.batches.slice(0, checkpointSeq);
    const after = this.batches.slice(checkpointSeq, seq);
    const named = new Set(after.flatMap((batch) => [...batch.leases, ...batch.ends, ...batch.decisions].map(idOf)));
    const submits = before.flatMap((batch) => batch.submits.map((submit) => ({ submit, atMs: batch.atMs })));
    const kept = submits.filter(
      ({ submit }) => named.has(submit.experiment) || !hasEnded(states.get(submit.experiment)),
    );
    const keptIds = new Set<number>(kept.map(({ submit }) => submit.experiment));
    const all = this.batches
      .slice(0, seq)
      .flatMap((batch) => batch.submits.map((submit) => ({ submit, atMs: batch.atMs })));
    return {
      shard: 0,
      term,
      timeline: this.timeline,
      checkpointSeq,
      experiments: kept.map(({ submit, atMs }) => {
        const { experiment, project, actor, definition } = submit;
        return { experiment, project, actor, definition, submittedAtMs: atMs };
      }),
      experimentStates: [...states.values()].filter((row) => keptIds.has(row.experiment)),
      chunks: [...chunks.values()].filter((row) => keptIds.has(row.experiment)),
      batches: after,
      experimentMax: all.reduce((max, { submit }) => Math.max(max, submit.experiment), 0),
      idempotency: all.flatMap(({ submit, atMs }) =>
        submit.idempotency ? [{ ...submit.idempotency, actor: submit.actor, experiment: submit.experiment, atMs }] : [],
      ),
    };
  }
}

/** What of a batch concerns these experiments. */
function partOf(batch: Batch, isWanted: (experiment: number) => boolean): Batch {
  const mine = <T extends { experiment: number }>(records: T[]): T[] => records.filter((r) => isWanted(r.experiment));
  return {
    ...batch,
    submits: mine(batch.submits),
    leases: mine(batch.leases),
    ends: mine(batch.ends),
    decisions: mine(batch.decisions),
    deltas: mine(batch.deltas),
  };
}

function idOf(record: { experiment: number }): number {
  return record.experiment;
}

function hasEnded(row: EncodedExperiment | undefined): boolean {
  return row !== undefined && JSON.parse(new TextDecoder().decode(row.data)).endedAtMs !== null;
}
