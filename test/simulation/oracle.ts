/**
 * Sees everything at once and says the moment a promise is broken. What is durable it folds itself, and beside that it
 * keeps plain books of its own, one record per task, so that a mistake in the fold does not judge itself.
 */

import type { Batch, DecisionRecord, EndRecord, LeaseRecord } from "../../coordinator/dispatch/batch.ts";
import type { Core } from "../../coordinator/dispatch/core.ts";
import { foldBatch } from "../../coordinator/dispatch/ledger/fold.ts";
import { MAX_FAILURES_REASON } from "../../coordinator/dispatch/ledger/fold-decision.ts";
import {
  countOf,
  emptyLedger,
  isMarked,
  type Ledger,
  RETRIED,
  stateOf,
  type TemplateLedger,
} from "../../coordinator/dispatch/ledger/ledger.ts";
import { ledgerFrom } from "../../coordinator/dispatch/ledger/snapshot.ts";
import type { LoadedState } from "../../coordinator/dispatch/load.ts";
import { BLAME_NAMES, Blame, Disposition, Outcome } from "../../shared/model/attempt.ts";
import { type AttemptKey, parseAttemptKey, SYSTEM_ACTOR } from "../../shared/model/ids.ts";
import { isFinal, TASK_STATE_NAMES, TaskState } from "../../shared/model/states.ts";
import type { AttemptGroup } from "../../shared/protocol/messages.ts";
import { differenceOf, recountDifference } from "./database/compare.ts";
import type { Durable } from "./database/durable.ts";
import type { World } from "./engine/world.ts";

/** What the oracle must know of an agent. */
export interface Watched {
  readonly name: string;
  /** The identity it is enrolled under. */
  readonly agent: number;
  readonly cpus: number;
  /** The most leases beyond what fits that it ever asked for. */
  readonly aheadMax: number;
  /** Whether it counts on this attempt now: awake, trusting its leases, and the attempt not ended there. */
  countsOn(key: string): boolean;
}

interface TaskBooks {
  /** Latest attempt given. */
  attempt: number;
  /** What each attempt's own agent reported, as it stands in the journal. */
  reported: Map<number, Outcome>;
  /** Ends that stand in the journal, also those of lost attempts. */
  final: boolean;
  completedSeq: number | null;
  /** Latest attempt at the last retry: it and those before it do not count any more. */
  retriedAfter: number;
}

export class Oracle {
  ledger: Ledger = emptyLedger();
  /** Raised by a restore. */
  timeline = 1;
  /** Numbers for the report. */
  readonly figures: Record<string, number> = {};
  agents: readonly Watched[] = [];
  private readonly world: World;
  private readonly books = new Map<string, TaskBooks>();
  private readonly reasons = new Set<string>();
  /** Told again what is durable, after a restore: nothing of it happens now. */
  private remembering = false;

  constructor(world: World) {
    this.world = world;
  }

  /** A batch becomes durable while `reigning` is the term of the leadership row. */
  committed(batch: Batch, reigning: number): void {
    const { world } = this;
    if (batch.term !== reigning) {
      world.fail("one dispatcher", `an append of term ${batch.term} became durable while term ${reigning} reigns`);
    }
    this.note("batches");
    for (const lease of batch.leases) this.leased(lease, batch);
    for (const end of batch.ends) this.ended(end, batch.seq);
    for (const decision of batch.decisions) {
      this.reasons.add(decision.reason);
      this.note(`${decision.actor === SYSTEM_ACTOR ? "system" : "person"} ${decision.kind}`);
    }
    for (const decision of batch.decisions) this.checkMaxFailures(decision);
    try {
      foldBatch(this.ledger, batch);
    } catch (error) {
      world.fail("the journal can be folded", error instanceof Error ? error.message : String(error));
    }
    for (const { kind, experiment } of batch.decisions) if (kind === "retry") this.retried(experiment);
    this.count(batch);
    for (const agent of new Set(batch.leases.map((lease) => lease.agent))) this.checkRoom(agent);
  }

  /** Decided from what was durable before this batch, not from what was about to be. */
  private checkMaxFailures({ reason, experiment: id }: DecisionRecord): void {
    const experiment = this.ledger.experiments.get(id);
    if (reason !== MAX_FAILURES_REASON || !experiment) return;
    const failed = countOf(experiment, TaskState.FAILED) - experiment.forgiven;
    const { maxFailures } = experiment.definition;
    if (maxFailures !== null && failed >= maxFailures) return;
    const text = `experiment ${id} is canceled after ${failed} durable failures of ${maxFailures}`;
    this.world.fail("max_failures counts what is durable", text);
  }

  /** What an agent holds fits it, but for as many as it asked for beyond that. */
  private checkRoom(agent: number): void {
    if (this.remembering) return;
    let cpusMax = 0;
    let aheadMax = 0;
    for (const watched of this.agents) {
      if (watched.agent !== agent) continue;
      cpusMax = Math.max(cpusMax, watched.cpus);
      aheadMax = Math.max(aheadMax, watched.aheadMax);
    }
    const needs: number[] = [];
    for (const { templates } of this.ledger.experiments.values()) {
      for (const { leases, definition } of templates) {
        for (const lease of leases.values()) if (lease.agent === agent) needs.push(definition.requires.cpus);
      }
    }
    needs.sort((a, b) => b - a);
    const cpus = needs.slice(aheadMax).reduce((sum, need) => sum + need, 0);
    if (cpus <= cpusMax) return;
    const text = `agent ${agent} has ${needs.length} leases: ${cpus} cpus of ${cpusMax} beside ${aheadMax} ahead`;
    this.world.fail("no lease above capacity", text);
  }

  private leased(record: LeaseRecord, batch: Batch): void {
    for (let i = 0; i < record.indexes.length; i++) {
      const index = record.indexes[i] as number;
      const attempt = record.attempts[i] as number;
      const books = this.booksOf(record.experiment, record.template, index);
      const name = `${record.experiment}.${record.template}.${index}`;
      if (attempt <= books.attempt)
        this.world.fail("an attempt number is given once", `${name}#${attempt} was given before`);
      for (let old = Math.max(1, attempt - 3); old < attempt; old++) this.checkTrust(name, old, record.agent);
      books.attempt = attempt;
      this.note("leases");
      this.checkParents(record, index, name, batch);
    }
  }

  /** A backup is back: what it does not hold never was, and what it holds is all there is. */
  restored(durable: Durable): void {
    this.timeline = durable.timeline;
    this.ledger = emptyLedger();
    this.books.clear();
    this.reasons.clear();
    this.remembering = true;
    for (const batch of durable.batches) this.committed(batch, batch.term);
    this.remembering = false;
    this.note("restores");
  }

  private checkTrust(name: string, old: number, to: number): void {
    if (this.remembering) return;
    for (const agent of this.agents) {
      if (!agent.countsOn(`${name}.${old}`)) continue;
      this.world.fail(
        "one trusted holder",
        `${name} goes to agent ${to} while ${agent.name} still counts on attempt ${old}`,
      );
    }
  }

  private checkParents(record: LeaseRecord, index: number, name: string, { seq, submits }: Batch): void {
    // A submit and its first leases may be one append.
    const submit = submits.find(({ experiment }) => experiment === record.experiment);
    const templates = (submit ?? this.ledger.experiments.get(record.experiment))?.definition.templates;
    const template = templates?.[record.template];
    if (!templates || !template) this.world.fail("the journal can be folded", `a lease of the unknown task ${name}`);
    const parents: [template: number, index: number][] = template.foreach.map((parent) => [parent, index]);
    for (const parent of template.needs) {
      const count = templates[parent]?.count ?? 0;
      for (let i = 0; i < count; i++) parents.push([parent, i]);
    }
    for (const [parent, i] of parents) {
      const { completedSeq } = this.booksOf(record.experiment, parent, i);
      if (completedSeq !== null && completedSeq < seq) continue;
      this.world.fail(
        "a child after its parent",
        `${name} is leased at ${seq}, its parent ${parent}.${i} ended at ${completedSeq}`,
      );
    }
  }

  private ended(record: EndRecord, seq: number): void {
    for (let i = 0; i < record.indexes.length; i++) {
      const index = record.indexes[i] as number;
      const attempt = record.attempts[i] as number;
      const books = this.booksOf(record.experiment, record.template, index);
      const name = `${record.experiment}.${record.template}.${index}`;
      this.note(`ends ${BLAME_NAMES[record.blames[i] as Blame]}`);
      if (attempt !== books.attempt) {
        this.world.fail(
          "only the latest attempt counts",
          `an end of ${name}#${attempt} after #${books.attempt} was given`,
        );
      }
      const blame = record.blames[i] as Blame;
      if (blame === Blame.NOT_HELD) this.checkDisowned(`${name}.${attempt}`, seq);
      if (blame !== Blame.AGENT_LOST && blame !== Blame.NOT_HELD) {
        if (stateOf(this.templateOf(record), index) === TaskState.QUEUED) this.note("late reports");
        if (books.reported.has(attempt))
          this.world.fail("a report counts once", `${name}#${attempt} is in the journal twice`);
        books.reported.set(attempt, record.outcomes[i] as Outcome);
      }
      if (record.dispositions[i] !== Disposition.FINAL) continue;
      if (books.final) this.world.fail("at most one FINAL", `${name} has a second FINAL result at ${seq}`);
      books.final = true;
      if (record.outcomes[i] === Outcome.COMPLETED) books.completedSeq = seq;
    }
  }

  /** An agent's trust was extended: nobody else has what it counts on. */
  trusts(agent: Watched, keys: Iterable<string>): void {
    for (const text of keys) {
      const key = parseAttemptKey(text);
      if (!key || !agent.countsOn(text)) continue;
      const { attempt } = this.booksOf(key.experiment, key.template, key.index);
      if (attempt <= key.attempt) continue;
      this.world.fail("one trusted holder", `${agent.name} may go on with ${text} although #${attempt} was given`);
    }
  }

  /** What is called not held is held by nobody. */
  private checkDisowned(key: string, seq: number): void {
    const holder = this.remembering ? undefined : this.agents.find((agent) => agent.countsOn(key));
    if (!holder) return;
    this.world.fail(
      "nobody disowns what another one holds",
      `${key} is given up at ${seq}, ${holder.name} counts on it`,
    );
  }

  private retried(id: number): void {
    const experiment = this.ledger.experiments.get(id as never);
    for (const template of experiment?.templates ?? []) {
      for (let i = 0; i < template.count; i++) {
        const books = this.booksOf(id, template.ordinal, i);
        const state = stateOf(template, i);
        if (state !== TaskState.QUEUED && state !== TaskState.WAITING) continue;
        // Also one that was canceled without an end, or that was open all the time: then nothing changes.
        if (!books.final && !isMarked(template, i, RETRIED)) continue;
        books.final = false;
        books.retriedAfter = books.attempt;
      }
    }
  }

  private count(batch: Batch): void {
    const ids = new Set([...batch.ends, ...batch.decisions, ...batch.deltas].map(({ experiment }) => experiment));
    for (const id of ids) {
      const experiment = this.ledger.experiments.get(id);
      if (!experiment) continue;
      let completed = 0;
      for (const template of experiment.templates) completed += template.counts[TaskState.COMPLETED] as number;
      if (completed === experiment.counted.completed) continue;
      const text = `experiment ${id} has ${completed} COMPLETED tasks, its counter says ${experiment.counted.completed}`;
      this.world.fail("counters equal states", text);
    }
  }

  /** What a dispatcher is about to load, seen at the moment at which the database reads it. */
  loads(durable: Durable, term: number): void {
    this.note("loads");
    const difference = this.differenceOfLoaded(() => durable.loadKept(term));
    if (difference !== null) this.world.fail("replay equals live", `loaded by term ${term}: ${difference}`);
  }

  /** The live state of a reign, when nothing newer is durable. */
  live(ledger: Ledger): void {
    if (ledger.seq !== this.ledger.seq) return;
    const difference = differenceOf(this.ledger, ledger);
    if (difference !== null) this.world.fail("replay equals live", difference);
  }

  /** The rows of these experiments are gone for good. */
  dropped(ids: readonly number[]): void {
    for (const id of ids) {
      this.note("experiments dropped");
      if (this.ledger.experiments.get(id as never)?.endedAtMs === null) {
        this.world.fail("a partition goes when all of it has ended", `experiment ${id} is unfinished and was dropped`);
      }
    }
  }

  submitAnswered(experiment: number): void {
    if (this.ledger.experiments.has(experiment as never)) return;
    this.world.fail("nothing before its commit", `experiment ${experiment} was accepted and is not durable`);
  }

  decisionAnswered(reason: string): void {
    if (!this.reasons.has(reason)) this.world.fail("nothing before its commit", `decision "${reason}" is not durable`);
  }

  /** Leases, a welcome or a renewal leave a dispatcher whose deadline is `untilMono` by its own clock. */
  authoritySent(what: string, mono: number, untilMono: number): void {
    if (mono < untilMono) return;
    this.world.fail(
      "authority ends with its deadline",
      `${what} was sent ${(mono - untilMono).toFixed(1)} ms after it`,
    );
  }

  leaseSent(group: AttemptGroup, agent: number): void {
    const template = this.ledger.experiments.get(group.experiment)?.templates[group.template];
    group.indexes.forEach((index, i) => {
      const name = `${group.experiment}.${group.template}.${index}#${group.attempts[i]}`;
      if (template && (template.attempts[index] as number) >= (group.attempts[i] as number)) return;
      this.world.fail("nothing before its commit", `the lease of ${name} to agent ${agent} is not durable`);
    });
  }

  ackSent(group: AttemptGroup): void {
    group.indexes.forEach((index, i) => {
      const attempt = group.attempts[i] as number;
      if (this.booksOf(group.experiment, group.template, index).reported.has(attempt)) return;
      const name = `${group.experiment}.${group.template}.${index}#${attempt}`;
      this.world.fail(
        "an acknowledged result is durable",
        `the report of ${name} was acknowledged, the journal has none`,
      );
    });
  }

  /** An agent learns that its end was taken. */
  acknowledged(key: AttemptKey, outcome: Outcome | undefined): void {
    const reported = this.booksOf(key.experiment, key.template, key.index).reported.get(key.attempt);
    if (outcome !== Outcome.COMPLETED || reported === Outcome.COMPLETED) return;
    const name = `${key.experiment}.${key.template}.${key.index}#${key.attempt}`;
    this.world.fail("an acknowledged result is not lost", `${name} COMPLETED, the journal says ${reported}`);
  }

  /** All agents here are honest, whatever becomes of them, their machines and their coordinators. */
  forged(agent: number, message: string): void {
    this.world.fail("no honest agent is taken for a forger", `agent ${agent} ${message}`);
  }

  refusalSent(group: AttemptGroup, code: string): void {
    group.indexes.forEach((index, i) => {
      this.note(`refused ${code}`);
      const attempt = group.attempts[i] as number;
      const books = this.booksOf(group.experiment, group.template, index);
      const template = this.ledger.experiments.get(group.experiment)?.templates[group.template];
      const name = `${group.experiment}.${group.template}.${index}#${attempt}`;
      if (!template) return;
      if (attempt !== books.attempt || attempt <= books.retriedAfter || books.reported.has(attempt)) return;
      const state = stateOf(template, index);
      if (isFinal(state) || state === TaskState.WAITING) return;
      this.world.fail(
        "the latest attempt's report counts",
        `${name} is ${TASK_STATE_NAMES[state]} and was refused as ${code}`,
      );
    });
  }

  /** An agent that trusts its leases gives an attempt to a runner. */
  started(agent: string, key: AttemptKey): void {
    this.note("starts");
    const template = this.ledger.experiments.get(key.experiment)?.templates[key.template];
    const name = `${key.experiment}.${key.template}.${key.index}#${key.attempt}`;
    if (!template) this.world.fail("nothing before its commit", `${agent} starts ${name}, which is unknown`);
    const { attempt, reported } = this.booksOf(key.experiment, key.template, key.index);
    const state = stateOf(template, key.index);
    // CANCELED: it was lost and found, a person canceled it, and the agent is about to hear of it; nobody else has it.
    const open = state === TaskState.LEASED || state === TaskState.QUEUED || state === TaskState.CANCELED;
    if (state === TaskState.QUEUED) this.note("starts of what was lost and found");
    if (attempt === key.attempt && open && !reported.has(attempt)) return;
    this.world.fail(
      "nothing starts that another one may have",
      `${agent} starts ${name}, the latest is #${attempt}, ${TASK_STATE_NAMES[state]}`,
    );
  }

  /** At the end, once everything is well: all that was accepted has ended, and the books agree. */
  finished(accepted: Iterable<number>): void {
    for (const id of accepted) {
      const experiment = this.ledger.experiments.get(id as never);
      if (!experiment) this.world.fail("an accepted submit is not lost", `experiment ${id} was answered with 201`);
      else if (experiment.endedAtMs === null) this.world.fail("everything ends", `experiment ${id} is still open`);
    }
    const difference = recountDifference(this.ledger);
    if (difference !== null) this.world.fail("counters equal states", difference);
    for (const experiment of this.ledger.experiments.values()) {
      for (const template of experiment.templates) {
        for (let i = 0; i < template.count; i++) {
          const completed = stateOf(template, i) === TaskState.COMPLETED;
          const books = this.booksOf(experiment.id, template.ordinal, i);
          if (completed === (books.final && books.completedSeq !== null)) continue;
          this.world.fail("counters equal states", `${experiment.id}.${template.ordinal}.${i} and the books disagree`);
        }
      }
    }
  }

  /** When all is done, nothing is held, and every agent has its room again. */
  atRest({ agents, held, gathered, inflight, ledger }: Core): void {
    // One that sleeps still believes that it leads.
    if (inflight || gathered.length > 0 || ledger.seq !== this.ledger.seq) return;
    for (const floor of agents.values()) {
      if (floor.peer === null) continue;
      const { name, free, capacity, aheadUsed } = floor;
      if (floor.held.size === 0 && free.cpus === capacity.cpus && aheadUsed === 0) continue;
      const text = `${name} has ${free.cpus} of ${capacity.cpus} cpus, ${aheadUsed} ahead, ${floor.held.size} held`;
      this.world.fail("room is given back", text);
    }
    if (held.size > 0) this.world.fail("room is given back", `${held.size} tasks are held by nobody`);
  }

  /** The journal, folded once more from the beginning, or from any checkpoint. */
  replay(durable: Durable): void {
    for (const seq of [0, this.world.random.pick(durable.checkpointSeqs())]) {
      const difference = this.differenceOfLoaded(() => durable.load(0, seq));
      if (difference !== null) this.world.fail("replay equals live", `from the checkpoint of ${seq}: ${difference}`);
    }
  }

  private differenceOfLoaded(load: () => LoadedState): string | null {
    try {
      return differenceOf(this.ledger, ledgerFrom(load()));
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  private templateOf(record: EndRecord): TemplateLedger {
    return this.ledger.experiments.get(record.experiment)?.templates[record.template] as TemplateLedger;
  }

  private note(what: string): void {
    this.figures[what] = (this.figures[what] ?? 0) + 1;
  }

  private booksOf(experiment: number, template: number, index: number): TaskBooks {
    const name = `${experiment}.${template}.${index}`;
    let books = this.books.get(name);
    if (!books) {
      books = { attempt: 0, reported: new Map(), final: false, completedSeq: null, retriedAfter: 0 };
      this.books.set(name, books);
    }
    return books;
  }
}
