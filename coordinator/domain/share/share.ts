/**
 * Sharing of one thing with people and groups, to read or to write: the same for credentials, compute and storage resources
 * and experiments. Sharing again, and taking away what was not there, is done and no error. Answered when it is in force.
 */
import { AiravataError } from "../../../shared/error/error.ts";
import type { ProjectId } from "../../../shared/model/ids.ts";
import type { ObjectRef, Relationship } from "../../../shared/model/relationship.ts";
import type { Dispatcher } from "../../dispatch/contract.ts";
import type { Grantee, GranteeName, GrantStore } from "../../store/grants.ts";
import type { AccessControl } from "../access/access.ts";
import type { By } from "../access/by.ts";
import { requireLeading } from "../access/leading.ts";

export type { Grantee, GranteeName };

export interface GrantSources {
  dispatcher: Pick<Dispatcher, "leadership">;
  grants: GrantStore;
  access: AccessControl;
}

/** What is shared. Whether the caller may is the API's to check. */
export interface Shared extends ObjectRef {
  type: "credential" | "compute_resource" | "storage_resource" | "experiment";
  project: ProjectId | null;
  /** What is there only while it is shared. */
  beside?: Relationship;
}

export interface Share {
  grantee: Grantee;
  /** Who made it is its owner until somebody takes that away. */
  access: "read" | "write" | "owner";
  sinceMs: number;
}

const RELATIONS = { reader: "read", writer: "write", owner: "owner" } as const;
const SHARED = ["reader", "writer"] as const;

/** Oldest first. */
export async function listShares({ grants }: Pick<GrantSources, "grants">, thing: ObjectRef): Promise<Share[]> {
  const held = await grants.list(objectOf(thing), Object.keys(RELATIONS));
  return held.map(({ relation, grantee, sinceMs }) => {
    return { grantee, access: RELATIONS[relation as keyof typeof RELATIONS], sinceMs };
  });
}

/**
 * One access each: writing replaces reading and the other way round; an owner has it all. Throws `user_not_found`,
 * `group_not_found`.
 */
export async function share(
  sources: GrantSources,
  thing: Shared,
  to: GranteeName,
  access: "read" | "write",
  by: By,
): Promise<Share[]> {
  return set(sources, thing, to, SHARED, access === "read" ? "reader" : "writer", by);
}

/** Also from its owner. Throws `user_not_found`, `group_not_found`. */
export async function unshare(sources: GrantSources, thing: Shared, from: GranteeName, by: By): Promise<Share[]> {
  const among = thing.type === "experiment" ? SHARED : Object.keys(RELATIONS);
  return set(sources, thing, from, among, null, by);
}

async function set(
  sources: GrantSources,
  thing: Shared,
  name: GranteeName,
  among: readonly string[],
  relation: string | null,
  by: By,
): Promise<Share[]> {
  requireLeading(sources.dispatcher);
  const { grants, access } = sources;
  const grantee = await findGrantee(grants, name);
  const action = `${thing.type}.${relation === null ? "unshare" : "share"}`;
  const { project, beside } = thing;
  if (relation !== null && (await isOwner(grants, thing, grantee))) return listShares(sources, thing);
  const request = { resource: objectOf(thing), among, relation, grantee, by, action, project };
  await access.settle(await grants.set(beside ? { ...request, beside } : request));
  return listShares(sources, thing);
}

async function isOwner(grants: GrantStore, thing: ObjectRef, { type, id }: Grantee): Promise<boolean> {
  if (thing.type === "experiment" || type === "group") return false;
  return (await grants.list(objectOf(thing), ["owner"])).some(({ grantee }) => grantee.id === id);
}

/** Throws `user_not_found`, `group_not_found`. */
export async function findGrantee(grants: GrantStore, name: GranteeName): Promise<Grantee> {
  const grantee = await grants.grantee(name);
  if (grantee) return grantee;
  if ("user" in name) throw new AiravataError("user_not_found", `there is no user ${name.user.slice(0, 200)}`);
  throw new AiravataError("group_not_found", `there is no group ${name.group.slice(0, 200)}`);
}

function objectOf({ type, id }: ObjectRef): ObjectRef {
  return { type, id };
}
