/** Batches and definitions for tests of the journal, with what a test does not care about filled in. */
import {
  type Batch,
  type EndRecord,
  emptyEnd,
  type LeaseRecord,
  type SubmitRecord,
} from "../../coordinator/dispatch/batch.ts";
import type { Reign } from "../../coordinator/dispatch/ports.ts";
import type { ExperimentDefinition, TemplateDefinition } from "../../shared/model/definition.ts";
import { type AgentId, DEFAULT_PROJECT, type ExperimentId, OPERATOR_ACTOR } from "../../shared/model/ids.ts";

export function template(ordinal: number, name: string, count: number): TemplateDefinition {
  return {
    ordinal,
    name,
    count,
    inputs: [[{ name: "x", kind: "range", fromScaled: 1, stepScaled: 1, decimals: 0, count }]],
    command: { kind: "argv", argv: [["/bin/echo"], [{ value: "x" }]] },
    outputs: [],
    foreach: [],
    needs: [],
    references: [],
    requires: {
      cpus: 1,
      memoryBytes: 2 ** 30,
      gpus: 0,
      vramBytes: 0,
      diskBytes: 0,
      custom: {},
      labels: {},
      wallSeconds: 1_800,
    },
    retries: { max: 0, on: ["exit"] },
    environment: {},
  };
}

export function definition(templates: TemplateDefinition[], name = "sweep"): ExperimentDefinition {
  return {
    name,
    project: "default",
    priority: 0,
    maxFailures: null,
    onDisconnect: "requeue",
    parameters: { seed: "42" },
    templates,
  };
}

export function submit(experiment: number, fields: Partial<SubmitRecord> = {}): SubmitRecord {
  return {
    experiment: experiment as ExperimentId,
    project: DEFAULT_PROJECT,
    actor: OPERATOR_ACTOR,
    definition: definition([template(0, "a", 10)]),
    specText: "tasks: {}\n",
    idempotency: null,
    ...fields,
  };
}

export function lease(
  experiment: number,
  ordinal: number,
  indexes: number[],
  fields: Partial<LeaseRecord> = {},
): LeaseRecord {
  return {
    agent: 1 as AgentId,
    epoch: 2 ** 32 + 1,
    root: "root-1",
    experiment: experiment as ExperimentId,
    template: ordinal,
    indexes,
    attempts: indexes.map(() => 1),
    ...fields,
  };
}

/** Ends of attempt 1, COMPLETED where `fields` say nothing else. */
export function end(
  experiment: number,
  ordinal: number,
  indexes: number[],
  fields: Partial<EndRecord> = {},
): EndRecord {
  const all = (value: number): number[] => indexes.map(() => value);
  return {
    ...emptyEnd(experiment as ExperimentId, ordinal),
    indexes,
    attempts: all(1),
    agents: all(1),
    dispositions: all(0),
    outcomes: all(0),
    blames: all(0),
    charges: all(0),
    exitCodes: all(0),
    signals: all(0),
    notBeforeMs: all(0),
    startedAtMs: all(1_700_000_000_000),
    endedAtMs: all(1_700_000_001_500),
    cpuMs: all(12),
    memoryMaxBytes: all(4_096),
    ...fields,
  };
}

/** Cuts batches for a reign, seq after seq. */
export class Cutter {
  seq: number;
  readonly reign: Pick<Reign, "shard" | "term">;

  constructor(reign: Pick<Reign, "shard" | "term">, seq = 0) {
    this.reign = reign;
    this.seq = seq;
  }

  batch(parts: Partial<Batch> = {}): Batch {
    this.seq++;
    return {
      shard: this.reign.shard,
      term: this.reign.term,
      seq: this.seq,
      atMs: 1_700_000_000_000 + this.seq * 1_000,
      submits: [],
      leases: [],
      ends: [],
      decisions: [],
      deltas: [],
      ...parts,
    };
  }
}
