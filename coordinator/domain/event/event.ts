/**
 * What watchers are told about: one event per record of a committed batch, in columns where many tasks are meant.
 * Its cursor is `timeline.seq.n` with n the number of events of the same batch that follow it, so that n = 0 says
 * "this seq is complete" without anything else having to be known.
 */
import type { ActorId, AgentId, ExperimentId } from "../../../shared/model/ids.ts";
import type { Batch, EndRecord, LeaseRecord } from "../../dispatch/batch.ts";
import type { VisibleExperiments } from "../access/access.ts";

export interface EventBase {
  atMs: number;
  experiment: ExperimentId;
  project: string;
}

export type DispatchEvent = EventBase &
  (
    | { kind: "experiment.submitted"; name: string; tasks: number }
    | { kind: "experiment.decided"; decision: string; actor: ActorId; reason: string; value: string | number | null }
    | { kind: "experiment.ended"; state: string; reason: string }
    | { kind: "tasks.leased"; template: string; agent: AgentId; indexes: Uint32Array; attempts: Uint32Array }
    | {
        kind: "tasks.ended";
        template: string;
        indexes: Uint32Array;
        attempts: Uint32Array;
        agents: Float64Array;
        outcomes: Uint8Array;
        dispositions: Uint8Array;
        blames: Uint8Array;
        exitCodes: Int32Array;
      }
  );

/** Names that the records do not carry; undefined when the experiment is no longer in memory. */
export type NamesOf = (experiment: ExperimentId) => { project: string; templates: string[] } | undefined;

/** The events of a batch, in the order in which a batch is folded. */
export function eventsOf(batch: Batch, namesOf: NamesOf): DispatchEvent[] {
  const events: DispatchEvent[] = [];
  const base = (experiment: ExperimentId): EventBase => ({
    atMs: batch.atMs,
    experiment,
    project: namesOf(experiment)?.project ?? "",
  });
  const templateName = (experiment: ExperimentId, ordinal: number): string =>
    namesOf(experiment)?.templates[ordinal] ?? String(ordinal);

  for (const { experiment, definition } of batch.submits) {
    const tasks = definition.templates.reduce((sum, template) => sum + template.count, 0);
    const project = definition.project;
    events.push({ atMs: batch.atMs, experiment, project, kind: "experiment.submitted", name: definition.name, tasks });
  }
  for (const lease of batch.leases) events.push(leased(lease, base, templateName));
  for (const end of batch.ends) events.push(ended(end, base, templateName));
  for (const { kind, experiment, actor, reason, value } of batch.decisions) {
    if (kind === "ended") events.push({ ...base(experiment), kind: "experiment.ended", state: String(value), reason });
    else events.push({ ...base(experiment), kind: "experiment.decided", decision: kind, actor, reason, value });
  }
  return events;
}

type Base = (experiment: ExperimentId) => EventBase;
type TemplateName = (experiment: ExperimentId, ordinal: number) => string;

function leased(record: LeaseRecord, base: Base, templateName: TemplateName): DispatchEvent {
  return {
    ...base(record.experiment),
    kind: "tasks.leased",
    template: templateName(record.experiment, record.template),
    agent: record.agent,
    indexes: Uint32Array.from(record.indexes),
    attempts: Uint32Array.from(record.attempts),
  };
}

function ended(record: EndRecord, base: Base, templateName: TemplateName): DispatchEvent {
  return {
    ...base(record.experiment),
    kind: "tasks.ended",
    template: templateName(record.experiment, record.template),
    indexes: Uint32Array.from(record.indexes),
    attempts: Uint32Array.from(record.attempts),
    agents: Float64Array.from(record.agents),
    outcomes: Uint8Array.from(record.outcomes),
    dispositions: Uint8Array.from(record.dispositions),
    blames: Uint8Array.from(record.blames),
    exitCodes: Int32Array.from(record.exitCodes),
  };
}

/** How many tasks an event names: what it weighs in the ring. */
export function weightOf(event: DispatchEvent): number {
  return "indexes" in event ? event.indexes.length : 0;
}

/** Which events a watcher wants; all given parts must hold. */
export interface EventFilter {
  experiments: ReadonlySet<ExperimentId> | null;
  project: string | null;
  agents: ReadonlySet<AgentId> | null;
  /** What whoever watches may see; null: everything. */
  rights: EventRights | null;
}

export interface EventRights {
  /** By name. */
  projects: ReadonlySet<string>;
  /** Shared one by one. */
  experiments: ReadonlySet<ExperimentId>;
  /** Null: all. */
  agents: ReadonlySet<AgentId> | null;
  /** The same by number, for lists. */
  visible: VisibleExperiments;
}

export function wants(filter: EventFilter, event: DispatchEvent): boolean {
  if (!wantsExperiment(filter, event.experiment, event.project)) return false;
  if (filter.agents === null) return true;
  const { agents } = filter;
  if (event.kind === "tasks.leased") return agents.has(event.agent);
  if (event.kind === "tasks.ended") return event.agents.some((agent) => agents.has(agent as AgentId));
  // What no agent did is told to those who also named an experiment or project.
  return filter.experiments !== null || filter.project !== null;
}

/** The part of the filter that an experiment as a whole is measured by. */
export function wantsExperiment(filter: EventFilter, experiment: ExperimentId, project: string): boolean {
  if (filter.experiments !== null && !filter.experiments.has(experiment)) return false;
  const { rights } = filter;
  if (rights !== null && !rights.projects.has(project) && !rights.experiments.has(experiment)) return false;
  return filter.project === null || filter.project === project;
}
