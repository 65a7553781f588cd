/**
 * The floor of a new reign, from the ledger alone: queues from states, held tasks from open leases. Agents that have not
 * said hello yet keep their leases for ttl + the leadership lease, counted from now, when the dispatcher accepts them.
 */
import { TaskState } from "../../../shared/model/states.ts";
import { type Core, graceAfterTakeoverMs } from "../core.ts";
import { type ExperimentLedger, type OpenLease, stateOf, type TemplateLedger } from "../ledger/ledger.ts";
import type { Now } from "../ports.ts";
import { backOff, mayBeHeld } from "./backoff.ts";
import { floorOf, hold } from "./hold.ts";

/** Builds queues and held tasks for everything in the ledger. */
export function restoreFloor(core: Core, now: Now): void {
  for (const experiment of core.ledger.experiments.values()) {
    restoreExperiment(core, experiment, now);
    for (const template of experiment.templates) guardHeld(core, template, now);
  }
}

/** Nobody gets a task that its last agent may still run with the leave of a former reign. */
function guardHeld(core: Core, template: TemplateLedger, now: Now): void {
  if (template.counts[TaskState.QUEUED] === 0) return;
  for (let index = 0; index < template.count; index++) {
    if (stateOf(template, index) !== TaskState.QUEUED || !mayBeHeld(template, index)) continue;
    backOff(core, template, index, now, true);
  }
}

/** The same for one experiment that came (back) into memory. */
export function restoreExperiment(core: Core, experiment: ExperimentLedger, now: Now): void {
  if (experiment.open === 0) return;
  for (const template of experiment.templates) {
    for (const [index, lease] of template.leases) restoreLease(core, template, index, lease, now);
    if (template.counts[TaskState.QUEUED] === 0) continue;
    for (const index of template.notBefore.keys()) {
      if (stateOf(template, index) === TaskState.QUEUED) backOff(core, template, index, now, false);
    }
    core.classes.offerRange(template, 0);
  }
}

function restoreLease(core: Core, template: TemplateLedger, index: number, lease: OpenLease, now: Now): void {
  const deadline = now.mono + graceAfterTakeoverMs(core.config);
  const floor = floorOf(core, lease.agent, lease.root, deadline);
  hold(core, {
    template,
    index,
    attempt: template.attempts[index] as number,
    floor,
    class: core.classes.queueOf(template).class,
    ahead: false,
    committed: true,
    ending: false,
    reported: false,
    ghost: false,
    phase: 0,
    startedAtMs: 0,
    expected: 0,
    meteredMono: null,
  });
}
