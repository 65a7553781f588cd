/** Tasks, their attempts, their logs. */
import { z } from "zod";
import { BLAME_NAMES, CHARGE_NAMES, DISPOSITION_NAMES } from "../model/attempt.ts";
import { PHASE_NAMES, TASK_STATE_NAMES } from "../model/states.ts";
import { OutcomeName, Reason, TaskIdText } from "./experiment.ts";
import { TaskUsage } from "./figures.ts";
import { pageOf, pageQuery, Timestamp } from "./page.ts";

export const taskParams = { task: TaskIdText };

export const Task = z
  .object({
    id: z.string(),
    experiment: z.int().min(1),
    template: z.string(),
    index: z.int().min(0),
    state: z.enum(TASK_STATE_NAMES),
    phase: z.enum(PHASE_NAMES).nullable(),
    attempt: z.int().min(0).meta({ description: "The latest given, 0 when none." }),
    tried_user: z.int().min(0),
    tried_infrastructure: z.int().min(0),
    agent: z.int().nullable(),
    not_before: Timestamp.nullable(),
  })
  .meta({ id: "Task" });
export type Task = z.infer<typeof Task>;

export const TaskDetail = Task.extend({
  inputs: z.record(z.string(), z.string()).meta({ description: "Values of parameters and inputs, by name." }),
  started_at: Timestamp.nullable().meta({ description: "Of the attempt that is held; null when none has started." }),
  usage: TaskUsage.nullable().meta({ description: "Of the attempt that runs, from its second second on." }),
}).meta({ id: "TaskDetail" });
export type TaskDetail = z.infer<typeof TaskDetail>;

export const listTasksQuery = {
  ...pageQuery,
  template: z.string().max(200).optional(),
  state: z.enum(TASK_STATE_NAMES).optional(),
};
export const TaskPage = pageOf(Task).meta({ id: "TaskPage" });

export const Attempt = z
  .object({
    attempt: z.int().min(1),
    agent: z.int().nullable(),
    agent_name: z.string().nullable(),
    disposition: z.enum(DISPOSITION_NAMES).nullable().meta({ description: "Null while it is held." }),
    outcome: OutcomeName.nullable(),
    blame: z.enum(BLAME_NAMES).nullable(),
    charged_to: z.enum(CHARGE_NAMES).nullable(),
    exit_code: z.int().nullable(),
    signal: z.int().nullable(),
    started_at: Timestamp.nullable(),
    ended_at: Timestamp.nullable(),
    not_before: Timestamp.nullable(),
    cpu_seconds: z.number().min(0),
    memory_max_bytes: z.int().min(0),
    read_bytes: z.int().min(0).meta({ description: "From storage; what the page cache answers is not in it." }),
    written_bytes: z.int().min(0),
    stderr_tail: z.string().nullable(),
    detail: z.string().nullable(),
  })
  .meta({ id: "Attempt" });
export type Attempt = z.infer<typeof Attempt>;
export const listAttemptsQuery = { ...pageQuery };
export const AttemptPage = pageOf(Attempt).meta({ id: "AttemptPage" });

export const TaskExplanation = z
  .object({ task: z.string(), state: z.enum(TASK_STATE_NAMES), reasons: z.array(Reason) })
  .meta({ id: "TaskExplanation" });
export type TaskExplanation = z.infer<typeof TaskExplanation>;

export const CancelTask = z.strictObject({ reason: z.string().max(1000).optional() }).meta({ id: "CancelTask" });

export const logQuery = {
  stream: z.enum(["stdout", "stderr"]).default("stdout"),
  attempt: z.coerce.number().int().min(1).optional().meta({ description: "Default: the latest." }),
  offset: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).default(0),
  limit: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional().meta({ description: "Bytes." }),
  follow: z
    .enum(["true", "false"])
    .default("false")
    .meta({ description: "Keep the answer open and stream what the attempt writes until it ends." }),
};
