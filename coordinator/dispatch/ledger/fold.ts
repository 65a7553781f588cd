/**
 * Folding: the only thing that changes the ledger. Pure and deterministic; the same batches over the same state give the
 * same state, whether live at `committed(seq)` or in replay. Everything the core promises is checked here, loudly.
 */
import { Blame, Charge, Disposition, Outcome } from "../../../shared/model/attempt.ts";
import { isFinal, TASK_STATE_NAMES, TaskState } from "../../../shared/model/states.ts";
import type { Batch, EndRecord, LeaseRecord, SubmitRecord } from "../batch.ts";
import { cancelDependents, type Ready, releaseChildren } from "./edges.ts";
import { foldDecision } from "./fold-decision.ts";
import {
  BECAUSE,
  BrokenInvariant,
  CANCELING,
  createExperiment,
  type ExperimentLedger,
  idempotencyKey,
  isMarked,
  type Ledger,
  mark,
  NOT_HELD,
  REPORTED,
  SETTLED,
  setState,
  stateOf,
  type TemplateLedger,
  taskName,
  templateAt,
  touch,
} from "./ledger.ts";

/** What the floor wants to know of a fold; replay listens to nothing. */
export interface FoldListener {
  /** The experiment as it was made when its submit was gathered, untouched since; undefined when nobody did. */
  incoming(experiment: SubmitRecord["experiment"]): ExperimentLedger | undefined;
  submitted(experiment: ExperimentLedger): void;
  ready: Ready;
}

const DEAF: FoldListener = { incoming: () => undefined, submitted: () => {}, ready: () => {} };

/** Tries are one byte each; they stop counting there. */
const TRIED_MAX = 255;

/** Folds the next batch. Throws BrokenInvariant when it contradicts the state; then the ledger must be thrown away. */
export function foldBatch(ledger: Ledger, batch: Batch, listener: FoldListener = DEAF): void {
  if (batch.seq !== ledger.seq + 1) throw new BrokenInvariant(`batch ${batch.seq} cannot follow ${ledger.seq}`);
  for (const submit of batch.submits) foldSubmit(ledger, submit, batch.atMs, listener);
  for (const lease of batch.leases) foldLease(experimentOf(ledger, lease.experiment), lease, batch.atMs);
  for (const end of batch.ends) foldEnd(experimentOf(ledger, end.experiment), end, listener.ready);
  for (const decision of batch.decisions) {
    foldDecision(experimentOf(ledger, decision.experiment), decision, batch.atMs, listener.ready);
  }
  for (const delta of batch.deltas) {
    const experiment = experimentOf(ledger, delta.experiment);
    experiment.counted.leased += delta.leased;
    experiment.counted.completed += delta.completed;
    experiment.counted.failed += delta.failed;
    experiment.counted.canceled += delta.canceled;
    experiment.counted.requeued += delta.requeued;
    experiment.dirty = true;
  }
  ledger.seq = batch.seq;
}

function experimentOf(ledger: Ledger, id: SubmitRecord["experiment"]): ExperimentLedger {
  const experiment = ledger.experiments.get(id);
  if (!experiment) throw new BrokenInvariant(`the journal names experiment ${id}, which is not loaded`);
  return experiment;
}

/** What a submit makes, before anything happens to it. */
export function experimentOfSubmit(record: SubmitRecord, atMs: number): ExperimentLedger {
  return createExperiment(record.experiment, record.project, record.actor, record.definition, atMs);
}

function foldSubmit(ledger: Ledger, record: SubmitRecord, atMs: number, listener: FoldListener): void {
  if (record.experiment <= ledger.experimentMax)
    throw new BrokenInvariant(`experiment ${record.experiment} came twice`);
  const experiment = listener.incoming(record.experiment) ?? experimentOfSubmit(record, atMs);
  experiment.submittedAtMs = atMs;
  ledger.experiments.set(record.experiment, experiment);
  ledger.experimentMax = record.experiment;
  if (record.idempotency) {
    const entry = { bodyHash: record.idempotency.bodyHash, experiment: record.experiment, atMs };
    ledger.idempotency.set(idempotencyKey(record.actor, record.idempotency.key), entry);
  }
  listener.submitted(experiment);
}

function foldLease(experiment: ExperimentLedger, record: LeaseRecord, atMs: number): void {
  const template = templateAt(experiment, record.template);
  const open = { agent: record.agent, epoch: record.epoch, root: record.root, sinceMs: atMs };
  for (let i = 0; i < record.indexes.length; i++) {
    const index = record.indexes[i] as number;
    const attempt = record.attempts[i] as number;
    if (attempt !== (template.attempts[index] as number) + 1) {
      const name = taskName(template, index);
      throw new BrokenInvariant(`attempt ${attempt} of ${name} cannot follow attempt ${template.attempts[index]}`);
    }
    setState(template, index, TaskState.LEASED);
    template.attempts[index] = attempt;
    template.leases.set(index, open);
    if (template.notBefore.size > 0) template.notBefore.delete(index);
  }
  if (experiment.pinned) {
    experiment.root ??= record.root;
    experiment.rootDecided = experiment.root;
    experiment.dirty = true;
  }
}

function foldEnd(experiment: ExperimentLedger, record: EndRecord, ready: Ready): void {
  const template = templateAt(experiment, record.template);
  for (let i = 0; i < record.indexes.length; i++) {
    const index = record.indexes[i] as number;
    const state = stateOf(template, index);
    checkEnd(template, index, record.attempts[i] as number, state);
    const charge = record.charges[i] as Charge;
    if (charge === Charge.USER) count(template.triedUser, index);
    else if (charge === Charge.INFRASTRUCTURE) count(template.triedInfrastructure, index);
    if (state === TaskState.LEASED) template.leases.delete(index);
    if (record.dispositions[i] === Disposition.FINAL) foldFinal(template, index, record.outcomes[i] as Outcome, ready);
    else foldRequeue(template, index, state, record.notBeforeMs[i] as number, ready);
    const settled = settledBy(record.blames[i] as Blame);
    if (settled !== 0) mark(template, index, settled);
  }
}

/** What an end says about further reports of its attempt; after a loss its own may still come. */
function settledBy(blame: Blame): number {
  if (blame === Blame.AGENT_LOST) return 0;
  return blame === Blame.NOT_HELD ? NOT_HELD : REPORTED;
}

function checkEnd(template: TemplateLedger, index: number, attempt: number, state: TaskState): void {
  const latest = template.attempts[index] as number;
  if (attempt !== latest) {
    throw new BrokenInvariant(
      `an end of attempt ${attempt} of ${taskName(template, index)} was accepted after ${latest}`,
    );
  }
  if (isFinal(state) || state === TaskState.WAITING) {
    throw new BrokenInvariant(`a second end of ${taskName(template, index)}, which is ${TASK_STATE_NAMES[state]}`);
  }
  if (isMarked(template, index, SETTLED)) {
    throw new BrokenInvariant(`a second end of attempt ${attempt} of ${taskName(template, index)}`);
  }
}

function count(tries: Uint8Array, index: number): void {
  if ((tries[index] as number) < TRIED_MAX) tries[index] = (tries[index] as number) + 1;
}

function foldFinal(template: TemplateLedger, index: number, outcome: Outcome, ready: Ready): void {
  if (template.notBefore.size > 0) template.notBefore.delete(index);
  if (outcome === Outcome.COMPLETED) {
    setState(template, index, TaskState.COMPLETED);
    releaseChildren(template, index, ready);
    return;
  }
  if (outcome === Outcome.CANCELED) setState(template, index, TaskState.CANCELED, becauseOf(template, index));
  else setState(template, index, TaskState.FAILED);
  cancelDependents(template, index);
}

/** A task that max_failures canceled while it ran stays marked, so that retrying the failed reopens it, too. */
function becauseOf(template: TemplateLedger, index: number): number {
  return isMarked(template, index, BECAUSE) ? BECAUSE : 0;
}

function foldRequeue(
  template: TemplateLedger,
  index: number,
  state: TaskState,
  notBeforeMs: number,
  ready: Ready,
): void {
  if (isMarked(template, index, CANCELING)) {
    setState(template, index, TaskState.CANCELED, becauseOf(template, index));
    cancelDependents(template, index);
    return;
  }
  if (state === TaskState.LEASED) setState(template, index, TaskState.QUEUED);
  else touch(template, index);
  if (notBeforeMs > 0) template.notBefore.set(index, notBeforeMs);
  ready(template, index);
}
