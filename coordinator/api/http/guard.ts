/**
 * Checks what a route needs before its handler runs. What the caller may not even see is not there for him (404, as if it
 * had never been); what he may see and not do is 403. Handlers of lists, and of what only the body names, ask the permit
 * themselves: one that did not ask is an error and answers nothing.
 */
import {
  ACCESS,
  BEFORE_PASSWORD_CHANGE,
  type Need,
  NOT_BY_TOKEN,
  type ObjectType,
  type Permissions,
  scopeOf,
  WITH_ANY_SCOPE,
} from "../../../shared/api/access.ts";
import type { RouteId } from "../../../shared/api/routes.ts";
import type { ErrorCode } from "../../../shared/error/catalogue.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { DEFAULT_PROJECT, type ExperimentId, type ProjectId } from "../../../shared/model/ids.ts";
import {
  type AccessControl,
  type ExperimentFacts,
  PLATFORM,
  type Visible,
  type VisibleExperiments,
} from "../../domain/access/access.ts";
import type { ProjectStore } from "../../domain/project/projects.ts";
import { projectNotFound } from "../../domain/project/projects.ts";
import { splitTaskId } from "../../domain/task/find.ts";
import type { Caller } from "./access.ts";
import { refusedAbout } from "./refused.ts";

export interface GuardSources {
  access: AccessControl;
  /** Throws `experiment_not_found`. */
  experiment(id: ExperimentId): Promise<ExperimentFacts>;
  /** The number of what a path names, where that may be a name. */
  numberOf: Partial<Record<ObjectType, (name: string) => Promise<number | undefined>>>;
  projects: Pick<ProjectStore, "find" | "list">;
}

const DEFAULT_PROJECT_NAME = "default";

/** What a handler may ask about its caller. */
export interface Permit {
  /** What of a list the caller is shown. */
  visible(): Promise<Visible>;
  visibleExperiments(): Promise<VisibleExperiments | null>;
  /** What may be named to the caller beside what he asked for. */
  seen(): Promise<{ agents: Visible; projects: Visible }>;
  /** The number of a project on which the caller has the permission. Throws `forbidden`, `project_not_found`. */
  project(name: string, permission: Permissions["project"]): Promise<ProjectId>;
  /**
   * Throws `forbidden`, or that there is no such thing when the caller may not see it. `name`: as he named it; a number
   * that he did not say would tell him that it is there.
   */
  require(on: ObjectType, id: string | number, permission: string, name?: string): Promise<void>;
  may(on: ObjectType, id: string | number, permission: string): Promise<boolean>;
}

export interface Guard {
  /** Throws `forbidden`, `scope_missing`, `authorization_unavailable`, or the code by which the thing is not there. */
  admit(id: RouteId, caller: Caller, params: Record<string, unknown>): Promise<Permit & { readonly asked: boolean }>;
}

const NOT_FOUND: Record<ObjectType, ErrorCode> = {
  platform: "forbidden",
  group: "group_not_found",
  project: "project_not_found",
  experiment: "experiment_not_found",
  credential: "credential_not_found",
  compute_resource: "resource_not_found",
  storage_resource: "resource_not_found",
  agent: "agent_not_found",
  enrolment_token: "enrolment_token_not_found",
  allocation: "route_not_found",
};

/** The permission with which a thing exists for somebody. */
const SEES: Record<ObjectType, string> = {
  platform: "operate",
  group: "view",
  project: "view",
  experiment: "view",
  credential: "read",
  compute_resource: "read",
  storage_resource: "read",
  agent: "view",
  enrolment_token: "operate",
  allocation: "view",
};

export function createGuard({ access, experiment, numberOf, projects }: GuardSources): Guard {
  const allows = async (caller: Caller, on: ObjectType, id: string, permission: string): Promise<boolean> => {
    if (on !== "experiment") return access.allows(caller.actor, { type: on, id }, permission);
    const facts = await experiment(Number(id) as ExperimentId);
    return access.allowsExperiment(caller.actor, facts, permission as "view" | "operate");
  };
  const require = async (caller: Caller, on: ObjectType, id: string, permission: string, name = id): Promise<void> => {
    if (await allows(caller, on, id, permission)) return;
    const sees = permission !== SEES[on] && (await allows(caller, on, id, SEES[on]));
    if (!sees) throw refusedAbout(notThere(on, name), on, id);
    const thing = `${on.replaceAll("_", " ")} ${name}`;
    const sentence = `you may see ${thing}, but this needs the permission to ${permission} it`;
    throw refusedAbout(new AiravataError("forbidden", sentence), on, id);
  };
  const idOf = async (need: Need & { kind: "one" }, params: Record<string, unknown>): Promise<string> => {
    const given = String(params[need.parameter]);
    if (need.parameter === "task") return String(splitTaskId(given).experiment);
    const lookUp = numberOf[need.on];
    if (!lookUp) return given;
    const id = await lookUp(given);
    if (id === undefined) throw notThere(need.on, given);
    return String(id);
  };
  const projectNamed = async (caller: Caller, name: string, permission: string): Promise<ProjectId> => {
    // The one that is always there costs no question.
    const id = name === DEFAULT_PROJECT_NAME ? DEFAULT_PROJECT : (await projects.find(name))?.project;
    if (id === undefined || !(await allows(caller, "project", String(id), SEES.project))) {
      throw await projectNotFound(projects, name, await access.visible(caller.actor, "project", SEES.project));
    }
    await require(caller, "project", String(id), permission, name);
    return id;
  };
  return {
    admit: async (id, caller, params) => {
      const need = ACCESS[id];
      checkScope(id, need, caller);
      if (need.kind === "one" && need.on === "project") {
        await projectNamed(caller, String(params[need.parameter]), need.permission);
      } else if (need.kind === "one")
        await require(caller, need.on, await idOf(need, params), need.permission, String(params[need.parameter]));
      if (need.kind === "platform" && !(need.loopback && caller.via === "nobody")) {
        if (!(await access.allows(caller.actor, PLATFORM, need.permission))) {
          throw new AiravataError(
            "forbidden",
            `this needs the permission to ${need.permission} the whole installation`,
          );
        }
      }
      const permit = {
        asked: need.kind !== "each" && need.kind !== "body",
        visible: () => {
          permit.asked = true;
          if (need.kind !== "each") throw new Error(`${id} is not a list`);
          return access.visible(caller.actor, need.on, need.permission);
        },
        visibleExperiments: () => {
          permit.asked = true;
          return access.visibleExperiments(caller.actor);
        },
        seen: async () => {
          const agents = await access.visible(caller.actor, "agent", SEES.agent);
          // The site's operators see the figures of all projects as well.
          const projects = agents === null ? null : await access.visible(caller.actor, "project", SEES.project);
          return { agents, projects };
        },
        project: (name: string, permission: string) => {
          permit.asked = true;
          return projectNamed(caller, name, permission);
        },
        require: (on: ObjectType, object: string | number, permission: string, name?: string) => {
          permit.asked = true;
          return require(caller, on, String(object), permission, name);
        },
        may: (on: ObjectType, object: string | number, permission: string) => {
          permit.asked = true;
          return allows(caller, on, String(object), permission);
        },
      };
      return permit;
    },
  };
}

/** What the caller's login or token lets him ask at all. Throws `password_change_required`, `session_required`, `scope_missing`. */
export function checkScope(id: RouteId, need: Need, { scopes, via }: Caller): void {
  if (scopes === null || need.kind === "open") return;
  if (via.startsWith("session ")) {
    if (BEFORE_PASSWORD_CHANGE.has(id)) return;
    const text = "your password is one for a single login: change it first, with airavata auth password";
    throw new AiravataError("password_change_required", text);
  }
  if (NOT_BY_TOKEN.has(id)) {
    throw new AiravataError("session_required", "a personal token cannot do this: log in with airavata auth login");
  }
  if (WITH_ANY_SCOPE.has(id)) return;
  const scope = scopeOf(id);
  if (scopes.has(scope)) return;
  throw new AiravataError(
    "scope_missing",
    `this personal token is limited to ${[...scopes].join(", ") || "nothing"}; this needs ${scope}`,
  );
}

function notThere(on: ObjectType, name: string): AiravataError {
  if (on === "platform") return new AiravataError("forbidden", "this needs a permission on the whole installation");
  return new AiravataError(
    NOT_FOUND[on],
    `there is no ${on.replaceAll("_", " ")} ${name.slice(0, 200)}, or you may not see it`,
  );
}
