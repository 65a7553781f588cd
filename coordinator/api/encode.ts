/** From the domain's records to the JSON of the contract. */
import type { Agent, EnrolmentToken } from "../../shared/api/agent.ts";
import type { WatchMessage } from "../../shared/api/event.ts";
import type { Experiment, FailureGroup } from "../../shared/api/experiment.ts";
import type { Task } from "../../shared/api/task.ts";
import { BLAME_NAMES, DISPOSITION_NAMES, OUTCOME_NAMES } from "../../shared/model/attempt.ts";
import type { revokeEnrolmentToken } from "../domain/agent/enrolment.ts";
import type { AgentRecord } from "../domain/agent/record.ts";
import type { DispatchEvent } from "../domain/event/event.ts";
import type { FailureRecord } from "../domain/experiment/explain.ts";
import type { ExperimentRecord } from "../domain/experiment/record.ts";
import { taskIdText } from "../domain/task/find.ts";
import type { ListedTask } from "../domain/task/list.ts";
import { encodeNode } from "./encode-figures.ts";

export function timestamp(ms: number): string {
  return new Date(ms).toISOString();
}

export function timestampOrNull(ms: number | null): string | null {
  return ms === null ? null : timestamp(ms);
}

export function encodeExperiment(record: ExperimentRecord): Experiment {
  return {
    id: record.experiment,
    name: record.name,
    project: record.project,
    state: record.state,
    priority: record.priority,
    tasks: record.counts,
    running: record.running,
    submitted_at: timestamp(record.submittedAtMs),
    ended_at: timestampOrNull(record.endedAtMs),
    ...(record.archivedAtMs === null ? {} : { archived_at: timestamp(record.archivedAtMs) }),
  };
}

export function encodeFailure(failure: FailureRecord): FailureGroup {
  const { template, blame, exitCode: code, signal, tasks, example, tail, detail } = failure;
  return {
    template,
    blame: BLAME_NAMES[blame] ?? "none",
    exit_code: exitCode(code),
    signal: signal === 0 ? null : signal,
    tasks,
    example,
    stderr_tail: tail,
    detail,
  };
}

export function encodeTask({ experiment, templateName, view }: ListedTask): Task {
  return {
    id: taskIdText(experiment, templateName, view.index),
    experiment,
    template: templateName,
    index: view.index,
    state: view.state,
    phase: view.phase,
    attempt: view.attempt,
    tried_user: view.triedUser,
    tried_infrastructure: view.triedInfrastructure,
    agent: view.agent,
    not_before: timestampOrNull(view.notBeforeMs),
  };
}

export function encodeAgent(record: AgentRecord): Agent {
  const { agent, name, enrolledAtMs, view, sample, target, policy, notice } = record;
  return {
    id: agent,
    name,
    enrolled_at: timestamp(enrolledAtMs),
    project: record.project,
    compute_resource: record.computeResource,
    key_changed_at: timestamp(record.keyChangedAtMs),
    address: record.address,
    notice: notice && { kind: notice.kind, message: notice.message, at: timestamp(notice.atMs), count: notice.count },
    state: view?.state ?? "OFFLINE",
    session: view && {
      epoch: view.epoch,
      program: view.program,
      hostname: view.hostname,
      root: view.root,
      capacity: {
        ...quantities(view.capacity),
        vram_bytes: view.capacity.vramBytes,
        custom: view.capacity.custom,
        labels: view.capacity.labels,
      },
      free: quantities(view.free),
      leases: view.leases,
      ahead: view.ahead,
      lasts_seconds: view.lastsMs === null ? null : view.lastsMs / 1000,
      seen_at: timestamp(view.seenAtMs),
    },
    figures: sample && encodeNode(sample),
    update: target && {
      rollout: target.rollout,
      version: target.version,
      state: target.state,
      message: target.message,
      changed_at: timestamp(target.changedAtMs),
    },
    pinned_version: policy?.pinnedVersion ?? null,
    updates_refused: policy?.refused ?? false,
  };
}

function quantities(of: { cpus: number; memoryBytes: number; gpus: number; diskBytes: number }) {
  // An agent that was overbooked (a ghost lease picked up again) shows nothing free rather than less than nothing.
  return {
    cpus: Math.max(0, of.cpus),
    memory_bytes: Math.max(0, of.memoryBytes),
    gpus: Math.max(0, of.gpus),
    disk_bytes: Math.max(0, of.diskBytes),
  };
}

export function encodeEnrolmentToken(record: Awaited<ReturnType<typeof revokeEnrolmentToken>>): EnrolmentToken {
  return {
    id: record.id,
    note: record.note,
    project: record.project,
    compute_resource: record.computeResource,
    created_at: timestamp(record.createdAtMs),
    expires_at: timestamp(record.expiresAtMs),
    uses_max: record.usesMax,
    uses: record.uses,
    used_at: timestampOrNull(record.usedAtMs),
    revoked_at: timestampOrNull(record.revokedAtMs),
    agent: record.agent,
  };
}

/** The exit code that the wire's −1 stands for: none. */
export function exitCode(code: number): number | null {
  return code < 0 ? null : code;
}

export function encodeEvent(cursor: string, event: DispatchEvent): WatchMessage {
  const base = { cursor, at: timestamp(event.atMs), experiment: event.experiment };
  switch (event.kind) {
    case "experiment.submitted":
      return { type: event.kind, ...base, name: event.name, tasks: event.tasks };
    case "experiment.decided":
      return { type: event.kind, ...base, decision: event.decision, reason: event.reason, value: event.value };
    case "experiment.ended":
      return { type: event.kind, ...base, state: event.state, reason: event.reason };
    case "tasks.leased":
      return { type: event.kind, ...base, ...columns(event), agent: event.agent };
    case "tasks.ended":
      return {
        type: event.kind,
        ...base,
        ...columns(event),
        agents: [...event.agents],
        outcomes: names(event.outcomes, OUTCOME_NAMES),
        dispositions: names(event.dispositions, DISPOSITION_NAMES),
        blames: names(event.blames, BLAME_NAMES),
        exit_codes: Array.from(event.exitCodes, exitCode),
      };
  }
}

function columns(event: { template: string; indexes: Uint32Array; attempts: Uint32Array }) {
  return { template: event.template, indexes: [...event.indexes], attempts: [...event.attempts] };
}

function names<const T extends readonly string[]>(codes: Uint8Array, table: T): T[number][] {
  return Array.from(codes, (code) => table[code] as T[number]);
}
