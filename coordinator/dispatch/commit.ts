/**
 * What follows from a commit, and only from it: the fold, then leases and cancels to agents, acknowledgements, answers,
 * and the conclusions that the system itself draws from the new state.
 */
import { Blame, Outcome } from "../../shared/model/attempt.ts";
import { DEFINITION_INPUTS_BYTES_MAX } from "../../shared/model/constants.ts";
import type { ExperimentId } from "../../shared/model/ids.ts";
import { TaskState } from "../../shared/model/states.ts";
import type { LeaseGroup } from "../../shared/protocol/messages.ts";
import type { Batch } from "./batch.ts";
import { drawConclusions } from "./conclusions.ts";
import type { AgentFloor, Core, Effect, Held } from "./core.ts";
import { ackEffect } from "./ends.ts";
import { backOff } from "./floor/backoff.ts";
import type { Cut } from "./floor/gather.ts";
import { letGo } from "./floor/hold.ts";
import { leaseGroup } from "./lease-message.ts";
import { foldBatch } from "./ledger/fold.ts";
import {
  type ExperimentLedger,
  idempotencyKey,
  isMarked,
  RETRIED,
  setState,
  stateOf,
  type TemplateLedger,
} from "./ledger/ledger.ts";
import type { Now } from "./ports.ts";
import { giveBack, sendCancels } from "./sessions.ts";
import { forgetLost, rememberLost } from "./trust.ts";

/** Folds the batch whose append was answered and does what follows from it. */
export function onCommitted(core: Core, seq: number, now: Now, effects: Effect[]): void {
  const cut = core.inflight;
  const batch = cut?.batch;
  if (!cut || !batch || batch.seq !== seq) throw new Error(`committed(${seq}) without that append under way`);
  core.inflight = null;
  const queued: [TemplateLedger, number][] = [];
  foldBatch(core.ledger, batch, {
    incoming: (id) => core.incoming.get(id),
    submitted: (experiment) => void core.incoming.delete(experiment.id),
    ready: (template, index) => queued.push([template, index]),
  });
  if (core.config.mutations.attemptReusedAfterRelease) reuseReleased(cut);
  if (core.config.mutations.needsReleasedTwice) releaseNeedsAgain(core, batch);
  // Ended attempts let go first: a task that was requeued is free only then.
  for (const held of cut.ended) {
    if (!held.reported && stateOf(held.template, held.index) === TaskState.QUEUED) rememberLost(core, held);
    else forgetLost(core, held.template, held.index);
    letGo(core, held);
  }
  for (const [template, index] of queued) {
    backOff(core, template, index, now, isMarked(template, index, RETRIED));
  }
  deliverLeases(core, cut, now, effects);
  for (const ack of cut.acks) effects.push(ackEffect(ack));
  answerSubmits(core, batch, effects);
  settleDecisions(core, batch, effects);
  effects.push(...cut.replies);
  const changed = changedBy(batch);
  for (const id of changed) drawConclusions(core, id);
  effects.push({ type: "committed", batch, changed });
}

/** A deliberate bug, see mutations.ts. */
function reuseReleased(cut: Cut): void {
  for (const record of cut.ends) {
    const held = cut.ended.find((entry) => entry.template.ordinal === record.template);
    record.indexes.forEach((index, i) => {
      if (held && record.outcomes[i] === Outcome.RELEASED)
        held.template.attempts[index] = (record.attempts[i] as number) - 1;
    });
  }
}

/** A deliberate bug, see mutations.ts. */
function releaseNeedsAgain(core: Core, batch: Batch): void {
  for (const record of batch.ends) {
    const parent = core.ledger.experiments.get(record.experiment)?.templates[record.template];
    if (!parent || parent.counts[TaskState.COMPLETED] !== parent.count) continue;
    for (const { template: child, kind } of parent.children) {
      for (let i = 0; kind === "needs" && i < child.count; i++) {
        const state = stateOf(child, i);
        if (state === TaskState.WAITING || state === TaskState.LEASED) setState(child, i, TaskState.QUEUED);
        core.classes.offer(child, i);
      }
    }
  }
}

function deliverLeases(core: Core, cut: Cut, now: Now, effects: Effect[]): void {
  const byFloor = new Map<AgentFloor, LeaseGroup[]>();
  for (let i = 0; i < cut.leases.length; i++) {
    const record = cut.leases[i] as Cut["leases"][number];
    const { floor, template, held } = cut.leased[i] as Cut["leased"][number];
    for (const entry of held) {
      entry.committed = true;
      forgetLost(core, entry.template, entry.index);
    }
    if (floor.epoch !== record.epoch || floor.peer === null) {
      // Its session ended before the lease was durable; it never heard of it.
      if (floor.epoch !== record.epoch || floor.state === "LOST" || floor.state === "GONE") {
        for (const entry of held) {
          if (!entry.ending) giveBack(core, entry, Outcome.LOST, Blame.NOT_HELD, now);
        }
      }
      continue;
    }
    const groups = byFloor.get(floor);
    const group = leaseGroup(floor, template, held, DEFINITION_INPUTS_BYTES_MAX);
    if (groups) groups.push(group);
    else byFloor.set(floor, [group]);
  }
  for (const [floor, groups] of byFloor) {
    if (floor.peer === null) continue;
    for (const group of groups)
      effects.push({ type: "send", peer: floor.peer, message: { type: "leases", groups: [group] } });
  }
}

function answerSubmits(core: Core, batch: Batch, effects: Effect[]): void {
  for (const submit of batch.submits) {
    if (!submit.idempotency) continue;
    const key = idempotencyKey(submit.actor, submit.idempotency.key);
    const pending = core.submitting.get(key);
    core.submitting.delete(key);
    for (const request of pending?.waiters ?? []) {
      effects.push({
        type: "reply",
        request,
        result: { ok: "submitted", experiment: submit.experiment, replayed: true },
      });
    }
  }
}

function settleDecisions(core: Core, batch: Batch, effects: Effect[]): void {
  for (const decision of batch.decisions) {
    const left = (core.deciding.get(decision.experiment) ?? 1) - 1;
    if (left > 0) core.deciding.set(decision.experiment, left);
    else core.deciding.delete(decision.experiment);
    const experiment = core.ledger.experiments.get(decision.experiment);
    if (!experiment) continue;
    if (decision.kind === "priority") core.classes.relist(experiment.templates);
    else core.classes.unpark(experiment.templates);
    if (decision.kind === "cancel") cancelHeld(experiment, core, decision.reason, effects);
  }
}

/** Tells every agent that holds tasks of the experiment which of them were canceled. */
function cancelHeld(experiment: ExperimentLedger, core: Core, reason: string, effects: Effect[]): void {
  const byFloor = new Map<AgentFloor, Held[]>();
  for (const template of experiment.templates) {
    for (const index of template.leases.keys()) collect(core.held.get(template.base + index), byFloor);
  }
  // Ghosts have no lease in the ledger; their agents are told as well.
  for (const floor of core.agents.values()) {
    for (const held of floor.held) if (held.ghost && held.template.experiment === experiment) collect(held, byFloor);
  }
  for (const [floor, held] of byFloor) sendCancels(floor, held, reason, effects);
}

function collect(held: Held | undefined, byFloor: Map<AgentFloor, Held[]>): void {
  if (!held?.committed) return;
  const list = byFloor.get(held.floor);
  if (list) list.push(held);
  else byFloor.set(held.floor, [held]);
}

function changedBy(batch: Batch): ExperimentId[] {
  const ids = new Set<ExperimentId>();
  for (const record of batch.submits) ids.add(record.experiment);
  for (const record of batch.leases) ids.add(record.experiment);
  for (const record of batch.ends) ids.add(record.experiment);
  for (const record of batch.decisions) ids.add(record.experiment);
  return [...ids];
}
