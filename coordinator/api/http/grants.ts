/** To whom something is given, as requests name him and answers show him. */
import type { ShareList } from "../../../shared/api/grant.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import type { GranteeName, Share } from "../../domain/share/share.ts";
import { timestamp } from "../encode.ts";

/** Throws `request_invalid` unless it is exactly one of both. */
export function granteeName({ user, group }: { user?: string | undefined; group?: string | undefined }): GranteeName {
  if (user !== undefined && group === undefined) return { user };
  if (group !== undefined && user === undefined) return { group };
  throw new AiravataError("request_invalid", "name either a user or a group: one of `user` and `group`");
}

export function encodeShares(shares: Share[]): ShareList {
  return {
    items: shares.map(({ grantee, access, sinceMs }) => ({ with: grantee, access, since: timestamp(sinceMs) })),
  };
}
