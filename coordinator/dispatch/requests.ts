/**
 * What people ask: submit an experiment, decide about one. Checked against the committed state, gathered, answered at the
 * commit. Repeated submits with one key end in one experiment.
 */
import type { ExperimentId } from "../../shared/model/ids.ts";
import { isFinal } from "../../shared/model/states.ts";
import type { DecisionRecord } from "./batch.ts";
import type { DecisionRequest, SubmitRequest } from "./contract.ts";
import type { Core, Effect, Reply } from "./core.ts";
import { type Cut, currentCut } from "./floor/gather.ts";
import { restoreExperiment } from "./floor/restore.ts";
import { experimentOfSubmit } from "./ledger/fold.ts";
import { forEachInScope, reopenedBy } from "./ledger/fold-decision.ts";
import { type ExperimentLedger, experimentState, idempotencyKey, stateOf } from "./ledger/ledger.ts";
import type { Now } from "./ports.ts";

/** Gathers a submit, or answers with the experiment that its key already made. */
export function onSubmit(core: Core, request: number, submit: SubmitRequest, now: Now, effects: Effect[]): void {
  const { idempotency } = submit;
  const key = idempotency === null ? null : idempotencyKey(submit.actor, idempotency.key);
  if (key !== null && idempotency !== null) {
    const done = core.ledger.idempotency.get(key);
    const pending = core.submitting.get(key);
    const bodyHash = done?.bodyHash ?? pending?.bodyHash;
    if (bodyHash !== undefined && bodyHash !== idempotency.bodyHash) {
      const message = `Idempotency-Key "${idempotency.key}" was used for another request; use a new key for a new request`;
      effects.push({ type: "reply", request, result: { error: "idempotency_key_reused", message } });
      return;
    }
    if (done) {
      const result: Reply = { ok: "submitted", experiment: done.experiment, replayed: true };
      effects.push({ type: "reply", request, result });
      return;
    }
    if (pending) {
      pending.waiters.push(request);
      return;
    }
  }
  const experiment = ++core.experimentLast as ExperimentId;
  const cut = currentCut(core);
  const record = { experiment, ...submit };
  cut.submits.push(record);
  cut.tasks++;
  const incoming = experimentOfSubmit(record, now.wall);
  core.incoming.set(experiment, incoming);
  restoreExperiment(core, incoming, now);
  if (key !== null && idempotency !== null) {
    core.submitting.set(key, { bodyHash: idempotency.bodyHash, experiment, waiters: [] });
  }
  reply(core, cut, request, { ok: "submitted", experiment, replayed: false }, effects);
}

/** Gathers a decision, or refuses it naming both states. */
export function onDecide(core: Core, request: number, decision: DecisionRequest, effects: Effect[]): void {
  const experiment = core.ledger.experiments.get(decision.experiment);
  if (!experiment) {
    const message = `there is no experiment ${decision.experiment} that has not ended long ago`;
    effects.push({ type: "reply", request, result: { error: "experiment_not_found", message } });
    return;
  }
  const conflict = refusal(experiment, decision);
  if (conflict !== null) {
    effects.push({ type: "reply", request, result: { error: "experiment_state_conflict", message: conflict } });
    return;
  }
  const affected = affectedBy(experiment, decision);
  const cut = gatherDecision(core, { ...decision });
  reply(core, cut, request, { ok: "decided", affected }, effects);
}

function reply(core: Core, cut: Cut, request: number, result: Reply, effects: Effect[]): void {
  const effect: Effect = { type: "reply", request, result };
  if (core.config.mutations.acknowledgeBeforeCommit) effects.push(effect);
  else cut.replies.push(effect);
}

/** Puts a decision into the current cut; nothing of the experiment is leased until it is committed. */
export function gatherDecision(core: Core, record: DecisionRecord): Cut {
  const cut = currentCut(core);
  cut.decisions.push(record);
  cut.tasks++;
  core.deciding.set(record.experiment, (core.deciding.get(record.experiment) ?? 0) + 1);
  return cut;
}

function refusal(experiment: ExperimentLedger, decision: DecisionRequest): string | null {
  const state = experimentState(experiment);
  const must = (wanted: string, verb: string): string =>
    `experiment ${experiment.id} is ${state} but must be ${wanted} to be ${verb}`;
  const running = experiment.open > 0;
  switch (decision.kind) {
    case "cancel":
      return running ? null : must("unfinished", "canceled");
    case "pause":
      return running && !experiment.paused ? null : must("CREATED or EXECUTING", "paused");
    case "resume":
      // An ended one stays marked as paused; a decision about it could not be folded by who did not load it any more.
      return running && experiment.paused ? null : must("PAUSED", "resumed");
    case "priority":
      return running ? null : must("unfinished", "given another priority");
    case "retry":
      return affectedBy(experiment, decision) > 0
        ? null
        : `experiment ${experiment.id} is ${state} and has no failed or canceled task there that could run again; ` +
            "a task whose need failed is reopened by retrying that need";
  }
}

/** How many tasks a decision touches, by the committed state. */
function affectedBy(experiment: ExperimentLedger, decision: DecisionRequest): number {
  if (decision.kind === "priority" || decision.kind === "pause" || decision.kind === "resume") return experiment.open;
  if (decision.kind === "cancel" && decision.scope === null) return experiment.open;
  if (decision.kind === "retry") return reopenedBy(experiment, decision.scope).length;
  let affected = 0;
  forEachInScope(experiment, decision.scope, (template, index) => {
    affected += isFinal(stateOf(template, index)) ? 0 : 1;
  });
  return affected;
}
