/** `airavata group …`: groups of people and of other groups. */
import type { Command } from "commander";
import type { Group, GroupDetail } from "../../../shared/api/group.ts";
import { humanTime } from "../format.ts";
import { eachGrantee, granteeWord } from "../grantee.ts";
import { type Invocation, printJson } from "../invocation.ts";
import { collectPages, LIST_ROWS_DEFAULT, moreLine } from "../page.ts";
import { type Column, renderFields, renderTable } from "../table.ts";
import { addCommand, addGroup, type Bind, wholeNumber } from "./tree.ts";

export function addGroupCommands(program: Command, bind: Bind): void {
  const group = addGroup(program, "group", "groups of people, which have roles and shares together");
  addCommand(
    group,
    {
      usage: "list",
      description: "list the groups that you are in or manage",
      options: [["--limit <n>", `at most this many (default ${LIST_ROWS_DEFAULT})`, wholeNumber(1)]],
      examples: ["group list"],
    },
    bind,
    list,
  );
  addCommand(
    group,
    { usage: "show <group>", description: "show a group with its members", examples: ["group show lab"] },
    bind,
    async (invocation) => {
      const { client } = await invocation.connect();
      return print(invocation, await client.call("getGroup", { params: paramsOf(invocation) }));
    },
  );
  const description: [string, string] = ["--description <text>", "what it is for"];
  addCommand(
    group,
    {
      usage: "create <name>",
      description: "make a group; you manage it",
      options: [description],
      examples: ['group create lab --description "the people of room 12"'],
    },
    bind,
    async (invocation) => {
      const { client } = await invocation.connect();
      const body = { name: invocation.args[0] ?? "", description: descriptionOf(invocation) };
      return print(invocation, await client.call("createGroup", { body }));
    },
  );
  addCommand(
    group,
    {
      usage: "set <group>",
      description: "change its description",
      options: [description],
      examples: ['group set lab --description "room 14 now"'],
    },
    bind,
    async (invocation) => {
      const { client } = await invocation.connect();
      const body = { description: descriptionOf(invocation) ?? "" };
      return print(invocation, await client.call("changeGroup", { params: paramsOf(invocation), body }));
    },
  );
  addCommand(
    group,
    {
      usage: "delete <group>",
      description: "delete a group that has nothing",
      options: [["--force", "also one whose members have roles or shares by it: they lose them"]],
      examples: ["group delete lab", "group delete lab --force"],
    },
    bind,
    remove,
  );
  addMemberCommands(group, bind);
}

function addMemberCommands(group: Command, bind: Bind): void {
  const members = addGroup(group, "members", "who is in a group");
  const manager: [string, string] = ["--manager", "as a manager, who says who is in it; not as a member"];
  addCommand(
    members,
    {
      usage: "add <group> <who...>",
      description: "put people, or groups as group:NAME, into a group",
      options: [manager],
      examples: [
        "group members add lab alice bob",
        "group members add faculty group:lab",
        "group members add lab eve --manager",
      ],
    },
    bind,
    async (invocation) => {
      const { client } = await invocation.connect();
      const request = { params: paramsOf(invocation) };
      const role = roleOf(invocation);
      const add = (who: object) => client.call("addGroupMember", { ...request, body: { ...who, role } });
      return print(invocation, await eachGrantee(invocation, add));
    },
  );
  addCommand(
    members,
    {
      usage: "remove <group> <who...>",
      description: "take people or groups out of a group",
      options: [manager],
      examples: ["group members remove lab bob"],
    },
    bind,
    async (invocation) => {
      const { client } = await invocation.connect();
      const request = { params: paramsOf(invocation) };
      const role = roleOf(invocation);
      const take = (who: object) => client.call("removeGroupMember", { ...request, query: { ...who, role } });
      return print(invocation, await eachGrantee(invocation, take));
    },
  );
}

async function list(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const { limit = LIST_ROWS_DEFAULT } = invocation.options;
  const page = await collectPages(limit as number, (query) => client.call("listGroups", { query }));
  if (invocation.json) return printJson(invocation, page) as undefined;
  const columns: Column<Group>[] = [
    { title: "NAME", value: (group) => group.name, whole: true },
    { title: "CREATED", value: (group) => humanTime(group.created_at), whole: true, optional: true },
    { title: "DESCRIPTION", value: (group) => group.description },
  ];
  invocation.out.write(renderTable(columns, page.items, invocation.out, "You are in no group."));
  invocation.out.write(moreLine(page));
}

async function remove(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const query = { force: invocation.options.force === true };
  const deleted = await client.call("deleteGroup", { params: paramsOf(invocation), query });
  if (invocation.json) return printJson(invocation, deleted) as undefined;
  invocation.out.write(`Group ${deleted.name} is deleted.\n`);
}

function paramsOf({ args }: Invocation): { group: string } {
  return { group: args[0] ?? "" };
}

function roleOf({ options }: Invocation): "manager" | "member" {
  return options.manager === true ? "manager" : "member";
}

function descriptionOf({ options }: Invocation): string | undefined {
  return options.description as string | undefined;
}

function print(invocation: Invocation, group: GroupDetail): undefined {
  if (invocation.json) return printJson(invocation, group) as undefined;
  const names = (all: GroupDetail["members"]): string => all.map(granteeWord).join(", ");
  invocation.out.write(
    renderFields(
      [
        ["group", group.name],
        ["description", group.description],
        ["managers", names(group.managers)],
        ["members", names(group.members)],
        ["created", humanTime(group.created_at)],
      ],
      invocation.out,
    ),
  );
}
