/**
 * Groups: made by whoever is known, managed by whoever made it and by those he says, seen by their members. That somebody
 * is in a group gives him nothing by itself: only what the group has.
 */
import { AiravataError } from "../../../shared/error/error.ts";
import { GROUPS_PER_PERSON_MAX } from "../../../shared/model/constants.ts";
import type { GroupStore, StoredGroup } from "../../store/groups.ts";
import { numbersOf, PLATFORM, type Visible } from "../access/access.ts";
import type { By } from "../access/by.ts";
import { requireLeading } from "../access/leading.ts";
import type { Listed } from "../experiment/list.ts";
import { findGrantee, type Grantee, type GranteeName, type GrantSources } from "../share/share.ts";

export interface GroupSources extends GrantSources {
  groups: GroupStore;
}

export interface GroupRecord {
  stored: StoredGroup;
  /** People only: whoever manages a group is known by name. */
  managers: Grantee[];
  /** Directly; those of a group in it are not listed. */
  members: Grantee[];
}

/** By name. */
export async function listGroups(
  { groups }: Pick<GroupSources, "groups">,
  query: { limit: number; cursor: string | undefined; visible: Visible },
): Promise<Listed<StoredGroup>> {
  const found = await groups.list(query.cursor ?? "", query.limit + 1, numbersOf(query.visible));
  const items = found.slice(0, query.limit);
  return { items, nextCursor: found.length > query.limit ? items.at(-1)!.name : null };
}

/** Throws `group_not_found`. */
export async function findGroup({ groups, grants }: GroupSources, group: number): Promise<GroupRecord> {
  const stored = await groups.find(group);
  if (!stored) throw gone(group);
  const resource = { type: "group", id: String(group) };
  const held = await grants.list(resource, ["manager", "member"]);
  const who = (relation: string) => held.filter((grant) => grant.relation === relation).map(({ grantee }) => grantee);
  return { stored, managers: who("manager"), members: who("member") };
}

/** Throws `group_name_taken`, `groups_too_many`, `not_leading`. */
export async function createGroup(
  sources: GroupSources,
  group: { name: string; description: string },
  by: By,
): Promise<GroupRecord> {
  requireLeading(sources.dispatcher);
  const isUnbound = await sources.access.allows(by.actor, PLATFORM, "administer");
  const { stored, change } = await sources.groups.create(group, isUnbound ? null : GROUPS_PER_PERSON_MAX, by);
  await sources.access.settle(change);
  return findGroup(sources, stored.group);
}

/** `version`: only when it still has that one. Throws `group_not_found`, `group_changed`. */
export async function changeGroup(
  sources: GroupSources,
  group: number,
  change: { description: string; version: number | null },
  by: By,
): Promise<GroupRecord> {
  requireLeading(sources.dispatcher);
  if (await sources.groups.change(group, change.description, change.version, by)) return findGroup(sources, group);
  const { stored } = await findGroup(sources, group);
  throw new AiravataError(
    "group_changed",
    `group ${stored.name} has version ${stored.version}, not ${change.version}: somebody changed it meanwhile; look at it again`,
  );
}

/** Throws `group_not_found`, `group_in_use`. */
export async function deleteGroup(
  { groups, access, dispatcher }: GroupSources,
  group: number,
  force: boolean,
  by: By,
): Promise<StoredGroup> {
  requireLeading(dispatcher);
  const removed = await groups.remove(group, force, by);
  if (!removed) throw gone(group);
  await access.settle(removed.change);
  return removed.stored;
}

export type GroupRole = "member" | "manager";

/**
 * Puts somebody in as a member or a manager, or takes that away again; what is so already is done. Throws
 * `user_not_found`, `group_not_found`, `group_nesting_refused`, `request_invalid` for a group that is to manage.
 */
export async function setMember(
  sources: GroupSources,
  group: number,
  name: GranteeName,
  { role, is }: { role: GroupRole; is: boolean },
  by: By,
): Promise<GroupRecord> {
  requireLeading(sources.dispatcher);
  const grantee = await findGrantee(sources.grants, name);
  if (role === "manager" && grantee.type === "group") {
    throw new AiravataError("request_invalid", "a group is managed by people, one by one: name a user");
  }
  const resource = { type: "group", id: String(group) };
  const action = `group.${role}.${is ? "add" : "remove"}`;
  const change = await sources.grants.set({ resource, among: [role], relation: is ? role : null, grantee, by, action });
  await sources.access.settle(change);
  return findGroup(sources, group);
}

function gone(group: number): AiravataError {
  return new AiravataError("group_not_found", `there is no group ${group}, or you may not see it`);
}
