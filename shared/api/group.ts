/** Groups of people and of other groups. */
import { z } from "zod";
import { Grantee, granteeQuery, granteeShape } from "./grant.ts";
import { pageOf, pageQuery, Timestamp } from "./page.ts";

/** By name or by number. */
export const groupParams = { group: z.string().min(1).max(100) };

const Description = z.string().max(1_000);

export const CreateGroup = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-z0-9][a-z0-9._-]{0,99}$/, "lower-case letters, digits, dot, dash and underscore, at most 100")
      .refine((name) => !/^\d+$/.test(name), "not digits alone: that would be taken for a number"),
    description: Description.default(""),
  })
  .meta({ id: "CreateGroup" });

export const ChangeGroup = z
  .strictObject({
    description: Description,
    version: z.int().min(0).optional().meta({ description: "Only when the group still has this version." }),
  })
  .meta({ id: "ChangeGroup" });

const groupShape = {
  id: z.int().min(1),
  name: z.string(),
  description: z.string(),
  version: z.int().min(0),
  created_at: Timestamp,
};
export const Group = z.object(groupShape).meta({ id: "Group" });
export type Group = z.infer<typeof Group>;
export const GroupDetail = z
  .object({
    ...groupShape,
    managers: z.array(Grantee),
    members: z.array(Grantee).meta({ description: "Directly: a group in it stands for its own members." }),
  })
  .meta({ id: "GroupDetail" });
export type GroupDetail = z.infer<typeof GroupDetail>;

export const listGroupsQuery = { ...pageQuery };
export const GroupPage = pageOf(Group).meta({ id: "GroupPage" });

export const deleteGroupQuery = {
  force: z.stringbool().default(false).meta({ description: "Also when its members have roles or shares by it." }),
};

const role = z.enum(["member", "manager"]).default("member");
export const AddGroupMember = z.strictObject({ ...granteeShape, role }).meta({ id: "AddGroupMember" });
export const removeGroupMemberQuery = { ...granteeQuery, role };
