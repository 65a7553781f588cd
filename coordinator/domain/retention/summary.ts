/**
 * What stays of an archived experiment: enough to know what it was, how it went and what it cost, and to run it again. Of
 * bounded size whatever the experiment was; kept as JSON whose form is described in docs/retention.md.
 */
import type { ExperimentDefinition } from "../../../shared/model/definition.ts";
import type { ActorId } from "../../../shared/model/ids.ts";
import type { TaskCounts } from "../../dispatch/contract.ts";
import type { StoredDecision } from "../../store/records.ts";
import type { StoredUsage } from "../../store/retention.ts";
import type { FailureRecord } from "../experiment/explain.ts";

/** What attempts used. */
export interface Resources {
  attempts: number;
  /** Processor time used. */
  cpuSeconds: number;
  /** Processors held, times how long. */
  coreSeconds: number;
  /** From start to end, all attempts together. */
  runSeconds: number;
  memoryMaxBytes: number;
}

export interface TemplateArchive {
  ordinal: number;
  name: string;
  counts: TaskCounts;
  foreach: string[];
  needs: string[];
  /** Glob by output name. */
  outputs: Record<string, string>;
  resources: Resources;
}

export interface ExperimentSummary {
  format: 1;
  actor: ActorId;
  parameters: Record<string, string>;
  maxFailures: number | null;
  onDisconnect: "requeue" | "wait";
  resources: Resources;
  templates: TemplateArchive[];
  /** Templates beyond the bound; their tasks are in the sums. */
  templatesOmitted: number;
  /** Most frequent first. */
  failures: FailureRecord[];
  /** The newest, in order. */
  decisions: StoredDecision[];
}

/** 300 B each. */
const TEMPLATES_MAX = 1_000;
/** Causes, each with an example and up to so much of its error output. */
const FAILURES_MAX = 20;
const TAIL_CHARACTERS_MAX = 1_024;

const NOTHING: Resources = { attempts: 0, cpuSeconds: 0, coreSeconds: 0, runSeconds: 0, memoryMaxBytes: 0 };

export interface SummaryParts {
  definition: ExperimentDefinition;
  actor: ActorId;
  /** Of each template, by ordinal. */
  counts: readonly TaskCounts[];
  usage: readonly StoredUsage[];
  failures: readonly FailureRecord[];
  decisions: readonly StoredDecision[];
}

export function summaryOf({ definition, actor, counts, usage, failures, decisions }: SummaryParts): ExperimentSummary {
  const nameOf = (ordinal: number): string => definition.templates[ordinal]?.name ?? String(ordinal);
  const used = new Map<number, Resources>();
  for (const { template, attempts, cpuMs, wallMs, memoryMaxBytes } of usage) {
    const [cpuSeconds, runSeconds] = [cpuMs / 1_000, wallMs / 1_000];
    const coreSeconds = runSeconds * (definition.templates[template]?.requires.cpus ?? 0);
    used.set(template, { attempts, cpuSeconds, coreSeconds, runSeconds, memoryMaxBytes });
  }
  const templates = definition.templates.slice(0, TEMPLATES_MAX).map(({ ordinal, name, foreach, needs, outputs }) => ({
    ordinal,
    name,
    counts: counts[ordinal] as TaskCounts,
    foreach: foreach.map(nameOf),
    needs: needs.map(nameOf),
    outputs: Object.fromEntries(outputs.map((output) => [output.name, output.glob])),
    resources: used.get(ordinal) ?? NOTHING,
  }));
  return {
    format: 1,
    actor,
    parameters: definition.parameters,
    maxFailures: definition.maxFailures,
    onDisconnect: definition.onDisconnect,
    resources: [...used.values()].reduce(added, NOTHING),
    templates,
    templatesOmitted: definition.templates.length - templates.length,
    failures: failures.slice(0, FAILURES_MAX).map(({ tail, ...failure }) => ({ ...failure, tail: cut(tail) })),
    decisions: [...decisions],
  };
}

function added(a: Resources, b: Resources): Resources {
  return {
    attempts: a.attempts + b.attempts,
    cpuSeconds: a.cpuSeconds + b.cpuSeconds,
    coreSeconds: a.coreSeconds + b.coreSeconds,
    runSeconds: a.runSeconds + b.runSeconds,
    memoryMaxBytes: Math.max(a.memoryMaxBytes, b.memoryMaxBytes),
  };
}

/** Its end: that is where the error stands. */
function cut(tail: string | null): string | null {
  return tail === null ? null : tail.slice(-TAIL_CHARACTERS_MAX).toWellFormed();
}

/** The summary as it was written by this or an earlier version. */
export function parseSummary(text: string): ExperimentSummary {
  const summary = JSON.parse(text) as ExperimentSummary;
  if (summary.format !== 1) throw new Error(`a summary has format ${summary.format}, which this version does not know`);
  return summary;
}
