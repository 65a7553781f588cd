/**
 * Archives ended experiments: their summary and, where a directory is set, a file with their tasks and attempts; then the
 * one transaction after which the rest of them may go. Every step may be cut off and done again: a file counts only when
 * a summary names it, and an experiment that was retried meanwhile stays as it is.
 */
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { AiravataError } from "../../../shared/error/error.ts";
import type { ActorId, ExperimentId } from "../../../shared/model/ids.ts";
import type { Clock } from "../../../shared/time/clock.ts";
import type { TaskCounts } from "../../dispatch/contract.ts";
import type { Archivable, ArchiveRecord, RetentionStore, StoredUsage } from "../../store/retention.ts";
import { FAILURES_READ_MAX, groupFailures } from "../experiment/explain.ts";
import { findRecord, type Sources, templateCounts } from "../experiment/find.ts";
import type { ExperimentRecord } from "../experiment/record.ts";
import { archivePath, writeArchive } from "./file.ts";
import { summaryOf } from "./summary.ts";

export interface ArchiveOptions {
  sources: Sources;
  store: RetentionStore;
  clock: Clock;
  /** How long after its end; 0: never by itself. */
  retentionMs: number;
  /** Where the files go; undefined: none are written. */
  directory: string | undefined;
}

export interface Archive {
  /** Archives what is due, a bounded number; true when there is more. Rejects with `archive_not_written`, `not_leading`. */
  due(signal: AbortSignal): Promise<boolean>;
  /** One at once, because a person says so. Rejects with `experiment_state_conflict`, and as `due` does. */
  one(id: ExperimentId): Promise<ExperimentRecord>;
}

/** Experiments of one transaction. */
const BATCH_EXPERIMENTS = 50;
/** Decisions read of one experiment; the summary keeps the newest. */
const DECISIONS_READ_MAX = 1_000;

const zip = promisify(gzip);

export function createArchive({ sources, store, clock, retentionMs, directory }: ArchiveOptions): Archive {
  const { dispatcher, history } = sources;

  const archive = async (chosen: readonly Archivable[]): Promise<ExperimentId[]> => {
    const usage = await store.usage(chosen.map(({ experiment }) => experiment));
    const records: ArchiveRecord[] = [];
    for (const each of chosen) records.push(await recordOf(each, usage));
    // Nobody decides about them from here to the commit: a retry that comes now is refused with a sentence.
    const retired = dispatcher.retire(records.map(({ experiment }) => experiment));
    try {
      return await store.archive(
        retired.term,
        records.filter(({ experiment }) => retired.ids.includes(experiment)),
      );
    } finally {
      retired.done();
    }
  };

  const recordOf = async (
    { experiment, endedSeq, actor }: Archivable,
    usage: readonly StoredUsage[],
  ): Promise<ArchiveRecord> => {
    const [record, definition, specText] = await Promise.all([
      findRecord(sources, experiment),
      history.definition(experiment),
      history.specText(experiment),
    ]);
    if (!definition || specText === undefined) throw new Error(`the definition of experiment ${experiment} is gone`);
    const found = { record, definition, inMemory: false };
    const { completed, failed, total } = record.counts;
    const counts =
      completed === total
        ? definition.templates.map(({ count }) => allCompleted(count))
        : await templateCounts(sources, found);
    const failures = failed > 0 ? await history.failures(experiment, FAILURES_READ_MAX) : [];
    const summary = summaryOf({
      found,
      actor: actor as ActorId,
      counts,
      usage: usage.filter((used) => used.experiment === experiment),
      failures: groupFailures(found, failures),
      decisions: await history.decisions(experiment, 0, DECISIONS_READ_MAX),
    });
    const text = JSON.stringify(summary);
    const file = directory === undefined ? null : await write(directory, experiment, text);
    return { experiment, endedSeq, summary: text, spec: await zip(specText), file };
  };

  const write = (directory: string, id: ExperimentId, summary: string) => {
    async function* lines(): AsyncGenerator<string> {
      yield* store.lines(id);
      yield `{"record":"summary","summary":${summary}}`;
    }
    return writeArchive(archivePath(directory, dispatcher.leadership().timeline, id), lines());
  };

  return {
    due: async (signal) => {
      if (retentionMs === 0) return false;
      const chosen = await store.due(clock.wall(), retentionMs, BATCH_EXPERIMENTS);
      if (chosen.length === 0 || signal.aborted) return false;
      const archived = await archive(chosen);
      // Those that somebody decides about just now would come again at once.
      return archived.length === BATCH_EXPERIMENTS;
    },
    one: async (id) => {
      const record = await findRecord(sources, id);
      if (record.archivedAtMs !== null) return record;
      let chosen = await store.archivable(id);
      if (!chosen) throw unfinished(record);
      if (!chosen.folded) {
        await dispatcher.checkpoint();
        chosen = await store.archivable(id);
      }
      if (!chosen?.folded || (await archive([chosen])).length === 0) throw unfinished(record);
      return findRecord(sources, id);
    },
  };
}

function unfinished({ experiment, state }: ExperimentRecord): AiravataError {
  const message = `experiment ${experiment} is ${state} but must have ended, and not be about to be retried, to be archived`;
  return new AiravataError("experiment_state_conflict", message);
}

function allCompleted(total: number): TaskCounts {
  return { total, waiting: 0, queued: 0, leased: 0, completed: total, failed: 0, canceled: 0 };
}
