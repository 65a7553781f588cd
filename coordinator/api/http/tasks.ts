/** The routes of tasks: decode, one domain call, encode. */
import type { RouteId } from "../../../shared/api/routes.ts";
import type { Attempt, TaskDetail } from "../../../shared/api/task.ts";
import { BLAME_NAMES, CHARGE_NAMES, DISPOSITION_NAMES, OUTCOME_NAMES } from "../../../shared/model/attempt.ts";
import type { AgentSources } from "../../domain/agent/agents.ts";
import type { SampledUsage } from "../../domain/agent/figures.ts";
import type { AgentFiles } from "../../domain/agent/files.ts";
import type { Sources } from "../../domain/experiment/find.ts";
import type { AttemptRecord } from "../../domain/task/attempts.ts";
import type { FoundTask } from "../../domain/task/find.ts";
import { openLog } from "../../domain/task/log.ts";
import { attemptsOfTask, cancelTask, explainTask, inputsOf, showTask, usageOf } from "../../domain/task/task.ts";
import { encodeTask, exitCode, timestamp, timestampOrNull } from "../encode.ts";
import { encodeUsage } from "../encode-figures.ts";
import { byOf } from "./access.ts";
import { type Handlers, ok } from "./register.ts";

type TaskRoutes = Extract<RouteId, "getTask" | "listAttempts" | "readLog" | "explainTask" | "cancelTask">;

export function taskHandlers(sources: Sources & AgentSources, files: AgentFiles): Handlers<TaskRoutes> {
  const detail = (task: FoundTask): TaskDetail => encodeTaskDetail(task, usageOf(sources.figures, task));
  return {
    getTask: async ({ params }) => ok(detail(await showTask(sources, params.task))),

    listAttempts: async ({ params, query }) => {
      const page = await attemptsOfTask(sources, sources.agents, params.task, {
        limit: query.limit,
        cursor: query.cursor,
      });
      const items = page.items.map(({ name, ...record }) => encodeAttempt(record, name));
      return ok({ items, next_cursor: page.nextCursor });
    },

    readLog: async ({ params, query, signal }) => {
      const { stream, attempt, offset, limit } = query;
      const follow = query.follow === "true";
      const log = await openLog(sources, files, { task: params.task, stream, attempt, offset, limit, follow, signal });
      return {
        filename: `${params.task}.${log.attempt}.${stream}`,
        headers: { "airavata-attempt": String(log.attempt), "airavata-total-bytes": String(log.totalBytes) },
        stream: log.bytes,
      };
    },

    explainTask: async ({ params, permit }) => {
      const { task, reasons } = await explainTask(sources, params.task, await permit.seen());
      return ok({ task: detail(task).id, state: task.view.state, reasons });
    },

    cancelTask: async ({ params, body, caller }) => {
      return ok(detail(await cancelTask(sources, params.task, body.reason, byOf(caller))));
    },
  };
}

function encodeTaskDetail(task: FoundTask, usage: SampledUsage | null): TaskDetail {
  const { key, template, view } = task;
  const listed = { experiment: key.experiment, templateName: template.name, view };
  return {
    ...encodeTask(listed),
    inputs: inputsOf(task),
    started_at: timestampOrNull(view.startedAtMs),
    usage: usage && encodeUsage(usage),
  };
}

function encodeAttempt({ attempt, agent, startedAtMs, end }: AttemptRecord, agentName: string | null): Attempt {
  return {
    attempt,
    agent,
    agent_name: agentName,
    disposition: end && (DISPOSITION_NAMES[end.disposition] ?? null),
    outcome: end && (OUTCOME_NAMES[end.outcome] ?? null),
    blame: end && (BLAME_NAMES[end.blame] ?? null),
    charged_to: end && (CHARGE_NAMES[end.charge] ?? null),
    exit_code: end && exitCode(end.exitCode),
    signal: end && (end.signal === 0 ? null : end.signal),
    started_at: timestampOrNull(startedAtMs),
    ended_at: end && timestampOrNull(end.endedAtMs === 0 ? null : end.endedAtMs),
    not_before: end && (end.notBeforeMs === 0 ? null : timestamp(end.notBeforeMs)),
    cpu_seconds: end ? end.cpuMs / 1000 : 0,
    memory_max_bytes: end?.memoryMaxBytes ?? 0,
    read_bytes: end?.readBytes ?? 0,
    written_bytes: end?.writtenBytes ?? 0,
    stderr_tail: end?.tail ?? null,
    detail: end?.detail ?? null,
  };
}
