/** The routes of experiments: decode, one domain call, encode. */
import type { Decided, DecideExperiment, ExperimentDetail } from "../../../shared/api/experiment.ts";
import type { RouteId } from "../../../shared/api/routes.ts";
import type { ExperimentId } from "../../../shared/model/ids.ts";
import type { AgentFiles } from "../../domain/agent/files.ts";
import { type Decision, decideExperiment } from "../../domain/experiment/decide.ts";
import { explainExperiment } from "../../domain/experiment/explain.ts";
import {
  type ArchivedExperiment,
  type DetailedExperiment,
  detailExperiment,
  type Sources,
} from "../../domain/experiment/find.ts";
import { listExperiments } from "../../domain/experiment/list.ts";
import { listOutputs, openOutput } from "../../domain/experiment/outputs.ts";
import { submitExperiment } from "../../domain/experiment/submit.ts";
import { timeline } from "../../domain/experiment/timeline.ts";
import type { Archive } from "../../domain/retention/archive.ts";
import { taskIdText } from "../../domain/task/find.ts";
import { listTasks } from "../../domain/task/list.ts";
import { encodeExperiment, encodeFailure, encodeTask, timestamp } from "../encode.ts";
import { byOf, type Caller, originOf } from "./access.ts";
import { type Handlers, type JsonAnswer, ok } from "./register.ts";

type ExperimentRoutes = Extract<
  RouteId,
  | "submitExperiment"
  | "listExperiments"
  | "getExperiment"
  | "listTasks"
  | "cancelExperiment"
  | "pauseExperiment"
  | "resumeExperiment"
  | "retryExperiment"
  | "retireExperiment"
  | "explainExperiment"
  | "experimentTimeline"
  | "listOutputs"
  | "readOutput"
>;

export function experimentHandlers(
  sources: Sources,
  files: AgentFiles,
  archive: Pick<Archive, "one">,
): Handlers<ExperimentRoutes> {
  return {
    submitExperiment: async ({ body, caller, idempotency, permit }) => {
      const { record, replayed } = await submitExperiment(sources, {
        spec: body.spec,
        parameters: body.parameters ?? {},
        project: body.project,
        name: body.name,
        priority: body.priority,
        specDirectory: body.spec_directory,
        actor: caller.actor,
        origin: originOf(caller),
        idempotency,
        projectOf: (name) => permit.project(name, "submit"),
      });
      const headers: Record<string, string> = { location: `/api/v1/experiments/${record.experiment}` };
      if (replayed) headers["idempotency-replayed"] = "true";
      return { status: replayed ? 200 : 201, body: encodeExperiment(record), headers };
    },

    listExperiments: async ({ query, permit }) => {
      const { limit, cursor, state, project, name } = query;
      const visible = await permit.visibleExperiments();
      const page = await listExperiments(sources, { limit, cursor, state, project, name, visible });
      return ok({ items: page.items.map(encodeExperiment), next_cursor: page.nextCursor });
    },

    getExperiment: async ({ params, query }) => {
      const detail = await detailExperiment(sources, experimentId(params), query.include);
      return ok("summary" in detail ? encodeArchived(detail) : encodeDetail(detail));
    },

    listTasks: async ({ params, query }) => {
      const { limit, cursor, template, state } = query;
      const page = await listTasks(sources, experimentId(params), { limit, cursor, template, state });
      return ok({ items: page.items.map(encodeTask), next_cursor: page.nextCursor });
    },

    cancelExperiment: (call) => decide(sources, "cancel", call),
    pauseExperiment: (call) => decide(sources, "pause", call),
    resumeExperiment: (call) => decide(sources, "resume", call),
    retryExperiment: (call) => decide(sources, "retry", call),

    retireExperiment: async ({ params, caller }) => {
      return ok(encodeExperiment(await archive.one(experimentId(params), byOf(caller))));
    },

    explainExperiment: async ({ params, permit }) => {
      const seen = await permit.seen();
      const { record, reasons, waiting, failures } = await explainExperiment(sources, experimentId(params), seen);
      return ok({
        state: record.state,
        reasons,
        waiting,
        failures: failures.map(encodeFailure),
      });
    },

    experimentTimeline: async ({ params, query }) => {
      const page = await timeline(sources, experimentId(params), { limit: query.limit, cursor: query.cursor });
      const items = page.items.map(({ atMs, seq, kind, message, data }) => ({
        at: timestamp(atMs),
        seq,
        kind,
        message,
        data,
      }));
      return ok({ items, next_cursor: page.nextCursor });
    },

    listOutputs: async ({ params, query, signal }) => {
      const { limit, cursor, template, index } = query;
      const request = { limit, cursor, template, index, signal };
      const list = await listOutputs(sources, files, experimentId(params), request);
      const items = list.items.map((output) => ({
        task: taskIdText(experimentId(params), output.template, output.index),
        template: output.template,
        index: output.index,
        attempt: output.attempt,
        output: output.output,
        path: output.path,
        size_bytes: output.sizeBytes,
      }));
      return ok({ items, next_cursor: list.nextCursor, problems: list.problems });
    },

    readOutput: async ({ params, signal }) => {
      const { filename, sizeBytes, read } = await openOutput(sources, files, experimentId(params), params.path, signal);
      return { filename, file: { sizeBytes, read } };
    },
  };
}

function experimentId(params: { experiment: number }): ExperimentId {
  return params.experiment as ExperimentId;
}

async function decide(
  sources: Sources,
  kind: Decision["kind"],
  { params, body, caller }: { params: { experiment: number }; body: DecideExperiment; caller: Caller },
): Promise<JsonAnswer<Decided>> {
  const { reason, tasks } = body;
  const decision = { kind, reason, tasks, actor: caller.actor, origin: originOf(caller) };
  const { affected, record } = await decideExperiment(sources, experimentId(params), decision);
  return ok({ affected, experiment: encodeExperiment(record) });
}

function encodeDetail({ found, counts, specText, runTimes }: DetailedExperiment): ExperimentDetail {
  const { record, definition } = found;
  const nameOf = (ordinal: number): string => definition.templates[ordinal]?.name ?? String(ordinal);
  const runTimeOf = (ordinal: number) => {
    const time = runTimes.find(({ template }) => template === ordinal);
    return time ? { median_seconds: time.medianMs / 1000, max_seconds: time.maxMs / 1000 } : null;
  };
  return {
    ...encodeExperiment(record),
    templates: definition.templates.map(({ ordinal, name, foreach, needs, outputs }) => ({
      ordinal,
      name,
      tasks: counts[ordinal]!,
      foreach: foreach.map(nameOf),
      needs: needs.map(nameOf),
      outputs: Object.fromEntries(outputs.map((output) => [output.name, output.glob])),
      run_time: runTimeOf(ordinal),
    })),
    parameters: definition.parameters,
    max_failures: definition.maxFailures,
    on_disconnect: definition.onDisconnect,
    spec: specText,
  };
}

/** An archived experiment, from its summary. */
function encodeArchived({ record, summary, file, specText }: ArchivedExperiment): ExperimentDetail {
  const { attempts, cpuSeconds, coreSeconds, runSeconds, memoryMaxBytes } = summary.resources;
  return {
    ...encodeExperiment(record),
    templates: summary.templates.map(({ ordinal, name, counts, foreach, needs, outputs }) => ({
      ordinal,
      name,
      tasks: counts,
      foreach,
      needs,
      outputs,
      run_time: null,
    })),
    parameters: summary.parameters,
    max_failures: summary.maxFailures,
    on_disconnect: summary.onDisconnect,
    spec: specText,
    archive: {
      file: file && { path: file.path, sha256: file.sha256, size_bytes: file.sizeBytes },
      resources: {
        attempts,
        cpu_seconds: cpuSeconds,
        core_seconds: coreSeconds,
        run_seconds: runSeconds,
        memory_max_bytes: memoryMaxBytes,
      },
      templates_omitted: summary.templatesOmitted,
      failures: summary.failures.map(encodeFailure),
    },
  };
}
