/** Routes of groups. */
import * as group from "../group.ts";
import { API_PREFIX, json, type Route } from "./route.ts";

const ONE = `${API_PREFIX}/groups/{group}`;

export const groupRoutes = {
  listGroups: {
    method: "GET",
    path: `${API_PREFIX}/groups`,
    summary: "List the groups that one is in or manages",
    tag: "groups",
    query: group.listGroupsQuery,
    answers: { 200: json("One page, by name", group.GroupPage) },
  },
  createGroup: {
    method: "POST",
    path: `${API_PREFIX}/groups`,
    summary: "Make a group; who makes it manages it",
    tag: "groups",
    body: group.CreateGroup,
    answers: { 201: json("Made", group.GroupDetail) },
  },
  getGroup: {
    method: "GET",
    path: ONE,
    summary: "Show a group with its members, by its name or number",
    tag: "groups",
    params: group.groupParams,
    answers: { 200: json("The group", group.GroupDetail) },
  },
  changeGroup: {
    method: "POST",
    path: ONE,
    summary: "Change a group's description",
    tag: "groups",
    params: group.groupParams,
    body: group.ChangeGroup,
    answers: { 200: json("Changed", group.GroupDetail) },
  },
  deleteGroup: {
    method: "DELETE",
    path: ONE,
    summary: "Delete a group; with `force` also one whose members have something by it",
    tag: "groups",
    params: group.groupParams,
    query: group.deleteGroupQuery,
    answers: { 200: json("Deleted, and nobody has anything by it any more", group.Group) },
  },
  listGroupMembers: {
    method: "GET",
    path: `${ONE}/members`,
    summary: "Show who is in a group",
    tag: "groups",
    params: group.groupParams,
    answers: { 200: json("The group", group.GroupDetail) },
  },
  addGroupMember: {
    method: "POST",
    path: `${ONE}/members`,
    summary: "Put a person or a group into a group, or let a person manage it",
    tag: "groups",
    params: group.groupParams,
    body: group.AddGroupMember,
    answers: { 200: json("It is so, and in force", group.GroupDetail) },
  },
  removeGroupMember: {
    method: "DELETE",
    path: `${ONE}/members`,
    summary: "Take a person or a group out of a group",
    tag: "groups",
    params: group.groupParams,
    query: group.removeGroupMemberQuery,
    answers: { 200: json("It is so, and in force", group.GroupDetail) },
  },
} as const satisfies Record<string, Route>;
