/** Experiments as clients send and see them. */
import { z } from "zod";
import { OUTCOME_NAMES } from "../model/attempt.ts";
import { EXPERIMENT_STATE_NAMES } from "../model/states.ts";
import { specJsonSchema } from "../spec/json-schema.ts";
import { pageOf, pageQuery, Timestamp } from "./page.ts";

export const experimentParams = { experiment: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER) };

/** Described by the file's own schema; its parser checks it, and says where and why. */
const ExperimentFile = z.record(z.string(), z.unknown()).meta({ id: "ExperimentFile", ...specJsonSchema() });

export const SubmitExperiment = z
  .strictObject({
    spec: z
      .union([z.string(), ExperimentFile])
      .meta({ description: "The experiment file as YAML text or as an object." }),
    parameters: z
      .record(z.string().max(200), z.union([z.string(), z.number(), z.boolean()]))
      .optional()
      .meta({ description: "Values of declared parameters; they beat the file's defaults." }),
    project: z.string().min(1).max(200).optional().meta({ description: "Beats the file's `project`." }),
    name: z.string().min(1).max(200).optional().meta({ description: "Beats the file's `name`." }),
    priority: z.int().min(-1000).max(1000).optional().meta({ description: "Beats the file's `priority`." }),
    spec_directory: z
      .string()
      .max(4096)
      .optional()
      .meta({ description: "Absolute directory that `./` paths of the file are relative to." }),
  })
  .meta({ id: "SubmitExperiment" });
export type SubmitExperiment = z.infer<typeof SubmitExperiment>;

export const TaskCounts = z
  .object({
    total: z.int().min(0),
    waiting: z.int().min(0),
    queued: z.int().min(0),
    leased: z.int().min(0),
    completed: z.int().min(0),
    failed: z.int().min(0),
    canceled: z.int().min(0),
  })
  .meta({ id: "TaskCounts" });

export const Experiment = z
  .object({
    id: z.int().min(1),
    name: z.string(),
    project: z.string(),
    state: z.enum(EXPERIMENT_STATE_NAMES),
    priority: z.int(),
    tasks: TaskCounts,
    running: z.int().min(0).meta({
      description: "Tasks that their agents said to have started; other leased ones are on their way or held ahead.",
    }),
    submitted_at: Timestamp,
    ended_at: Timestamp.nullable(),
    archived_at: Timestamp.optional().meta({
      description: "Set once it is archived: its summary is left, its tasks answer `experiment_archived`.",
    }),
  })
  .meta({ id: "Experiment" });
export type Experiment = z.infer<typeof Experiment>;

export const TemplateSummary = z
  .object({
    ordinal: z.int().min(0),
    name: z.string(),
    tasks: TaskCounts,
    foreach: z.array(z.string()),
    needs: z.array(z.string()),
    outputs: z.record(z.string(), z.string()).meta({ description: "Glob by output name." }),
    run_time: z
      .object({ median_seconds: z.number().min(0), max_seconds: z.number().min(0) })
      .nullable()
      .meta({ description: "Of its completed tasks; only with `include=run_times`, null when none completed." }),
  })
  .meta({ id: "TemplateSummary" });

/** Failed tasks with one cause. */
export const FailureGroup = z
  .object({
    template: z.string(),
    blame: z.string(),
    exit_code: z.int().nullable(),
    signal: z.int().nullable(),
    tasks: z.int().min(1),
    example: z.string().meta({ description: "Id of one of them." }),
    stderr_tail: z.string().nullable(),
    detail: z.string().nullable(),
  })
  .meta({ id: "FailureGroup" });
export type FailureGroup = z.infer<typeof FailureGroup>;

/** What stays of an archived experiment beside its templates and counts. */
export const ExperimentArchive = z
  .object({
    file: z
      .object({ path: z.string(), sha256: z.string(), size_bytes: z.int().min(0) })
      .nullable()
      .meta({
        description: "Where its tasks and attempts were written, as the coordinator sees it; null when they were not.",
      }),
    resources: z.object({
      attempts: z.int().min(0),
      cpu_seconds: z.number().min(0).meta({ description: "Processor time used." }),
      core_seconds: z.number().min(0).meta({ description: "Processors held, times how long." }),
      run_seconds: z.number().min(0).meta({ description: "From start to end, all attempts together." }),
      memory_max_bytes: z.int().min(0),
    }),
    templates_omitted: z.int().min(0).meta({ description: "Templates that the summary does not name." }),
    failures: z.array(FailureGroup),
  })
  .meta({ id: "ExperimentArchive" });

export const ExperimentDetail = Experiment.extend({
  templates: z.array(TemplateSummary),
  parameters: z.record(z.string(), z.string()),
  max_failures: z.int().nullable(),
  on_disconnect: z.enum(["requeue", "wait"]),
  spec: z.string().nullable().meta({ description: "The file as it was sent; only with `include=spec`." }),
  archive: ExperimentArchive.optional().meta({
    description: "Of an archived one: what its summary says beside the rest.",
  }),
}).meta({ id: "ExperimentDetail" });
export type ExperimentDetail = z.infer<typeof ExperimentDetail>;

export const experimentQuery = { include: z.enum(["spec", "run_times"]).optional() };

export const listExperimentsQuery = {
  ...pageQuery,
  state: z.enum(EXPERIMENT_STATE_NAMES).optional(),
  project: z.string().max(200).optional(),
  name: z.string().max(200).optional(),
};
export const ExperimentPage = pageOf(Experiment).meta({ id: "ExperimentPage" });

/** `EXPERIMENT.TEMPLATE.INDEX`; the template by name or ordinal. */
export const TaskIdText = z
  .string()
  .max(300)
  .regex(/^\d{1,15}\.[^.\s/]{1,200}\.\d{1,9}$/, "a task is named EXPERIMENT.TEMPLATE.INDEX, for example 17.dock.42");

export const DecideExperiment = z
  .strictObject({
    reason: z.string().max(1000).optional(),
    tasks: z
      .array(TaskIdText)
      .min(1)
      .max(10_000)
      .optional()
      .meta({ description: "Only these tasks (cancel and retry); without it all of them." }),
  })
  .meta({ id: "DecideExperiment" });
export type DecideExperiment = z.infer<typeof DecideExperiment>;

export const Decided = z
  .object({ affected: z.int().min(0).meta({ description: "Tasks that the decision moves." }), experiment: Experiment })
  .meta({ id: "Decided" });
export type Decided = z.infer<typeof Decided>;

export const Reason = z
  .object({ code: z.string(), message: z.string(), data: z.record(z.string(), z.unknown()).optional() })
  .meta({ id: "Reason" });

export const ExperimentExplanation = z
  .object({
    state: z.enum(EXPERIMENT_STATE_NAMES),
    reasons: z.array(Reason),
    waiting: z
      .array(z.object({ template: z.string(), tasks: z.int(), example: z.string(), reasons: z.array(Reason) }))
      .meta({ description: "Per template with unfinished tasks: one of them and why it is where it is." }),
    failures: z.array(FailureGroup),
  })
  .meta({ id: "ExperimentExplanation" });
export type ExperimentExplanation = z.infer<typeof ExperimentExplanation>;

export const TimelineEntry = z
  .object({
    at: Timestamp,
    seq: z.int().min(0),
    kind: z.string(),
    message: z.string(),
    data: z.record(z.string(), z.unknown()).optional(),
  })
  .meta({ id: "TimelineEntry" });
export const timelineQuery = { ...pageQuery };
export const TimelinePage = pageOf(TimelineEntry).meta({ id: "TimelinePage" });

export const Output = z
  .object({
    task: z.string(),
    template: z.string(),
    index: z.int().min(0),
    attempt: z.int().min(1),
    output: z.string().meta({ description: "Name in `task_outputs`." }),
    path: z.string().meta({ description: "`TEMPLATE/INDEX/FILE`: what follows `outputs/` to fetch it." }),
    size_bytes: z.int().min(0),
  })
  .meta({ id: "Output" });
export type Output = z.infer<typeof Output>;
export const outputParams = { ...experimentParams, path: z.string().min(1).max(4096) };
export const listOutputsQuery = {
  ...pageQuery,
  template: z.string().max(200).optional(),
  index: z.coerce.number().int().min(0).optional(),
};
export const OutputPage = pageOf(Output)
  .extend({
    problems: z
      .array(z.string())
      .meta({ description: "What could not be listed and why, for example an agent that is offline." }),
  })
  .meta({ id: "OutputPage" });

export const OutcomeName = z.enum(OUTCOME_NAMES);
