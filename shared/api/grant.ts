/** To whom something is given: a person or a group, by name or number; roles, memberships and shares alike. */
import { z } from "zod";
import { Timestamp } from "./page.ts";

const Name = z.string().min(1).max(100);

/** Exactly one of both, in a body. */
export const granteeShape = {
  user: Name.optional().meta({ description: "A username, or an account's number." }),
  group: Name.optional().meta({ description: "A group's name or number; either this or `user`." }),
};

/** The same in a URL. */
export const granteeQuery = granteeShape;

export const Grantee = z
  .object({ type: z.enum(["user", "group"]), id: z.int().min(0), name: z.string() })
  .meta({ id: "Grantee" });

export const ShareWith = z
  .strictObject({ ...granteeShape, access: z.enum(["read", "write"]).default("read") })
  .meta({ id: "ShareWith" });

export const Share = z
  .object({
    with: Grantee,
    access: z.enum(["read", "write", "owner"]).meta({ description: "`owner`: who made it." }),
    since: Timestamp,
  })
  .meta({ id: "Share" });
export type Share = z.infer<typeof Share>;
export const ShareList = z.object({ items: z.array(Share) }).meta({ id: "ShareList" });
export type ShareList = z.infer<typeof ShareList>;
