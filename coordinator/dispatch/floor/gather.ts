/**
 * Gathering: decisions made while an append is under way collect in cuts of at most 2,000 tasks; when the journal is
 * idle the first cut becomes the next batch. No timer. What follows from a cut is kept beside it and done at its commit.
 */
import { Disposition, Outcome } from "../../../shared/model/attempt.ts";
import { JOURNAL_BATCH_TASKS_MAX } from "../../../shared/model/constants.ts";
import type { ExperimentId } from "../../../shared/model/ids.ts";
import type { AttemptGroup } from "../../../shared/protocol/messages.ts";
import {
  type Batch,
  type CounterDelta,
  type DecisionRecord,
  type EndRecord,
  emptyEnd,
  type LeaseRecord,
  type SubmitRecord,
} from "../batch.ts";
import type { AgentFloor, Core, CoreEvent, Effect, Held, Peer } from "../core.ts";
import { checkBatch } from "../ledger/check.ts";
import type { TemplateLedger } from "../ledger/ledger.ts";
import type { Now } from "../ports.ts";

/** An answer to a report that waits for a commit. */
export interface Ack {
  peer: Peer;
  group: AttemptGroup;
  refused: { code: string; message: string } | null;
}

export interface Cut {
  /** When its first decision was gathered. */
  readonly openedMono: number;
  tasks: number;
  readonly submits: SubmitRecord[];
  readonly leases: LeaseRecord[];
  /** Parallel to `leases`. */
  readonly leased: { floor: AgentFloor; template: TemplateLedger; held: Held[] }[];
  readonly ends: EndRecord[];
  readonly endOf: Map<TemplateLedger, EndRecord>;
  readonly ended: Held[];
  readonly acks: Ack[];
  readonly decisions: DecisionRecord[];
  /** What was asked and is answered at the commit. */
  readonly replies: Effect[];
  /** Events that rest on what is not durable yet: handled again after the commit. */
  later: CoreEvent[];
  readonly deltas: Map<ExperimentId, CounterDelta>;
  /** Set when it is cut. */
  batch: Batch | null;
}

function emptyCut(openedMono: number): Cut {
  return {
    openedMono,
    tasks: 0,
    submits: [],
    leases: [],
    leased: [],
    ends: [],
    endOf: new Map(),
    ended: [],
    acks: [],
    decisions: [],
    replies: [],
    later: [],
    deltas: new Map(),
    batch: null,
  };
}

/** The cut that takes the next decision. */
export function currentCut(core: Core): Cut {
  let cut = core.gathered[core.gathered.length - 1];
  if (!cut || cut.tasks >= JOURNAL_BATCH_TASKS_MAX) {
    cut = emptyCut(core.nowMono);
    core.gathered.push(cut);
  }
  return cut;
}

/** Puts an event off until everything decided so far is durable. Something is: that is why it must wait. */
export function putOff(core: Core, event: CoreEvent): void {
  const last = core.gathered.at(-1) ?? core.inflight;
  if (!last) throw new Error("an event was put off with nothing to wait for");
  last.later.push(event);
}

/** A connection that is gone is not welcomed any more. */
export function dropPutOff(core: Core, peer: Peer): void {
  for (const cut of core.inflight ? [core.inflight, ...core.gathered] : core.gathered) {
    if (cut.later.length > 0) cut.later = cut.later.filter((event) => !("peer" in event) || event.peer !== peer);
  }
}

/** How many more leases may be gathered now; ends go first, so leases stop when a whole cut is waiting. */
export function roomForLeases(core: Core): number {
  if (core.gathered.length > 1) return 0;
  const cut = core.gathered[0];
  return cut ? Math.max(0, JOURNAL_BATCH_TASKS_MAX - cut.tasks) : JOURNAL_BATCH_TASKS_MAX;
}

export function deltaOf(cut: Cut, experiment: ExperimentId): CounterDelta {
  let delta = cut.deltas.get(experiment);
  if (!delta) {
    delta = { experiment, leased: 0, completed: 0, failed: 0, canceled: 0, requeued: 0 };
    cut.deltas.set(experiment, delta);
  }
  return delta;
}

/** One end, as it will stand in the journal. */
export interface GatheredEnd {
  disposition: Disposition;
  outcome: Outcome;
  blame: number;
  charge: number;
  exitCode: number;
  signal: number;
  notBeforeMs: number;
  startedAtMs: number;
  endedAtMs: number;
  cpuMs: number;
  memoryMaxBytes: number;
  readBytes: number;
  writtenBytes: number;
  tail: string | undefined;
  detail: string | undefined;
}

export function gatherEnd(core: Core, held: Held, end: GatheredEnd): void {
  const { template, index, attempt } = held;
  const cut = currentCut(core);
  let record = cut.endOf.get(template);
  if (!record) {
    record = emptyEnd(template.experiment.id, template.ordinal);
    cut.endOf.set(template, record);
    cut.ends.push(record);
  }
  const position = record.indexes.length;
  record.indexes.push(index);
  record.attempts.push(attempt);
  record.agents.push(held.floor.agent);
  record.dispositions.push(end.disposition);
  record.outcomes.push(end.outcome);
  record.blames.push(end.blame);
  record.charges.push(end.charge);
  record.exitCodes.push(end.exitCode);
  record.signals.push(end.signal);
  record.notBeforeMs.push(end.notBeforeMs);
  record.startedAtMs.push(end.startedAtMs);
  record.endedAtMs.push(end.endedAtMs);
  record.cpuMs.push(end.cpuMs);
  record.memoryMaxBytes.push(end.memoryMaxBytes);
  if (end.readBytes > 0 || end.writtenBytes > 0 || record.storage !== undefined) addStorage(record, end);
  if (end.tail !== undefined) record.tails[position] = end.tail;
  if (end.detail !== undefined) record.details[position] = end.detail;
  held.ending = true;
  cut.ended.push(held);
  cut.tasks++;
  countEnd(deltaOf(cut, template.experiment.id), end);
}

/** Most attempts touch no storage; the columns begin with the first one that does. */
function addStorage(record: EndRecord, { readBytes, writtenBytes }: GatheredEnd): void {
  const before = record.indexes.length - 1;
  record.storage ??= {
    readBytes: new Array<number>(before).fill(0),
    writtenBytes: new Array<number>(before).fill(0),
  };
  record.storage.readBytes.push(readBytes);
  record.storage.writtenBytes.push(writtenBytes);
}

function countEnd(delta: CounterDelta, end: GatheredEnd): void {
  if (end.disposition === Disposition.REQUEUE) delta.requeued++;
  else if (end.outcome === Outcome.COMPLETED) delta.completed++;
  else if (end.outcome === Outcome.CANCELED) delta.canceled++;
  else delta.failed++;
}

/** Leases just decided for one agent and template. */
export function gatherLeases(core: Core, floor: AgentFloor, template: TemplateLedger, held: Held[]): void {
  const cut = currentCut(core);
  cut.leases.push({
    agent: floor.agent,
    epoch: floor.epoch,
    root: floor.root,
    experiment: template.experiment.id,
    template: template.ordinal,
    indexes: held.map((entry) => entry.index),
    attempts: held.map((entry) => entry.attempt),
  });
  cut.leased.push({ floor, template, held });
  cut.tasks += held.length;
  deltaOf(cut, template.experiment.id).leased += held.length;
}

/** When nothing is under way, the first cut becomes the next append. */
export function cutBatch(core: Core, now: Now, effects: Effect[]): void {
  if (core.inflight || core.gathered.length === 0) return;
  const cut = core.gathered.shift() as Cut;
  cut.batch = {
    shard: core.config.shard,
    term: core.config.term,
    seq: core.ledger.seq + 1,
    atMs: now.wall,
    submits: cut.submits,
    leases: cut.leases,
    ends: cut.ends,
    decisions: cut.decisions,
    deltas: [...cut.deltas.values()],
  };
  checkBatch(core.ledger, cut.batch, core.incoming);
  core.inflight = cut;
  core.figures.appends++;
  effects.push({ type: "append", batch: cut.batch });
}
