/**
 * The rule by which ended experiments leave the database, as coordinator/store does it: what ended long enough ago and is
 * folded into a checkpoint is archived, under the term and guarded by its end; a partition is dropped when its range is
 * closed and everything in it is archived.
 */
import type { Batch } from "../../../coordinator/dispatch/batch.ts";

/** Experiments of one partition: few, so that many close. */
const PARTITION_EXPERIMENTS = 2;

export interface RetentionBugs {
  /** A partition goes when its first experiment is archived. */
  partitionDroppedEarly: boolean;
}

/** An ended experiment that may be archived: a retry makes another end of it. */
export interface Archivable {
  experiment: number;
  endedSeq: number;
}

export class Retention {
  private readonly ends = new Map<number, { seq: number; atMs: number }>();
  private readonly decidedSeq = new Map<number, number>();
  private readonly archived = new Set<number>();
  private readonly dropped = new Set<number>();
  private newest = 0;
  private seq = 0;

  note(batch: Batch): void {
    this.seq = batch.seq;
    for (const { experiment } of batch.submits) this.newest = Math.max(this.newest, experiment);
    for (const { kind, experiment } of batch.decisions) {
      this.decidedSeq.set(experiment, batch.seq);
      if (kind === "ended") this.ends.set(experiment, { seq: batch.seq, atMs: batch.atMs });
      if (kind === "retry") this.ends.delete(experiment);
    }
  }

  /** A backup holds what was there when it was taken, and nothing is archived in it that it does not know to have ended. */
  restore(batches: readonly Batch[]): void {
    this.ends.clear();
    this.decidedSeq.clear();
    this.newest = 0;
    for (const batch of batches) this.note(batch);
    this.archived.clear();
    this.dropped.clear();
  }

  due(beforeMs: number, checkpointSeq: number): Archivable[] {
    const found: Archivable[] = [];
    for (const [experiment, { seq, atMs }] of this.ends) {
      if (this.archived.has(experiment) || atMs > beforeMs) continue;
      if (this.isFolded(experiment, checkpointSeq)) found.push({ experiment, endedSeq: seq });
    }
    return found;
  }

  private isFolded(experiment: number, checkpointSeq: number): boolean {
    return (this.decidedSeq.get(experiment) ?? this.seq) <= checkpointSeq;
  }

  /** Archives what still is as it was; returns which. */
  archive(chosen: readonly Archivable[], checkpointSeq: number): number[] {
    const done = chosen.filter(({ experiment, endedSeq }) => {
      const isSame = this.ends.get(experiment)?.seq === endedSeq;
      return isSame && this.isFolded(experiment, checkpointSeq);
    });
    for (const { experiment } of done) this.archived.add(experiment);
    return done.map(({ experiment }) => experiment);
  }

  /** Drops what may go; returns the experiments whose rows are gone. */
  drop(bugs: RetentionBugs): number[] {
    const gone: number[] = [];
    for (let low = 0; low + PARTITION_EXPERIMENTS <= this.newest; low += PARTITION_EXPERIMENTS) {
      const ids = Array.from({ length: PARTITION_EXPERIMENTS }, (_, i) => low + i).filter((id) => id > 0);
      if (this.dropped.has(ids[0] as number)) continue;
      const isArchived = (id: number): boolean => this.archived.has(id);
      if (!(bugs.partitionDroppedEarly ? ids.some(isArchived) : ids.every(isArchived))) continue;
      for (const id of ids) this.dropped.add(id);
      gone.push(...ids);
    }
    return gone;
  }

  isArchived(experiment: number): boolean {
    return this.archived.has(experiment);
  }

  isDropped(experiment: number): boolean {
    return this.dropped.has(experiment);
  }
}
