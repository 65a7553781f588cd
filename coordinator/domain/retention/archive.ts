/**
 * Archives ended experiments: their summary and, where a directory is set, a file with their tasks and attempts; then the
 * one transaction after which the rest of them may go. Every step may be cut off and done again: a file counts only when
 * a summary names it, and an experiment that was retried meanwhile stays as it is.
 */
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { AiravataError } from "../../../shared/error/error.ts";
import type { ExperimentId } from "../../../shared/model/ids.ts";
import type { Clock } from "../../../shared/time/clock.ts";
import type { TaskCounts } from "../../dispatch/contract.ts";
import type { Archivable, ArchiveRecord, RetentionStore, StoredContents, StoredUsage } from "../../store/retention.ts";
import type { By } from "../access/by.ts";
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
  one(id: ExperimentId, by: By): Promise<ExperimentRecord>;
}

/** Experiments of one transaction. */
const BATCH_EXPERIMENTS = 50;
/** The newest decisions that a summary keeps. */
const DECISIONS_MAX = 100;

const zip = promisify(gzip);

export function createArchive({ sources, store, clock, retentionMs, directory }: ArchiveOptions): Archive {
  const { dispatcher, history } = sources;

  const archive = async (chosen: readonly Archivable[], by: By | null): Promise<ExperimentId[]> => {
    const ids = chosen.map(({ experiment }) => experiment);
    const usage = Map.groupBy(await store.usage(ids), ({ experiment }) => experiment);
    const contents = new Map((await store.contents(ids, DECISIONS_MAX)).map((each) => [each.experiment, each]));
    const records: ArchiveRecord[] = [];
    for (const each of chosen) {
      const content = contents.get(each.experiment);
      if (!content) throw new Error(`the definition of experiment ${each.experiment} is gone`);
      records.push(await recordOf(each, content, usage.get(each.experiment) ?? []));
    }
    // Nobody decides about them from here to the commit: a retry that comes now is refused with a sentence.
    const retired = dispatcher.retire(ids);
    try {
      return await store.archive(
        retired.term,
        records.filter(({ experiment }) => retired.ids.includes(experiment)),
        by,
      );
    } finally {
      retired.done();
    }
  };

  const recordOf = async (
    { experiment, endedSeq, actor, tasks, completed, failed }: Archivable,
    { definition, spec, decisions }: StoredContents,
    usage: readonly StoredUsage[],
  ): Promise<ArchiveRecord> => {
    const found = async () => ({ record: await findRecord(sources, experiment), definition, inMemory: false });
    // Nearly all end well: then there is nothing to look up.
    const counts =
      completed === tasks
        ? definition.templates.map(({ count }) => allCompleted(count))
        : await templateCounts(sources, await found());
    const failures =
      failed > 0 ? groupFailures(await found(), await history.failures(experiment, FAILURES_READ_MAX)) : [];
    const summary = JSON.stringify(summaryOf({ definition, actor, counts, usage, failures, decisions }));
    const file = directory === undefined ? null : await write(directory, experiment, summary);
    return { experiment, endedSeq, summary, spec: await zip(spec), file };
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
      const archived = await archive(chosen, null);
      // Those that somebody decides about just now would come again at once.
      return archived.length === BATCH_EXPERIMENTS;
    },
    one: async (id, by) => {
      const record = await findRecord(sources, id);
      if (record.archivedAtMs !== null) return record;
      let chosen = await store.archivable(id);
      if (!chosen) throw unfinished(record);
      if (!chosen.folded) {
        await dispatcher.checkpoint();
        chosen = await store.archivable(id);
      }
      if (!chosen?.folded || (await archive([chosen], by)).length === 0) throw unfinished(record);
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
