/** Projects: weight, limits, and how they stand. */
import { z } from "zod";
import { Grantee, granteeShape } from "./grant.ts";
import { Timestamp } from "./page.ts";

export const projectParams = { project: z.string().min(1).max(200) };

const Limit = z.number().min(0).max(1e9).nullable();
const changeShape = {
  weight: z.number().gt(0).max(1e6).optional().meta({ description: "Shares are proportional to it." }),
  max_running_tasks: z.int().min(0).max(2_000_000_000).nullable().optional().meta({ description: "null: no limit." }),
  max_cpus: Limit.optional(),
  max_cpu_hours: Limit.optional().meta({ description: "Per period." }),
  period_seconds: z
    .int()
    .min(3_600)
    .max(366 * 86_400)
    .optional()
    .meta({ description: "Length of a period; another one begins now." }),
  on_removal: z
    .enum(["keep", "pause", "cancel"])
    .optional()
    .meta({ description: "What becomes of the unfinished experiments of somebody who may not submit any more." }),
};

export const CreateProject = z
  .strictObject({
    name: z
      .string()
      .max(63)
      .regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/, "letters, digits, dot, dash and underscore, at most 63"),
    ...changeShape,
  })
  .meta({ id: "CreateProject" });

export const ChangeProject = z
  .strictObject({
    ...changeShape,
    version: z.int().min(0).optional().meta({ description: "Only when the project still has this version." }),
  })
  .meta({ id: "ChangeProject" });

export const Project = z
  .object({
    id: z.int().min(1),
    name: z.string(),
    version: z.int().min(0),
    created_at: Timestamp,
    weight: z.number(),
    max_running_tasks: z.int().nullable(),
    max_cpus: z.number().nullable(),
    max_cpu_hours: z.number().nullable(),
    period_seconds: z.int(),
    on_removal: z.enum(["keep", "pause", "cancel"]),
    period_ends_at: Timestamp,
    period_cpu_hours: z.number().meta({ description: "Used in the present period." }),
    queued: z.int(),
    running: z.int().meta({ description: "Tasks with agents, those held ahead among them." }),
    cpus: z.number(),
    share: z
      .number()
      .meta({ description: "Its weight over those of all projects that have work now; 0 without work." }),
    used: z.number().meta({ description: "Its part of what the projects with work used, decayed with the half-life." }),
    used_recently: z.number().meta({ description: "The same of the last minutes." }),
    usage_cpu_hours: z.number().meta({ description: "Decayed with the half-life." }),
  })
  .meta({ id: "Project" });
export type Project = z.infer<typeof Project>;

export const ProjectList = z.object({ items: z.array(Project) }).meta({ id: "ProjectList" });

const role = z.enum(["owner", "operator", "submitter", "viewer"]);
export const SetProjectMember = z.strictObject({ ...granteeShape, role }).meta({ id: "SetProjectMember" });
export const ProjectMember = z.object({ member: Grantee, role, since: Timestamp }).meta({ id: "ProjectMember" });
export type ProjectMember = z.infer<typeof ProjectMember>;
export const ProjectMemberList = z.object({ items: z.array(ProjectMember) }).meta({ id: "ProjectMemberList" });
