/** The routes of groups: decode, one domain call, encode. */
import type { Group, GroupDetail } from "../../../shared/api/group.ts";
import type { RouteId } from "../../../shared/api/routes.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import {
  changeGroup,
  createGroup,
  deleteGroup,
  findGroup,
  type GroupRecord,
  type GroupSources,
  listGroups,
  setMember,
} from "../../domain/group/groups.ts";
import { timestamp } from "../encode.ts";
import { byOf } from "./access.ts";
import { granteeName } from "./grants.ts";
import { type Handlers, ok } from "./register.ts";

type GroupRoutes = Extract<
  RouteId,
  | "listGroups"
  | "createGroup"
  | "getGroup"
  | "changeGroup"
  | "deleteGroup"
  | "listGroupMembers"
  | "addGroupMember"
  | "removeGroupMember"
>;

export function groupHandlers(sources: GroupSources): Handlers<GroupRoutes> {
  const numberOf = async (name: string): Promise<number> => {
    const number = await sources.groups.numberOf(name);
    if (number !== undefined) return number;
    throw new AiravataError("group_not_found", `there is no group ${name}, or you may not see it`);
  };
  const show = async ({ params }: { params: { group: string } }) => {
    return ok(encodeDetail(await findGroup(sources, await numberOf(params.group))));
  };
  return {
    listGroups: async ({ query, permit }) => {
      const { limit, cursor } = query;
      const page = await listGroups(sources, { limit, cursor, visible: await permit.visible() });
      return ok({ items: page.items.map(encodeGroup), next_cursor: page.nextCursor });
    },
    createGroup: async ({ body, caller }) => {
      return { status: 201, body: encodeDetail(await createGroup(sources, body, byOf(caller))) };
    },
    getGroup: show,
    listGroupMembers: show,
    changeGroup: async ({ params, body, caller }) => {
      const change = { description: body.description, version: body.version ?? null };
      return ok(encodeDetail(await changeGroup(sources, await numberOf(params.group), change, byOf(caller))));
    },
    deleteGroup: async ({ params, query, caller }) => {
      return ok(encodeGroup(await deleteGroup(sources, await numberOf(params.group), query.force, byOf(caller))));
    },
    addGroupMember: async ({ params, body, caller, permit }) => {
      const to = { role: body.role, is: true };
      const group = await numberOf(params.group);
      // Whoever puts a group into his own hinders its deletion and its nesting: it must be one that he sees.
      if (body.group !== undefined) await permit.require("group", await numberOf(body.group), "view", body.group);
      return ok(encodeDetail(await setMember(sources, group, granteeName(body), to, byOf(caller))));
    },
    removeGroupMember: async ({ params, query, caller }) => {
      const to = { role: query.role, is: false };
      const group = await numberOf(params.group);
      return ok(encodeDetail(await setMember(sources, group, granteeName(query), to, byOf(caller))));
    },
  };
}

function encodeGroup({ group, name, description, createdAtMs, version }: GroupRecord["stored"]): Group {
  return { id: group, name, description, version, created_at: timestamp(createdAtMs) };
}

function encodeDetail({ stored, managers, members }: GroupRecord): GroupDetail {
  return { ...encodeGroup(stored), managers, members };
}
