/**
 * The registry of compute and storage resources. One of a project is seen by its members and managed by its owners; one of
 * the installation is seen by those it is shared with.
 */
import { AiravataError } from "../../../shared/error/error.ts";
import type { Configuration, NewResource, Registry, ResourceStore, StoredResource } from "../../store/resources.ts";
import { numbersOf, type Visible } from "../access/access.ts";
import type { By } from "../access/by.ts";
import { requireLeading } from "../access/leading.ts";
import type { Listed } from "../experiment/list.ts";
import type { GrantSources, Shared } from "../share/share.ts";
import { checkConfiguration } from "./configuration.ts";

export type { Registry, StoredResource };

export interface ResourceSources extends GrantSources {
  resources: Record<Registry, ResourceStore>;
}

/** By name. */
export async function listResources(
  { resources }: ResourceSources,
  registry: Registry,
  query: { limit: number; cursor: string | undefined; visible: Visible },
): Promise<Listed<StoredResource>> {
  const found = await resources[registry].list(query.cursor ?? "", query.limit + 1, numbersOf(query.visible));
  const items = found.slice(0, query.limit);
  return { items, nextCursor: found.length > query.limit ? items.at(-1)!.name : null };
}

/** By name or number. Throws `resource_not_found`. */
export async function findResource(
  { resources }: ResourceSources,
  registry: Registry,
  name: string,
): Promise<StoredResource> {
  const id = await resources[registry].numberOf(name);
  const stored = id === undefined ? undefined : await resources[registry].find(id);
  if (stored) return stored;
  const what = registry.replace("_", " ");
  throw new AiravataError("resource_not_found", `there is no ${what} ${name.slice(0, 200)}, or you may not see it`);
}

/** Whether the caller may is the API's to check. Throws `resource_name_taken`, `request_invalid`. */
export async function createResource(
  sources: ResourceSources,
  registry: Registry,
  resource: NewResource,
  by: By,
): Promise<StoredResource> {
  requireLeading(sources.dispatcher);
  const { resources, access } = sources;
  checkConfiguration(resource.kind, resource.configuration);
  const created = await resources[registry].create(resource, by);
  await access.settle(created.change);
  return findResource(sources, registry, String(created.id));
}

/** `version`: only when it still has that one. Throws `resource_not_found`, `resource_changed`, `request_invalid`. */
export async function changeResource(
  sources: ResourceSources,
  registry: Registry,
  name: string,
  change: { description: string | undefined; configuration: Configuration | undefined; version: number | null },
  by: By,
): Promise<StoredResource> {
  requireLeading(sources.dispatcher);
  const found = await findResource(sources, registry, name);
  if (change.configuration) checkConfiguration(found.kind, change.configuration);
  const changed = await sources.resources[registry].change(found.id, change, by);
  if (changed) return changed;
  const { version } = await findResource(sources, registry, String(found.id));
  throw new AiravataError(
    "resource_changed",
    `${registry.replace("_", " ")} ${found.name} has version ${version}, not ${change.version}: somebody changed it meanwhile; look at it again`,
  );
}

/** Throws `resource_not_found`, `resource_in_use`. */
export async function deleteResource(
  sources: ResourceSources,
  registry: Registry,
  name: string,
  by: By,
): Promise<StoredResource> {
  requireLeading(sources.dispatcher);
  const found = await findResource(sources, registry, name);
  const removed = await sources.resources[registry].remove(found.id, by);
  if (removed) await sources.access.settle(removed.change);
  return found;
}

export function sharedResource(registry: Registry, { id, project }: StoredResource): Shared {
  return { type: registry, id: String(id), project: project?.id ?? null };
}
