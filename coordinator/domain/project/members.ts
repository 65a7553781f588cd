/**
 * Who belongs to a project, one role each: owners say who belongs, operators decide about everybody's experiments,
 * submitters about their own, viewers look. A group that has a role has it for all its people. In force when it is answered.
 */
import { AiravataError } from "../../../shared/error/error.ts";
import { PLATFORM } from "../access/access.ts";
import type { By } from "../access/by.ts";
import { requireLeading } from "../access/leading.ts";
import { findGrantee, type Grantee, type GranteeName, type GrantSources } from "../share/share.ts";
import { type ProjectSources, projectNotFound } from "./projects.ts";

const ROLES = ["owner", "operator", "submitter", "viewer"] as const;
export type Role = (typeof ROLES)[number];

export interface Member {
  grantee: Grantee;
  role: Role;
  sinceMs: number;
}

type Sources = GrantSources & Pick<ProjectSources, "projects">;

/** Oldest first. Throws `project_not_found`. */
export async function listMembers({ grants, projects }: Sources, name: string): Promise<Member[]> {
  const project = await projects.find(name);
  if (!project) throw await projectNotFound(projects, name, null);
  const held = await grants.list({ type: "project", id: String(project.project) }, ROLES);
  return held.map(({ relation, ...grant }) => ({ ...grant, role: relation as Role }));
}

/**
 * Gives a role in place of another one, or with null takes it away; what is so already is done. Throws `project_not_found`,
 * `user_not_found`, `group_not_found`, and `last_owner` unless an administrator of the installation does it.
 */
export async function setMember(
  sources: Sources,
  name: string,
  who: GranteeName,
  role: Role | null,
  by: By,
): Promise<Member[]> {
  requireLeading(sources.dispatcher);
  const { projects, grants, access } = sources;
  const project = await projects.find(name);
  if (!project) throw await projectNotFound(projects, name, null);
  const grantee = await findGrantee(grants, who);
  const mayOrphan = await access.allows(by.actor, PLATFORM, "administer");
  const change = await grants.set({
    resource: { type: "project", id: String(project.project) },
    among: ROLES,
    relation: role,
    grantee,
    by,
    action: role === null ? "project.member.remove" : "project.member.set",
    project: project.project,
    check: (held) => {
      const owners = held.filter(({ relation }) => relation === "owner").map((grant) => grant.grantee);
      const isLast = owners.length === 1 && owners[0]?.type === grantee.type && owners[0].id === grantee.id;
      if (!isLast || role === "owner" || mayOrphan) return;
      throw new AiravataError(
        "last_owner",
        `${grantee.name} is the last owner of project ${name}: name another one first`,
      );
    },
  });
  await access.settle(change);
  return listMembers(sources, name);
}
