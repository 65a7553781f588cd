/**
 * A core on a stage: events go in, effects are kept until the test asserts them, the clock moves only when told, and a
 * batch is committed only when told. `expect` asserts exactly what came out since the last look, and nothing else.
 */
import assert from "node:assert/strict";
import type { Batch, EndRecord } from "../../../coordinator/dispatch/batch.ts";
import type { DecisionRequest } from "../../../coordinator/dispatch/contract.ts";
import {
  type Core,
  type CoreConfig,
  type CoreEvent,
  createCore,
  type Effect,
  type Peer,
} from "../../../coordinator/dispatch/core.ts";
import type { RestoredProjects } from "../../../coordinator/dispatch/floor/usage.ts";
import { emptyLedger, type Ledger, stateOf } from "../../../coordinator/dispatch/ledger/ledger.ts";
import type { LoadedState } from "../../../coordinator/dispatch/load.ts";
import { NO_MUTATIONS } from "../../../coordinator/dispatch/mutations.ts";
import type { Now } from "../../../coordinator/dispatch/ports.ts";
import { type ProjectLimits, unknownProject } from "../../../coordinator/dispatch/project.ts";
import { step } from "../../../coordinator/dispatch/step.ts";
import { Blame, Outcome } from "../../../shared/model/attempt.ts";
import { INFRASTRUCTURE_RETRIES, sessionTiming } from "../../../shared/model/constants.ts";
import type { ExperimentDefinition } from "../../../shared/model/definition.ts";
import {
  type AgentId,
  DEFAULT_PROJECT,
  type ExperimentId,
  OPERATOR_ACTOR,
  type ProjectId,
} from "../../../shared/model/ids.ts";
import type { Capacity } from "../../../shared/model/requirement.ts";
import { TASK_STATE_NAMES } from "../../../shared/model/states.ts";
import type { EndGroup, FromAgent, HeldGroup, LeaseGroup } from "../../../shared/protocol/messages.ts";
import { experiment, submitOf } from "./definitions.ts";

/** Wall clock at monotonic 0; the two differ so that mixing them up shows. */
export const WALL_START = 1_700_000_000_000;

type Sent = Extract<Effect, { type: "send" }>;

export class Stage {
  readonly core: Core;
  mono = 1_000;
  /** What came out and was not asserted yet. */
  effects: Effect[] = [];
  /** The append under way. */
  batch: Batch | null = null;
  /** Everything that was committed. */
  readonly journal: Batch[] = [];
  private requests = 0;
  private versions = 0;

  constructor(
    options: {
      ledger?: Ledger;
      config?: Partial<CoreConfig>;
      restored?: RestoredProjects;
      absences?: LoadedState["absences"];
    } = {},
  ) {
    const config: CoreConfig = {
      shard: 0,
      term: 1,
      timeline: 1,
      timing: sessionTiming(),
      infrastructureRetries: INFRASTRUCTURE_RETRIES,
      random: () => 0.5,
      mutations: NO_MUTATIONS,
      ...options.config,
    };
    this.core = createCore(
      config,
      options.ledger ?? emptyLedger(),
      Number.POSITIVE_INFINITY,
      this.now(),
      options.restored,
      options.absences,
    );
  }

  now(): Now {
    return { mono: this.mono, wall: WALL_START + this.mono };
  }

  step(event: CoreEvent): void {
    for (const effect of step(this.core, event, this.now())) {
      if (effect.type === "append") {
        assert.equal(this.batch, null, "one append is outstanding at a time");
        this.batch = effect.batch;
      }
      this.effects.push(effect);
    }
  }

  /** Moves the clock in steps below the stall rule, ticking. */
  pass(ms: number): void {
    const until = this.mono + ms;
    while (this.mono < until) {
      this.mono = Math.min(until, this.mono + 1_000);
      this.step({ type: "tick" });
    }
  }

  tick(): void {
    this.step({ type: "tick" });
  }

  /** Weight and limits of a project. */
  configure(project: number, part: { weight?: number } & Partial<ProjectLimits> = {}): void {
    const { weight = 1, ...limits } = part;
    const config = {
      project: project as ProjectId,
      name: `p${project}`,
      weight,
      limits: { ...unknownProject(project as ProjectId).limits, ...limits },
      version: ++this.versions,
    };
    this.step({ type: "projects", configs: [config] });
  }

  /** Answers the append under way; returns the batch. */
  commit(): Batch {
    const { batch } = this;
    assert.ok(batch, "an append is under way");
    this.batch = null;
    this.journal.push(batch);
    this.step({ type: "committed", seq: batch.seq });
    return batch;
  }

  /** Commits until nothing is under way. */
  settle(): void {
    for (let i = 0; this.batch !== null; i++) {
      assert.ok(i < 1_000, "the core settles");
      this.commit();
    }
  }

  /** Asserts exactly what came out since the last look. */
  expect(...effects: Effect[]): void {
    const seen = this.effects;
    this.effects = [];
    assert.deepEqual(seen, effects);
  }

  /** Forgets what came out: the test is about what follows. */
  skip(): void {
    this.effects = [];
  }

  /** What was sent since the last look, which forgets everything else. */
  sent(): Sent[] {
    const sent = this.effects.filter((effect): effect is Sent => effect.type === "send");
    this.effects = [];
    return sent;
  }

  /** Submits, commits and forgets the effects. */
  submit(definition: ExperimentDefinition, project = DEFAULT_PROJECT as number): ExperimentId {
    const submit = { ...submitOf(definition), project: project as ProjectId };
    this.step({ type: "submit", request: ++this.requests, submit });
    const id = this.core.experimentLast as ExperimentId;
    this.settle();
    this.skip();
    return id;
  }

  decide(
    kind: DecisionRequest["kind"],
    experiment: ExperimentId,
    part: Partial<Pick<DecisionRequest, "scope" | "value" | "reason">> = {},
  ): number {
    const request = ++this.requests;
    const decision = { kind, experiment, actor: OPERATOR_ACTOR, scope: null, reason: "asked", value: null, ...part };
    this.step({ type: "decide", request, decision });
    return request;
  }

  hello(agent: number, peer: Peer, part: Partial<Extract<FromAgent, { type: "hello" }>> = {}): void {
    this.step({ type: "hello", peer, hello: helloOf(agent, part) });
  }

  free(peer: Peer, ahead: number, lastsMs: number | null = null): void {
    this.step({ type: "message", peer, message: { type: "free", ahead, lastsMs, draining: false } });
  }

  renew(...peers: Peer[]): void {
    for (const peer of peers)
      this.step({ type: "message", peer, message: { type: "renew", sentAtMs: this.now().wall } });
  }

  ended(peer: Peer, ...groups: EndGroup[]): void {
    this.step({ type: "message", peer, message: { type: "ended", groups } });
  }

  /** State names of a template's tasks. */
  states(experiment: ExperimentId, template = 0): string[] {
    const ledger = this.core.ledger.experiments.get(experiment)?.templates[template];
    assert.ok(ledger);
    return Array.from({ length: ledger.count }, (_, index) => TASK_STATE_NAMES[stateOf(ledger, index)] as string);
  }
}

export function capacity(part: Partial<Capacity> = {}): Capacity {
  return {
    cpus: 1,
    memoryBytes: 2 ** 40,
    gpus: 0,
    vramBytes: 0,
    diskBytes: 2 ** 40,
    custom: {},
    labels: {},
    ...part,
  };
}

export function helloOf(
  agent: number,
  part: Partial<Extract<FromAgent, { type: "hello" }>> = {},
): Extract<FromAgent, { type: "hello" }> {
  return {
    type: "hello",
    version: 1,
    agent: agent as AgentId,
    name: `a${agent}`,
    proof: "",
    program: "0",
    hostname: `h${agent}`,
    root: `root${agent}`,
    capacity: capacity(),
    lastsMs: null,
    draining: false,
    held: [],
    ...part,
  };
}

/** A report of ends that all came to the same. */
export function report(
  experiment: ExperimentId,
  pairs: [index: number, attempt: number][],
  part: { template?: number; outcome?: Outcome; blame?: Blame; exitCode?: number } = {},
): EndGroup {
  const outcome = part.outcome ?? Outcome.COMPLETED;
  const blame = part.blame ?? (outcome === Outcome.FAILED ? Blame.EXIT : Blame.NONE);
  const exitCode = part.exitCode ?? (outcome === Outcome.COMPLETED ? 0 : 1);
  return {
    experiment,
    template: part.template ?? 0,
    indexes: pairs.map(([index]) => index),
    attempts: pairs.map(([, attempt]) => attempt),
    outcomes: pairs.map(() => outcome),
    blames: pairs.map(() => blame),
    exitCodes: pairs.map(() => exitCode),
    signals: pairs.map(() => 0),
    startedAtMs: pairs.map(() => 10),
    endedAtMs: pairs.map(() => 30),
    cpuMs: pairs.map(() => 5),
    memoryMaxBytes: pairs.map(() => 100),
  };
}

export function heldGroup(
  experiment: ExperimentId,
  rows: [index: number, attempt: number, phase: number][],
  template = 0,
): HeldGroup {
  return {
    experiment,
    template,
    indexes: rows.map(([index]) => index),
    attempts: rows.map(([, attempt]) => attempt),
    phases: rows.map(([, , phase]) => phase),
  };
}

/** `peer: template index#attempt …` of every lease sent, the shape most tests care about. */
export function leasesSent(sent: Sent[]): string[] {
  const lines: string[] = [];
  for (const { peer, message } of sent) {
    if (message.type !== "leases") continue;
    for (const group of message.groups) lines.push(`${peer}: ${leaseText(group)}`);
  }
  return lines;
}

function leaseText(group: LeaseGroup): string {
  const tasks = group.indexes.map((index, i) => `${index}#${group.attempts[i]}`).join(" ");
  return `${group.experiment}.${group.template} ${tasks}`;
}

/** One row of an end record, by name, as the tests speak of it. */
export function endRow(record: EndRecord | undefined, position = 0): Record<string, number | undefined> {
  assert.ok(record, "an end was written");
  return {
    index: record.indexes[position],
    attempt: record.attempts[position],
    disposition: record.dispositions[position],
    outcome: record.outcomes[position],
    blame: record.blames[position],
    charge: record.charges[position],
    notBeforeMs: record.notBeforeMs[position],
  };
}

/** An experiment whose tasks agent 1 holds, over connection 10. */
export function leased(part: Parameters<typeof experiment>[1] = {}, count = 1): { stage: Stage; id: ExperimentId } {
  const stage = new Stage();
  const id = stage.submit(experiment([{ count }], part));
  stage.hello(1, 10, { capacity: capacity({ cpus: count }) });
  stage.settle();
  stage.skip();
  return { stage, id };
}
