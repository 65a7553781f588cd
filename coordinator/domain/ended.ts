/**
 * The history with the states of single tasks: what left the dispatcher's memory is folded once more from the journal
 * when somebody asks, and kept for a while, because who asks for one page asks for the next.
 */
import { AiravataError } from "../../shared/error/error.ts";
import type { ExperimentId } from "../../shared/model/ids.ts";
import { TASK_STATE_NAMES, TaskState } from "../../shared/model/states.ts";
import type { TaskCounts, TaskView } from "../dispatch/contract.ts";
import { type ExperimentLedger, stateOf, type TemplateLedger } from "../dispatch/ledger/ledger.ts";
import { experimentFromHistory } from "../dispatch/ledger/snapshot.ts";
import type { StoredHistory } from "../store/records.ts";
import type { History } from "./history.ts";

/** At 7 bytes a task even four of the largest experiments are below 300 MB; usual ones are kilobytes. */
const KEPT_MAX = 4;
const KEPT_MS = 30_000;

interface Kept {
  /** Of its end. Another coordinator may have let it be retried, and it ended anew. */
  seq: number;
  ledger: Promise<ExperimentLedger | undefined>;
  untilMono: number;
}

export function withEndedTasks(stored: StoredHistory, monoMs: () => number = () => performance.now()): History {
  const kept = new Map<ExperimentId, Kept>();

  const load = async (id: ExperimentId): Promise<ExperimentLedger | undefined> => {
    const seq = (await stored.experiment(id))?.end?.seq;
    const known = kept.get(id);
    if (known && known.seq === seq && known.untilMono > monoMs()) return known.ledger;
    const ledger = stored.load(id).then((loaded) => (loaded ? experimentFromHistory(loaded, id) : undefined));
    kept.delete(id);
    if (seq === undefined) return ledger;
    kept.set(id, { seq, ledger, untilMono: monoMs() + KEPT_MS });
    if (kept.size > KEPT_MAX) kept.delete(kept.keys().next().value as ExperimentId);
    // A failure is not remembered.
    ledger.catch(() => kept.delete(id));
    return ledger;
  };

  /** Whoever asks has just seen it: since then it can only have been archived. */
  const present = async (id: ExperimentId): Promise<ExperimentLedger> => {
    const ledger = await load(id);
    if (ledger) return ledger;
    throw new AiravataError("experiment_archived", `experiment ${id} was archived just now; its summary is left`);
  };

  return {
    ...stored,
    templateCounts: async (id) => (await present(id)).templates.map(countsOf),
    tasks: async (id, ordinal, from, to) => {
      const template = (await present(id)).templates[ordinal];
      if (!template) return [];
      const views: TaskView[] = [];
      for (let index = from; index <= Math.min(to, template.count - 1); index++) views.push(viewOf(template, index));
      return views;
    },
  };
}

function countsOf({ count, counts }: TemplateLedger): TaskCounts {
  const of = (state: TaskState): number => counts[state] ?? 0;
  return {
    total: count,
    waiting: of(TaskState.WAITING),
    queued: of(TaskState.QUEUED),
    leased: of(TaskState.LEASED),
    completed: of(TaskState.COMPLETED),
    failed: of(TaskState.FAILED),
    canceled: of(TaskState.CANCELED),
  };
}

function viewOf(template: TemplateLedger, index: number): TaskView {
  return {
    template: template.ordinal,
    index,
    state: TASK_STATE_NAMES[stateOf(template, index)],
    attempt: template.attempts[index] ?? 0,
    triedUser: template.triedUser[index] ?? 0,
    triedInfrastructure: template.triedInfrastructure[index] ?? 0,
    agent: null,
    phase: null,
    startedAtMs: null,
    notBeforeMs: null,
  };
}
