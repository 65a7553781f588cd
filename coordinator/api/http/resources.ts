/** The routes of compute and storage resources, the same for both: decode, one domain call, encode. */
import type { Resource } from "../../../shared/api/resource.ts";
import type { RouteId } from "../../../shared/api/routes.ts";
import {
  changeResource,
  createResource,
  deleteResource,
  findResource,
  listResources,
  type Registry,
  type ResourceSources,
  type StoredResource,
  sharedResource,
} from "../../domain/resource/resources.ts";
import { listShares, share, unshare } from "../../domain/share/share.ts";
import { timestamp } from "../encode.ts";
import { byOf } from "./access.ts";
import { encodeShares, granteeName } from "./grants.ts";
import { type Call, type Handlers, ok } from "./register.ts";

type Both<Verb extends string, Noun extends string = "Resource"> = Extract<
  RouteId,
  `${Verb}Compute${Noun}` | `${Verb}Storage${Noun}`
>;
type ResourceRoutes =
  | Both<"list", "Resources" | "Shares">
  | Both<"create" | "get" | "change" | "delete" | "share" | "unshare">;

export function resourceHandlers(sources: ResourceSources): Handlers<ResourceRoutes> {
  const compute = handlersOf(sources, "compute_resource");
  const storage = handlersOf(sources, "storage_resource");
  return {
    listComputeResources: compute.list,
    createComputeResource: compute.create,
    getComputeResource: compute.get,
    changeComputeResource: compute.change,
    deleteComputeResource: compute.remove,
    listComputeShares: compute.shares,
    shareComputeResource: compute.share,
    unshareComputeResource: compute.unshare,
    listStorageResources: storage.list,
    createStorageResource: storage.create,
    getStorageResource: storage.get,
    changeStorageResource: storage.change,
    deleteStorageResource: storage.remove,
    listStorageShares: storage.shares,
    shareStorageResource: storage.share,
    unshareStorageResource: storage.unshare,
  };
}

function handlersOf(sources: ResourceSources, registry: Registry) {
  const find = (params: { resource: string }) => findResource(sources, registry, params.resource);
  const shared = async (params: { resource: string }) => sharedResource(registry, await find(params));
  return {
    list: async ({ query, permit }: Call<Both<"list", "Resources">>) => {
      const { limit, cursor } = query;
      const page = await listResources(sources, registry, { limit, cursor, visible: await permit.visible() });
      return ok({ items: page.items.map(encodeResource), next_cursor: page.nextCursor });
    },
    create: async ({ body, caller, permit }: Call<Both<"create">>) => {
      if (body.project === undefined) await permit.require("platform", "main", "operate");
      const project = body.project === undefined ? null : await permit.project(body.project, "operate");
      const made = await createResource(sources, registry, { ...body, project }, byOf(caller));
      return { status: 201, body: encodeResource(made) };
    },
    get: async ({ params }: Call<Both<"get">>) => ok(encodeResource(await find(params))),
    change: async ({ params, body, caller }: Call<Both<"change">>) => {
      const { description, configuration, version = null } = body;
      const change = { description, configuration, version };
      return ok(encodeResource(await changeResource(sources, registry, params.resource, change, byOf(caller))));
    },
    remove: async ({ params, caller }: Call<Both<"delete">>) => {
      return ok(encodeResource(await deleteResource(sources, registry, params.resource, byOf(caller))));
    },
    shares: async ({ params }: Call<Both<"list", "Shares">>) => {
      return ok(encodeShares(await listShares(sources, await shared(params))));
    },
    share: async ({ params, body, caller }: Call<Both<"share">>) => {
      const to = granteeName(body);
      return ok(encodeShares(await share(sources, await shared(params), to, body.access, byOf(caller))));
    },
    unshare: async ({ params, query, caller }: Call<Both<"unshare">>) => {
      return ok(encodeShares(await unshare(sources, await shared(params), granteeName(query), byOf(caller))));
    },
  };
}

function encodeResource({
  id,
  name,
  kind,
  project,
  description,
  configuration,
  version,
  createdAtMs,
}: StoredResource): Resource {
  const kindName = kind as Resource["kind"];
  const created_at = timestamp(createdAtMs);
  return { id, name, kind: kindName, project: project?.name ?? null, description, configuration, version, created_at };
}
