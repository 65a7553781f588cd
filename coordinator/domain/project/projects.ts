/**
 * Projects as people see and change them: configuration from the database, standing from the dispatcher. A change is
 * durable first and then told to the dispatcher; who leads next reads it from the database.
 */
import { AiravataError } from "../../../shared/error/error.ts";
import type { Dispatcher } from "../../dispatch/contract.ts";
import { type ProjectView, unknownProject } from "../../dispatch/project.ts";
import type { ProjectChange, ProjectStore, StoredProject } from "../../store/projects.ts";
import type { AccessControl, Visible } from "../access/access.ts";
import type { By } from "../access/by.ts";

export type { ProjectStore, ProjectView };

export interface ProjectSources {
  dispatcher: Dispatcher;
  projects: ProjectStore;
}

export interface ProjectRecord {
  stored: StoredProject;
  standing: ProjectView;
}

/** All of them, by number. Throws `not_leading`. */
export async function listProjects(
  { dispatcher, projects }: ProjectSources,
  visible: Visible,
): Promise<ProjectRecord[]> {
  const standings = new Map(dispatcher.projects().map((view) => [view.config.project, view]));
  const seen = (await projects.list()).filter(({ project }) => visible?.has(String(project)) ?? true);
  return seen.map((stored) => ({ stored, standing: standings.get(stored.project) ?? idle(stored) }));
}

/** Throws `project_not_found`, `not_leading`. */
export async function findProject(sources: ProjectSources, name: string): Promise<ProjectRecord> {
  const stored = await sources.projects.find(name);
  if (!stored) throw await projectNotFound(sources.projects, name, null);
  return recordOf(sources.dispatcher, stored);
}

/** Resolves when it is durable and holds. Throws `project_name_taken`, `not_leading`. */
export async function createProject(
  { dispatcher, projects, access }: ProjectSources & { access: AccessControl },
  name: string,
  change: ProjectChange,
  by: By,
): Promise<ProjectRecord> {
  // Asked before anything is written: who does not lead must not change what it cannot tell the dispatcher.
  dispatcher.projects();
  const { stored, relationship } = await projects.create(name, change, by);
  dispatcher.configure([stored]);
  await access.settle(relationship);
  return recordOf(dispatcher, stored);
}

/** `version`: only when it still has that one. Throws `project_not_found`, `project_changed`, `not_leading`. */
export async function changeProject(
  { dispatcher, projects }: ProjectSources,
  name: string,
  change: ProjectChange,
  version: number | null,
  by: By,
): Promise<ProjectRecord> {
  dispatcher.projects();
  const stored = await projects.change(name, change, version, by);
  if (stored) {
    dispatcher.configure([stored]);
    return recordOf(dispatcher, stored);
  }
  const found = await projects.find(name);
  if (!found) throw await projectNotFound(projects, name, null);
  throw new AiravataError(
    "project_changed",
    `project ${name} has version ${found.version}, not ${version}: somebody changed it meanwhile; look at it again`,
  );
}

/** Tells the dispatcher what the database has, for what a process that ended could not tell. */
export async function tellProjects({ dispatcher, projects }: ProjectSources): Promise<void> {
  dispatcher.configure(await projects.list());
}

/** Names listed when somebody asks for one that does not exist. */
const NAMES_LISTED_MAX = 20;

/** Names those that the caller may see. */
export async function projectNotFound(
  projects: Pick<ProjectStore, "list">,
  name: string,
  visible: Visible,
): Promise<AiravataError> {
  const seen = (await projects.list()).filter(({ project }) => visible?.has(String(project)) ?? true);
  const listed = seen.slice(0, NAMES_LISTED_MAX).map((known) => `"${known.name}"`);
  const more = seen.length > listed.length ? `, and ${seen.length - listed.length} more` : "";
  const known = listed.length === 0 ? "you are a member of none" : `yours are ${listed.join(", ")}${more}`;
  return new AiravataError(
    "project_not_found",
    `there is no project "${name.slice(0, 200)}", or you may not see it; ${known}`,
  );
}

function recordOf(dispatcher: Dispatcher, stored: StoredProject): ProjectRecord {
  const standing = dispatcher.projects().find(({ config }) => config.project === stored.project);
  return { stored, standing: standing ?? idle(stored) };
}

/** One that the dispatcher has not been told of yet. */
function idle(stored: StoredProject): ProjectView {
  const numbers = { queued: 0, running: 0, cpus: 0, share: 0, used: 0, usedRecently: 0, usageCpuHours: 0 };
  const { periodFromMs, periodMs } = stored.limits;
  const config = { ...unknownProject(stored.project), ...stored };
  return { config, ...numbers, periodCpuHours: 0, periodEndsMs: periodFromMs + periodMs };
}
