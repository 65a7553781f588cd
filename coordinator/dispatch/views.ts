/**
 * Read-only pictures of the core for the API: experiments, tasks and agents as they are in memory. Phases and agents come
 * from the floor, the rest from the ledger.
 */
import type { ExperimentId, ProjectId } from "../../shared/model/ids.ts";
import { PHASE_NAMES, TASK_STATE_NAMES, TaskState } from "../../shared/model/states.ts";
import type { AgentView, ExperimentView, TaskCounts, TaskView, UnfinishedExperiment } from "./contract.ts";
import type { Core } from "./core.ts";
import { competition, hasWork } from "./floor/share.ts";
import { type ExperimentLedger, experimentState, stateOf, type TemplateLedger } from "./ledger/ledger.ts";
import type { Now } from "./ports.ts";
import { type ProjectView, periodStart } from "./project.ts";

export function experimentView(core: Core, experiment: ExperimentLedger): ExperimentView {
  const templates = experiment.templates.map((template) => ({
    name: template.definition.name,
    counts: countsOf([template]),
  }));
  return {
    experiment: experiment.id,
    project: experiment.project,
    actor: experiment.actor,
    definition: experiment.definition,
    priority: experiment.priority,
    state: experimentState(experiment),
    submittedAtMs: experiment.submittedAtMs,
    endedAtMs: experiment.endedAtMs,
    counts: countsOf(experiment.templates),
    running: core.running.get(experiment.id) ?? 0,
    templates,
  };
}

/** One look at each experiment in memory: some ten thousand are a millisecond. */
export function unfinishedViews(core: Core, projects: ReadonlySet<ProjectId>): UnfinishedExperiment[] {
  const found: UnfinishedExperiment[] = [];
  for (const experiment of core.ledger.experiments.values()) {
    if (experiment.endedAtMs !== null || !projects.has(experiment.project)) continue;
    const { id, project, actor, submittedAtMs } = experiment;
    found.push({ experiment: id, project, actor, submittedAtMs, state: experimentState(experiment) });
  }
  return found;
}

function countsOf(templates: TemplateLedger[]): TaskCounts {
  const counts = { total: 0, waiting: 0, queued: 0, leased: 0, completed: 0, failed: 0, canceled: 0 };
  for (const template of templates) {
    counts.total += template.count;
    counts.waiting += template.counts[TaskState.WAITING] as number;
    counts.queued += template.counts[TaskState.QUEUED] as number;
    counts.leased += template.counts[TaskState.LEASED] as number;
    counts.completed += template.counts[TaskState.COMPLETED] as number;
    counts.failed += template.counts[TaskState.FAILED] as number;
    counts.canceled += template.counts[TaskState.CANCELED] as number;
  }
  return counts;
}

/** Tasks `from … to` (inclusive) of one template; empty when the experiment is not in memory. */
export function taskViews(core: Core, id: ExperimentId, ordinal: number, from: number, to: number): TaskView[] {
  const template = core.ledger.experiments.get(id)?.templates[ordinal];
  if (!template) return [];
  const views: TaskView[] = [];
  for (let index = Math.max(0, from); index <= Math.min(to, template.count - 1); index++) {
    views.push(taskView(core, template, index));
  }
  return views;
}

function taskView(core: Core, template: TemplateLedger, index: number): TaskView {
  const state = stateOf(template, index);
  const held = core.held.get(template.base + index);
  const lease = template.leases.get(index);
  return {
    template: template.ordinal,
    index,
    state: TASK_STATE_NAMES[state],
    attempt: template.attempts[index] as number,
    triedUser: template.triedUser[index] as number,
    triedInfrastructure: template.triedInfrastructure[index] as number,
    agent: lease?.agent ?? held?.floor.agent ?? null,
    phase: state === TaskState.LEASED ? (PHASE_NAMES[held?.phase ?? 0] ?? "LEASED") : null,
    startedAtMs: state === TaskState.LEASED && held !== undefined && held.startedAtMs > 0 ? held.startedAtMs : null,
    notBeforeMs: template.notBefore.get(index) ?? null,
  };
}

export function agentViews(core: Core, now: Now): AgentView[] {
  return [...core.agents.values()].map((floor) => ({
    agent: floor.agent,
    name: floor.name,
    state: floor.peer === null && floor.state !== "GONE" && floor.deadlineMono <= now.mono ? "LOST" : floor.state,
    epoch: floor.epoch,
    program: floor.program,
    hostname: floor.hostname,
    root: floor.root,
    capacity: floor.capacity,
    free: {
      cpus: floor.free.cpus,
      memoryBytes: floor.free.memoryBytes,
      gpus: floor.free.gpus,
      diskBytes: floor.free.diskBytes,
    },
    leases: floor.held.size,
    ahead: floor.ahead,
    lastsMs: floor.lastsUntilMono === null ? null : Math.max(0, floor.lastsUntilMono - now.mono),
    seenAtMs: floor.seenAtWall,
    awaySinceMs: floor.awaySinceWall,
  }));
}

/** Every project that was told of or has used something, by number. */
export function projectViews(core: Core, now: Now): ProjectView[] {
  const queued = new Map<ProjectId, number>();
  for (const { project, templates } of core.ledger.experiments.values()) {
    let sum = queued.get(project) ?? 0;
    for (const { counts } of templates) sum += counts[TaskState.QUEUED] as number;
    queued.set(project, sum);
  }
  const sums = competition(core);
  const part = (value: number, of: number): number => (of > 0 ? value / of : 0);
  const views = [...core.projects.all()].map((floor): ProjectView => {
    const { config } = floor;
    const takesPart = hasWork(floor);
    return {
      config,
      queued: queued.get(config.project) ?? 0,
      running: floor.held,
      cpus: floor.cpus,
      share: takesPart ? part(config.weight, sums.weight) : 0,
      used: takesPart ? part(floor.usage, sums.usage) : 0,
      usedRecently: takesPart ? part(floor.recent, sums.recent) : 0,
      usageCpuHours: floor.usage / 3600,
      periodCpuHours: floor.periodUsed / 3600,
      periodEndsMs: periodStart(config.limits, now.wall) + config.limits.periodMs,
    };
  });
  return views.sort((a, b) => a.config.project - b.config.project);
}

/** Figures of this reign for /metrics: queue depths, leases, agents. */
export function coreFigures(core: Core): Record<string, number> {
  let queued = 0;
  let waiting = 0;
  let leased = 0;
  for (const experiment of core.ledger.experiments.values()) {
    const counts = countsOf(experiment.templates);
    queued += counts.queued;
    waiting += counts.waiting;
    leased += counts.leased;
  }
  return {
    experiments_in_memory: core.ledger.experiments.size,
    tasks_queued: queued,
    tasks_waiting: waiting,
    tasks_leased: leased,
    tasks_in_backoff: core.backing.size,
    agents_connected: core.peers.size,
    leases_total: core.figures.leases,
    ends_total: core.figures.ends,
    leases_expired_total: core.figures.expired,
    reports_refused_total: core.figures.stale,
    claims_refused_total: core.figures.forged,
    journal_appends_total: core.figures.appends,
    journal_seq: core.ledger.seq,
  };
}
