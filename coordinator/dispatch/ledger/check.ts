/**
 * A batch is checked against the committed state before it is appended: one that could not be folded would stop every
 * later load as well, so it must not become durable. What throws here costs a reload and nothing else.
 */
import { isFinal, TASK_STATE_NAMES, TaskState } from "../../../shared/model/states.ts";
import type { Batch } from "../batch.ts";
import { BrokenInvariant, type Ledger, stateOf, type TemplateLedger, taskName } from "./ledger.ts";

/** Throws BrokenInvariant when `batch` cannot follow what `ledger` holds. */
export function checkBatch(ledger: Ledger, batch: Batch): void {
  if (batch.seq !== ledger.seq + 1) throw new BrokenInvariant(`batch ${batch.seq} cannot follow ${ledger.seq}`);
  for (const { experiment, template, indexes, attempts } of batch.leases) {
    const known = templateOf(ledger, experiment, template);
    for (let i = 0; i < indexes.length; i++) {
      const index = indexes[i] as number;
      require(known, index, stateOf(known, index) === TaskState.QUEUED, "leased");
      require(known, index, attempts[i] === (known.attempts[index] as number) + 1, `given attempt ${attempts[i]}`);
    }
  }
  for (const { experiment, template, indexes, attempts } of batch.ends) {
    const known = templateOf(ledger, experiment, template);
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
  ledger: Ledger,
  experiment: Batch["leases"][number]["experiment"],
  template: number,
): TemplateLedger {
  const known = ledger.experiments.get(experiment)?.templates[template];
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
