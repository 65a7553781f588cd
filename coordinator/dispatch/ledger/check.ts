/**
 * A batch is checked against the committed state before it is appended: one that could not be folded would stop every
 * later load as well, so it must not become durable. What throws here costs a reload and nothing else.
 */
import { isFinal, TASK_STATE_NAMES, TaskState } from "../../../shared/model/states.ts";
import type { Batch } from "../batch.ts";
import {
  BrokenInvariant,
  type ExperimentLedger,
  type Ledger,
  stateOf,
  type TemplateLedger,
  taskName,
} from "./ledger.ts";

/** Experiments that the batch itself submits, as they will be when its leases are folded. */
type Incoming = ReadonlyMap<ExperimentLedger["id"], ExperimentLedger>;

/** Throws BrokenInvariant when `batch` cannot follow what `ledger` holds. */
export function checkBatch(ledger: Ledger, batch: Batch, incoming: Incoming): void {
  const submitted = new Set(batch.submits.map(({ experiment }) => experiment));
  if (batch.seq !== ledger.seq + 1) throw new BrokenInvariant(`batch ${batch.seq} cannot follow ${ledger.seq}`);
  for (const { experiment, template, indexes, attempts } of batch.leases) {
    const known = submitted.has(experiment)
      ? templateOf(incoming, experiment, template)
      : templateOf(ledger.experiments, experiment, template);
    for (let i = 0; i < indexes.length; i++) {
      const index = indexes[i] as number;
      require(known, index, stateOf(known, index) === TaskState.QUEUED, "leased");
      require(known, index, attempts[i] === (known.attempts[index] as number) + 1, `given attempt ${attempts[i]}`);
    }
  }
  for (const { experiment, template, indexes, attempts } of batch.ends) {
    const known = templateOf(ledger.experiments, experiment, template);
    for (let i = 0; i < indexes.length; i++) {
      const index = indexes[i] as number;
      const state = stateOf(known, index);
      require(known, index, !isFinal(state) && state !== TaskState.WAITING, "ended");
      require(known, index, attempts[i] === known.attempts[index], `ended as attempt ${attempts[i]}`);
    }
  }
  for (const { experiment } of batch.decisions) {
    if (!ledger.experiments.has(experiment)) throw new BrokenInvariant(`a decision names experiment ${experiment}`);
  }
}

function templateOf(
  experiments: Incoming,
  experiment: Batch["leases"][number]["experiment"],
  template: number,
): TemplateLedger {
  const known = experiments.get(experiment)?.templates[template];
  if (!known)
    throw new BrokenInvariant(`a batch names template ${template} of experiment ${experiment}, which is not here`);
  return known;
}

function require(template: TemplateLedger, index: number, holds: boolean, what: string): void {
  if (holds) return;
  const state = TASK_STATE_NAMES[stateOf(template, index)];
  const latest = template.attempts[index];
  throw new BrokenInvariant(`task ${taskName(template, index)}, ${state} at attempt ${latest}, cannot be ${what}`);
}
