/** What a credential is bound to. Doing it again changes nothing and is no error. */
import { AiravataError } from "../../../shared/error/error.ts";
import type { BindableType } from "../../../shared/model/credential.ts";
import type { Binding, ResourceRef } from "../../store/credential-ties.ts";
import type { By } from "../access/by.ts";
import type { CredentialSources } from "./credentials.ts";
import { credentialNotFound } from "./refusal.ts";

export type { Binding, ResourceRef };

/** A resource by its name or number. Throws `resource_not_found`, in the words for one that may not be seen. */
export async function findResource(
  { resources }: CredentialSources,
  { compute_resource: compute, storage_resource: storage }: Partial<Record<BindableType, string | undefined>>,
): Promise<ResourceRef & { named: string }> {
  if ((compute === undefined) === (storage === undefined)) {
    throw new AiravataError("request_invalid", "name one of `compute_resource` and `storage_resource`");
  }
  const type = compute === undefined ? "storage_resource" : "compute_resource";
  const name = (compute ?? storage) as string;
  const id = await resources[type].numberOf(name);
  if (id !== undefined) return { type, id, named: name };
  throw new AiravataError("resource_not_found", `there is no ${type.replace("_", " ")} ${name}, or you may not see it`);
}

/** That the caller may change the resource was asked before. Throws `credential_not_found`, `resource_not_found`. */
export async function bindCredential(
  { ties }: CredentialSources,
  id: number,
  resource: ResourceRef,
  by: By,
): Promise<Binding[]> {
  if (!(await ties.bind(id, resource, by))) throw credentialNotFound(id);
  return ties.bindings(id);
}

/** What uses it now goes on until it asks again. */
export async function unbindCredential(
  { ties }: CredentialSources,
  id: number,
  resource: ResourceRef,
  by: By,
): Promise<Binding[]> {
  await ties.unbind(id, resource, by);
  return ties.bindings(id);
}

export async function listBindings({ ties }: CredentialSources, id: number): Promise<Binding[]> {
  return ties.bindings(id);
}
