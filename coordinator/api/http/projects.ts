/** The routes of projects: decode, one domain call, encode. */
import type { Project } from "../../../shared/api/project.ts";
import type { RouteId } from "../../../shared/api/routes.ts";
import type { AccessControl } from "../../domain/access/access.ts";
import {
  changeProject,
  createProject,
  findProject,
  listProjects,
  type ProjectRecord,
  type ProjectSources,
} from "../../domain/project/projects.ts";
import { timestamp } from "../encode.ts";
import { byOf } from "./access.ts";
import { type Handlers, ok } from "./register.ts";

type ProjectRoutes = Extract<RouteId, "listProjects" | "getProject" | "createProject" | "changeProject">;

export function projectHandlers(sources: ProjectSources & { access: AccessControl }): Handlers<ProjectRoutes> {
  return {
    listProjects: async ({ permit }) => {
      return ok({ items: (await listProjects(sources, await permit.visible())).map(encodeProject) });
    },
    getProject: async ({ params }) => ok(encodeProject(await findProject(sources, params.project))),
    createProject: async ({ body: { name, ...change }, caller }) => {
      return {
        status: 201,
        body: encodeProject(await createProject(sources, name, decodeChange(change), byOf(caller))),
      };
    },
    changeProject: async ({ params, body: { version, ...change }, caller }) => {
      return ok(
        encodeProject(
          await changeProject(sources, params.project, decodeChange(change), version ?? null, byOf(caller)),
        ),
      );
    },
  };
}

interface ChangeBody {
  weight?: number | undefined;
  max_running_tasks?: number | null | undefined;
  max_cpus?: number | null | undefined;
  max_cpu_hours?: number | null | undefined;
  period_seconds?: number | undefined;
}

function decodeChange(body: ChangeBody) {
  const { weight, max_running_tasks: runningTasks, max_cpus: cpus, max_cpu_hours: cpuHours } = body;
  const periodMs = body.period_seconds === undefined ? undefined : body.period_seconds * 1000;
  return { weight, runningTasks, cpus, cpuHours, periodMs };
}

function encodeProject({ stored, standing }: ProjectRecord): Project {
  const { limits } = stored;
  return {
    id: stored.project,
    name: stored.name,
    version: stored.version,
    created_at: timestamp(stored.createdAtMs),
    weight: stored.weight,
    max_running_tasks: limits.runningTasks,
    max_cpus: limits.cpus,
    max_cpu_hours: limits.cpuHours,
    period_seconds: Math.round(limits.periodMs / 1000),
    period_ends_at: timestamp(standing.periodEndsMs),
    period_cpu_hours: rounded(standing.periodCpuHours),
    queued: standing.queued,
    running: standing.running,
    cpus: rounded(standing.cpus),
    share: rounded(standing.share),
    used: rounded(standing.used),
    used_recently: rounded(standing.usedRecently),
    usage_cpu_hours: rounded(standing.usageCpuHours),
  };
}

/** Four digits: a ten-thousandth of a share, a third of a second of a cpu. */
function rounded(value: number): number {
  return Math.round(value * 10_000) / 10_000;
}
