/** `airavata project members …`: who belongs to a project, in which role. */
import type { Command } from "commander";
import type { ProjectMember } from "../../../shared/api/project.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { humanTime } from "../format.ts";
import { eachGrantee, granteeWord } from "../grantee.ts";
import { type Invocation, printJson } from "../invocation.ts";
import { type Column, renderTable } from "../table.ts";
import { addCommand, addGroup, type Bind } from "./tree.ts";

const ROLES = ["owner", "operator", "submitter", "viewer"] as const;

export function addProjectMemberCommands(project: Command, bind: Bind): void {
  const members = addGroup(project, "members", "who belongs to a project");
  addCommand(
    members,
    { usage: "list <project>", description: "list its people and groups", examples: ["project members list physics"] },
    bind,
    async (invocation) => {
      const { client } = await invocation.connect();
      return print(invocation, await client.call("listProjectMembers", { params: paramsOf(invocation) }));
    },
  );
  addCommand(
    members,
    {
      usage: "add <project> <who...>",
      description: "give people, or groups as group:NAME, a role, in place of the one they have",
      options: [["--role <role>", `${ROLES.join(", ")} (default submitter)`]],
      examples: ["project members add physics alice bob", "project members add physics group:lab --role viewer"],
    },
    bind,
    async (invocation) => {
      const role = roleOf(invocation.options.role);
      const { client } = await invocation.connect();
      const params = paramsOf(invocation);
      const set = (who: object) => client.call("setProjectMember", { params, body: { ...who, role } });
      return print(invocation, await eachGrantee(invocation, set));
    },
  );
  addCommand(
    members,
    {
      usage: "remove <project> <who...>",
      description: "take people or groups out of a project; what becomes of their work says `project set --on-removal`",
      examples: ["project members remove physics bob"],
    },
    bind,
    async (invocation) => {
      const { client } = await invocation.connect();
      const params = paramsOf(invocation);
      const remove = (query: object) => client.call("removeProjectMember", { params, query });
      return print(invocation, await eachGrantee(invocation, remove));
    },
  );
}

function paramsOf({ args }: Invocation): { project: string } {
  return { project: args[0] ?? "" };
}

function roleOf(given: unknown): (typeof ROLES)[number] {
  const role = ROLES.find((known) => known === (given ?? "submitter"));
  if (role) return role;
  throw new AiravataError("usage_invalid", `--role is "${given}" but must be one of ${ROLES.join(", ")}.`);
}

function print(invocation: Invocation, members: { items: ProjectMember[] }): undefined {
  if (invocation.json) return printJson(invocation, members) as undefined;
  const columns: Column<ProjectMember>[] = [
    { title: "WHO", value: ({ member }) => granteeWord(member), whole: true },
    { title: "ROLE", value: ({ role }) => role },
    { title: "SINCE", value: ({ since }) => humanTime(since), whole: true, optional: true },
  ];
  const empty = "Nobody belongs to it; administrators of the installation manage it.";
  invocation.out.write(renderTable(columns, members.items, invocation.out, empty));
}
