/**
 * Ends of attempts: which reports count, what they do to the task, and what the agent is told. A report counts while its
 * attempt is the latest given for the task, whatever session brings it; it is refused by name otherwise.
 */
import { Blame, Charge, chargeFor, Disposition, Outcome, retryCause } from "../../shared/model/attempt.ts";
import { TASK_STATE_NAMES, TaskState } from "../../shared/model/states.ts";
import type { AttemptGroup, EndGroup, ToAgent } from "../../shared/protocol/messages.ts";
import { drawConclusions } from "./conclusions.ts";
import type { AgentFloor, Core, Effect, Held, Peer } from "./core.ts";
import { backoffMs } from "./floor/backoff.ts";
import { type Ack, currentCut, deltaOf, type GatheredEnd, gatherEnd, putOff } from "./floor/gather.ts";
import { letGo, offerAgain } from "./floor/hold.ts";
import { settleUsage } from "./floor/meter.ts";
import {
  CANCELING,
  isMarked,
  NOT_HELD,
  REPORTED,
  SETTLED,
  setState,
  stateOf,
  type TemplateLedger,
  taskName,
} from "./ledger/ledger.ts";
import type { Now } from "./ports.ts";
import { isForeign, lostWithAnother, tellForged, templateFor } from "./trust.ts";

/** Retries of the user's budget stop counting where tries do (one byte). */
const USER_RETRIES_MAX = 250;

/** Takes a frame of reports from an agent. */
export function onEnded(
  core: Core,
  peer: Peer,
  floor: AgentFloor,
  groups: EndGroup[],
  now: Now,
  effects: Effect[],
): void {
  for (const group of groups) {
    const template = templateFor(core, floor, group);
    if (!template) {
      onUnknownExperiment(core, peer, floor, group, effects);
      continue;
    }
    const accepted = emptyGroup(group);
    for (let i = 0; i < group.indexes.length; i++) {
      const index = group.indexes[i] as number;
      const attempt = group.attempts[i] as number;
      const held = index < template.count ? core.held.get(template.base + index) : undefined;
      if (held && isRunning(held, attempt, floor)) acceptReport(core, held, group, i, now);
      else {
        const verdict = judge(core, floor, template, index, attempt, held);
        if (verdict.answer === "accept") {
          acceptReport(core, lateHeld(core, template, index, attempt, floor), group, i, now);
        } else if (verdict.answer === "later") {
          putOff(core, { type: "message", peer, message: { type: "ended", groups: [rowOf(group, i)] } });
          continue;
        } else if (verdict.answer === "refuse") {
          if (verdict.forged) tellForged(floor, core, `reports what is another agent's: ${verdict.message}`, effects);
          refuse(core, { peer, group: oneOf(group, i), refused: verdict }, held, effects);
          continue;
        } else if (core.config.mutations.duplicateCounted) deltaOf(currentCut(core), group.experiment).completed++;
      }
      accepted.indexes.push(index);
      accepted.attempts.push(attempt);
    }
    if (accepted.indexes.length > 0) answer(core, { peer, group: accepted, refused: null }, effects);
  }
}

/** The usual case: the attempt of a task that this agent holds under a durable lease. */
function isRunning(held: Held, attempt: number, floor: AgentFloor): boolean {
  return held.attempt === attempt && held.floor === floor && held.committed && !held.ending && !held.ghost;
}

/** Says so, and lets go of a task that its agent went on with after the lease ran out: it has nothing more to say. */
function refuse(core: Core, ack: Ack, held: Held | undefined, effects: Effect[]): void {
  core.figures.stale++;
  answer(core, ack, effects);
  if (!held?.ghost || held.ending || held.attempt !== ack.group.attempts[0]) return;
  letGo(core, held);
  offerAgain(core, held.template, held.index);
}

/**
 * Answered when everything gathered so far is durable: that covers duplicates of what is under way, and refusals that
 * rest on a lease which might still be rolled back.
 */
function answer(core: Core, ack: Ack, effects: Effect[]): void {
  const last = core.gathered.at(-1) ?? core.inflight;
  if (!last || core.config.mutations.acknowledgeBeforeCommit) effects.push(ackEffect(ack));
  else last.acks.push(ack);
}

/** The message that lets an agent forget a report. */
export function ackEffect({ peer, group, refused }: Ack): Effect {
  const message: Extract<ToAgent, { type: "ack" }> =
    refused === null
      ? { type: "ack", groups: [group] }
      : { type: "ack", groups: [], refused: [{ group, code: refused.code, message: refused.message }] };
  return { type: "send", peer, message };
}

type Verdict =
  | { answer: "accept" | "duplicate" }
  /** It rests on a decision or a loss that is not durable yet. */
  | { answer: "later" }
  | { answer: "refuse"; code: string; message: string; forged?: boolean };

/** What to do with a report that is not simply the running attempt of a held task. */
function judge(
  core: Core,
  floor: AgentFloor,
  template: TemplateLedger,
  index: number,
  attempt: number,
  held: Held | undefined,
): Verdict {
  const name = taskName(template, index);
  if (index >= template.count) {
    const message = `task ${name} does not exist; its template has ${template.count} tasks`;
    return { answer: "refuse", code: "attempt_unknown", message };
  }
  const state = stateOf(template, index);
  const given = template.attempts[index] as number;
  const latest = Math.max(given, held?.attempt ?? 0);
  if (attempt < 1 || attempt > given) {
    const message = `attempt ${attempt} of task ${name} was never given; the latest is ${latest}`;
    return { answer: "refuse", code: "attempt_unknown", message };
  }
  if (attempt < latest) {
    if (core.config.mutations.fenceForgotten && state === TaskState.LEASED && held?.committed && !held.ending) {
      return { answer: "accept" };
    }
    const message = `attempt ${attempt} of task ${name} was superseded by attempt ${latest}`;
    return { answer: "refuse", code: "attempt_superseded", message };
  }
  const holder = template.leases.get(index)?.agent ?? lostWithAnother(core, floor, template, index);
  if (holder !== undefined && holder !== floor.agent) {
    const message = `attempt ${attempt} of task ${name} is with agent ${holder}, not with ${floor.name}`;
    return { answer: "refuse", code: "attempt_unknown", message, forged: true };
  }
  if (isMarked(template, index, REPORTED)) {
    return { answer: core.config.mutations.duplicateFolded && state === TaskState.QUEUED ? "accept" : "duplicate" };
  }
  if (held?.ending) return { answer: held.reported ? "duplicate" : "later" };
  if (isMarked(template, index, SETTLED)) {
    const why = isMarked(template, index, NOT_HELD) ? "because its agent did not have it" : "when the task was retried";
    const message = `attempt ${attempt} of task ${name} was given up ${why}`;
    return { answer: "refuse", code: "attempt_superseded", message };
  }
  if (state !== TaskState.QUEUED && state !== TaskState.LEASED) {
    const message = `task ${name} is ${TASK_STATE_NAMES[state]} but must be LEASED or QUEUED to report output`;
    return { answer: "refuse", code: "task_ended", message };
  }
  // A cancel that is on its way will find it QUEUED and end it: then this report comes too late.
  return { answer: state === TaskState.QUEUED && core.deciding.has(template.experiment.id) ? "later" : "accept" };
}

/** The entry of a late report: what is held of the task (by a ghost, or after a change of session), or a passing one. */
function lateHeld(core: Core, template: TemplateLedger, index: number, attempt: number, floor: AgentFloor): Held {
  const held = core.held.get(template.base + index);
  if (held && (held.attempt === attempt || core.config.mutations.fenceForgotten)) return held;
  const passing: Held = {
    template,
    index,
    attempt,
    floor,
    class: core.classes.queueOf(template).class,
    ahead: true,
    committed: true,
    ending: true,
    reported: false,
    ghost: true,
    phase: 0,
    startedAtMs: 0,
    expected: 0,
    meteredMono: null,
  };
  // Nobody may lease it while the report is on its way into the journal.
  core.held.set(template.base + index, passing);
  return passing;
}

function acceptReport(core: Core, held: Held, group: EndGroup, i: number, now: Now): void {
  const outcome = group.outcomes[i] as Outcome;
  const blame = (group.blames[i] ?? Blame.AGENT) as Blame;
  const startedAtMs = group.startedAtMs[i] as number;
  const endedAtMs = group.endedAtMs[i] as number;
  const end = decideEnd(core, held, outcome, blame, now);
  end.exitCode = group.exitCodes[i] as number;
  end.signal = group.signals[i] as number;
  end.startedAtMs = startedAtMs;
  end.endedAtMs = endedAtMs;
  end.cpuMs = group.cpuMs[i] as number;
  end.memoryMaxBytes = group.memoryMaxBytes[i] as number;
  end.readBytes = group.readBytes?.[i] ?? 0;
  end.writtenBytes = group.writtenBytes?.[i] ?? 0;
  end.tail = group.tails?.[i];
  end.detail = group.details?.[i];
  held.reported = true;
  settleUsage(core, held, startedAtMs, endedAtMs);
  gatherEnd(core, held, end);
  core.figures.ends++;
  const { failuresBeforeCommit } = core.config.mutations;
  if (failuresBeforeCommit && end.outcome === Outcome.FAILED && end.disposition === Disposition.FINAL) {
    drawConclusions(core, group.experiment, 1);
  }
  if (outcome === Outcome.COMPLETED) {
    core.classes.observe(held.class, Math.max(0, endedAtMs - startedAtMs));
    if (core.config.mutations.childBeforeCommit) {
      queueChildrenNow(core, held);
    }
  }
}

/** A deliberate bug, see mutations.ts. */
function queueChildrenNow(core: Core, held: Held): void {
  for (const { template: child, kind } of held.template.children) {
    if (kind === "needs" || stateOf(child, held.index) !== TaskState.WAITING) continue;
    setState(child, held.index, TaskState.QUEUED);
    core.classes.offer(child, held.index);
  }
}

/** Disposition, charge and backoff of an end; the figures of the attempt are filled in by whoever knows them. */
export function decideEnd(core: Core, held: Held, outcome: Outcome, blame: Blame, now: Now): GatheredEnd {
  const { template, index } = held;
  const charge = chargeFor(outcome, blame);
  const end: GatheredEnd = {
    disposition: Disposition.FINAL,
    outcome,
    blame,
    charge,
    exitCode: -1,
    signal: 0,
    notBeforeMs: 0,
    startedAtMs: 0,
    endedAtMs: 0,
    cpuMs: 0,
    memoryMaxBytes: 0,
    readBytes: 0,
    writtenBytes: 0,
    tail: undefined,
    detail: undefined,
  };
  if (outcome === Outcome.COMPLETED || outcome === Outcome.CANCELED) return end;
  if (isMarked(template, index, CANCELING)) {
    end.outcome = Outcome.CANCELED;
    end.charge = Charge.NONE;
    return end;
  }
  if (charge === Charge.NONE) {
    end.disposition = Disposition.REQUEUE;
    if (blame === Blame.NOT_HELD) end.notBeforeMs = notBeforeUnheld(core, template, index, now);
    return end;
  }
  const tries = charge === Charge.USER ? template.triedUser : template.triedInfrastructure;
  const tried = (tries[index] as number) + 1;
  if (!mayTryAgain(core, template, blame, charge, tried)) {
    end.outcome = Outcome.FAILED;
    return end;
  }
  end.disposition = Disposition.REQUEUE;
  end.notBeforeMs = now.wall + backoffMs(tried, core.config.random);
  return end;
}

/** Leases in a row that may come to nothing before the next one waits. */
const UNHELD_FREE = 3;
/** 1 s × 2^5: longer than any reconnect, short enough for a site that mends itself. */
const UNHELD_DOUBLINGS_MAX = 6;

/**
 * Nobody pays for a lease that never arrived; but an agent that cannot take a task at all (a frame it refuses, a lost
 * state) must not be given it in a circle. Attempts beyond those that were charged tell how often that was.
 */
function notBeforeUnheld(core: Core, template: TemplateLedger, index: number, now: Now): number {
  const charged = (template.triedUser[index] as number) + (template.triedInfrastructure[index] as number);
  const unheld = (template.attempts[index] as number) - charged;
  if (unheld <= UNHELD_FREE) return 0;
  return now.wall + backoffMs(Math.min(unheld - UNHELD_FREE, UNHELD_DOUBLINGS_MAX), core.config.random);
}

function mayTryAgain(core: Core, template: TemplateLedger, blame: Blame, charge: Charge, tried: number): boolean {
  if (charge === Charge.INFRASTRUCTURE) return tried <= core.config.infrastructureRetries;
  const { max, on } = template.definition.retries;
  const cause = retryCause(blame);
  return cause !== undefined && on.includes(cause) && tried <= Math.min(max, USER_RETRIES_MAX);
}

function emptyGroup(group: AttemptGroup): AttemptGroup {
  return { experiment: group.experiment, template: group.template, indexes: [], attempts: [] };
}

function oneOf(group: AttemptGroup, i: number): AttemptGroup {
  const { experiment, template, indexes, attempts } = group;
  return { experiment, template, indexes: [indexes[i] as number], attempts: [attempts[i] as number] };
}

/** The same report with one of its rows. */
function rowOf(group: EndGroup, i: number): EndGroup {
  const pick = <T>(column: T[]): T[] => [column[i] as T];
  const row: EndGroup = {
    ...oneOf(group, i),
    outcomes: pick(group.outcomes),
    blames: pick(group.blames),
    exitCodes: pick(group.exitCodes),
    signals: pick(group.signals),
    startedAtMs: pick(group.startedAtMs),
    endedAtMs: pick(group.endedAtMs),
    cpuMs: pick(group.cpuMs),
    memoryMaxBytes: pick(group.memoryMaxBytes),
  };
  if (group.readBytes !== undefined) row.readBytes = pick(group.readBytes);
  if (group.writtenBytes !== undefined) row.writtenBytes = pick(group.writtenBytes);
  const tail = group.tails?.[i];
  const detail = group.details?.[i];
  if (tail !== undefined) row.tails = { 0: tail };
  if (detail !== undefined) row.details = { 0: detail };
  return row;
}

/**
 * Only ended experiments leave memory, so whatever is reported about one was counted long ago or is stale. One of a project
 * that the agent does not serve is answered like those: it does not learn which there are.
 */
function onUnknownExperiment(core: Core, peer: Peer, floor: AgentFloor, group: EndGroup, effects: Effect[]): void {
  if (isForeign(core, floor, group.experiment)) {
    const claim = `reports attempts of experiment ${group.experiment}, whose project it does not serve`;
    tellForged(floor, core, claim, effects);
  }
  if (core.config.mutations.evictedReportDropped) return;
  const known = group.experiment <= core.ledger.experimentMax;
  core.figures.stale += group.indexes.length;
  const { experiment, template, indexes, attempts } = group;
  const code = known ? "task_ended" : "attempt_unknown";
  const message = known
    ? `experiment ${experiment} has ended, or is of a project that this agent does not serve; nothing is counted for it`
    : `experiment ${experiment} is not known here: it is none of this history`;
  answer(core, { peer, group: { experiment, template, indexes, attempts }, refused: { code, message } }, effects);
}
