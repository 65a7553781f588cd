/** The routes of projects: decode, one domain call, encode. */
import type { Project, ProjectMember } from "../../../shared/api/project.ts";
import type { RouteId } from "../../../shared/api/routes.ts";
import { listMembers, type Member, setMember } from "../../domain/project/members.ts";
import {
  changeProject,
  createProject,
  findProject,
  listProjects,
  type ProjectRecord,
  type ProjectSources,
} from "../../domain/project/projects.ts";
import type { GrantSources } from "../../domain/share/share.ts";
import { timestamp } from "../encode.ts";
import { byOf } from "./access.ts";
import { granteeName } from "./grants.ts";
import { type Handlers, ok } from "./register.ts";

type ProjectRoutes = Extract<
  RouteId,
  | "listProjects"
  | "getProject"
  | "createProject"
  | "changeProject"
  | "listProjectMembers"
  | "setProjectMember"
  | "removeProjectMember"
>;

export function projectHandlers(sources: ProjectSources & GrantSources): Handlers<ProjectRoutes> {
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
    changeProject: async ({ params, body: { version, ...change }, caller, permit }) => {
      const { on_removal: _, ...shares } = change;
      if (Object.values(shares).some((value) => value !== undefined)) {
        await permit.require("platform", "main", "administer");
      }
      return ok(
        encodeProject(
          await changeProject(sources, params.project, decodeChange(change), version ?? null, byOf(caller)),
        ),
      );
    },
    listProjectMembers: async ({ params }) => ok(encodeMembers(await listMembers(sources, params.project))),
    setProjectMember: async ({ params, body, caller }) => {
      const who = granteeName(body);
      return ok(encodeMembers(await setMember(sources, params.project, who, body.role, byOf(caller))));
    },
    removeProjectMember: async ({ params, query, caller }) => {
      const who = granteeName(query);
      return ok(encodeMembers(await setMember(sources, params.project, who, null, byOf(caller))));
    },
  };
}

function encodeMembers(members: Member[]): { items: ProjectMember[] } {
  return { items: members.map(({ grantee, role, sinceMs }) => ({ member: grantee, role, since: timestamp(sinceMs) })) };
}

interface ChangeBody {
  weight?: number | undefined;
  max_running_tasks?: number | null | undefined;
  max_cpus?: number | null | undefined;
  max_cpu_hours?: number | null | undefined;
  period_seconds?: number | undefined;
  on_removal?: "keep" | "pause" | "cancel" | undefined;
}

function decodeChange(body: ChangeBody) {
  const { weight, max_running_tasks: runningTasks, max_cpus: cpus, max_cpu_hours: cpuHours } = body;
  const periodMs = body.period_seconds === undefined ? undefined : body.period_seconds * 1000;
  return { weight, runningTasks, cpus, cpuHours, periodMs, onRemoval: body.on_removal };
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
    on_removal: stored.onRemoval,
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
