/** The routes of credentials: decode, one domain call, encode. What comes as a secret leaves this room as bytes that are wiped. */
import type { Credential, CredentialBindings, CredentialUse } from "../../../shared/api/credential.ts";
import type { RouteId } from "../../../shared/api/routes.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import type { ProjectId } from "../../../shared/model/ids.ts";
import type { AuditLog } from "../../domain/audit/query.ts";
import {
  type Binding,
  bindCredential,
  findResource,
  listBindings,
  type ResourceRef,
  unbindCredential,
} from "../../domain/credential/binding.ts";
import {
  type CredentialSources,
  changeCredential,
  createCredential,
  deleteCredential,
  findCredential,
  listCredentials,
  rotateCredential,
  type StoredCredential,
  shareCredential,
} from "../../domain/credential/credentials.ts";
import { listUses, type StoredUse, testCredential } from "../../domain/credential/using.ts";
import { rotateVaultKey } from "../../domain/credential/vault-key.ts";
import { listShares } from "../../domain/share/share.ts";
import { timestamp, timestampOrNull } from "../encode.ts";
import { byOf } from "./access.ts";
import { encodeShares, granteeName } from "./grants.ts";
import { ownKey, RememberedAnswers } from "./idempotency.ts";
import { type Handlers, ok } from "./register.ts";

type CredentialRoutes = Extract<
  RouteId,
  `${string}Credential${string}` | "credentialUsage" | "getVault" | "rotateVaultKey"
>;

export function credentialHandlers(
  sources: CredentialSources & { projectNumber(name: string): Promise<ProjectId | undefined>; audit: AuditLog },
): Handlers<CredentialRoutes> {
  const { keeper } = sources;
  const created = new RememberedAnswers<Credential>();
  return {
    createCredential: async ({ body, caller, permit, idempotency }) => {
      const { name, type, description, username } = body;
      const project = body.project === undefined ? null : await sources.projectNumber(body.project);
      if (project === undefined) throw noProject(body.project);
      if (project !== null) await permit.require("project", project, "submit", body.project);
      const { answer, replayed } = await created.once(ownKey(idempotency, caller), async () => {
        const made = { name, type, description, username, project };
        return encode(await createCredential(sources, made, bytesOf(body.secret), byOf(caller)));
      });
      return { status: replayed ? 200 : 201, body: answer };
    },
    listCredentials: async ({ query, permit }) => {
      const { limit, cursor, name, type } = query;
      const visible = await permit.visible();
      const deleted = query.deleted === "true";
      const page = await listCredentials(sources, { visible, limit, cursor, name, type, deleted });
      return ok({ items: page.items.map(encode), next_cursor: page.nextCursor });
    },
    getCredential: async ({ params }) => ok(encode(await findCredential(sources, params.credential))),
    changeCredential: async ({ params, body: { version, ...change }, caller }) => {
      return ok(encode(await changeCredential(sources, params.credential, change, version ?? null, byOf(caller))));
    },
    deleteCredential: async ({ params, caller }) => {
      return ok(encode(await deleteCredential(sources, params.credential, byOf(caller))));
    },
    rotateCredential: async ({ params, body, caller }) => {
      return ok(encode(await rotateCredential(sources, params.credential, bytesOf(body.secret), byOf(caller))));
    },
    testCredential: async ({ params, caller }) => {
      const steps = await testCredential(sources, params.credential, byOf(caller));
      return ok({ ok: steps.every((step) => step.ok), steps });
    },
    listCredentialShares: async ({ params }) => {
      const thing = { type: "credential", id: String(params.credential) };
      return ok(encodeShares(await listShares(sources.grants, thing)));
    },
    shareCredential: async ({ params, body, caller }) => {
      const who = granteeName(body);
      return ok(encodeShares(await shareCredential(sources, params.credential, who, body.access, byOf(caller))));
    },
    unshareCredential: async ({ params, query, caller }) => {
      const who = granteeName(query);
      return ok(encodeShares(await shareCredential(sources, params.credential, who, null, byOf(caller))));
    },
    listCredentialBindings: async ({ params }) => ok(encodeBindings(await listBindings(sources, params.credential))),
    bindCredential: async ({ params, body, caller, permit }) => {
      const resource = await findResource(sources, body);
      await permit.require(resource.type, resource.id, "write", resource.named);
      return ok(encodeBindings(await bindCredential(sources, params.credential, resource, byOf(caller))));
    },
    unbindCredential: async ({ params, query, caller, permit }) => {
      const { credential } = params;
      const resource = await findResource(sources, query).catch((error: unknown) => error as Error);
      const ofResource = !(resource instanceof Error) && (await permit.may(resource.type, resource.id, "write"));
      if (!ofResource) {
        // Nobody else's resource keeps a credential from whom it belongs to; what it is not bound to he may not learn here.
        await permit.require("credential", credential, "manage");
        if (resource instanceof Error) throw resource;
        const isBound = (await listBindings(sources, credential)).some((binding) => isOf(binding, resource));
        if (!isBound) await permit.require(resource.type, resource.id, "read", resource.named);
      }
      const left = await unbindCredential(sources, credential, resource, byOf(caller));
      // Who may change the resource need not be shown what else the credential is for.
      return ok(encodeBindings((await permit.may("credential", credential, "read")) ? left : []));
    },
    credentialUsage: async ({ params, query }) => {
      const page = await listUses(sources, params.credential, query);
      return ok({ items: page.items.map(encodeUse), next_cursor: page.nextCursor });
    },
    getVault: async () => {
      const { state, sentence } = await keeper.status();
      return ok({ kind: keeper.vault.kind, place: keeper.vault.place, state, detail: sentence });
    },
    rotateVaultKey: async ({ caller }) => ok({ key: await rotateVaultKey(sources, byOf(caller)) }),
  };
}

function isOf({ resource }: Binding, { type, id }: ResourceRef): boolean {
  return resource.type === type && resource.id === id;
}

function bytesOf(secret: string): Buffer {
  return Buffer.from(secret, "base64");
}

/** The words for one that may not be seen. */
function noProject(name = ""): AiravataError {
  return new AiravataError("project_not_found", `there is no project ${name}, or you may not see it`);
}

function encode(stored: StoredCredential): Credential {
  return {
    id: stored.credential,
    name: stored.name,
    type: stored.type,
    description: stored.description,
    username: stored.username,
    owner: { id: stored.owner, name: stored.ownerName },
    project: stored.projectName,
    facts: stored.facts,
    secret_number: stored.number,
    version: stored.version,
    created_at: timestamp(stored.createdAtMs),
    rotated_at: timestamp(stored.rotatedAtMs),
    last_used_at: timestampOrNull(stored.lastUsedAtMs),
    deleted_at: timestampOrNull(stored.deletedAtMs),
  };
}

function encodeBindings(bindings: Binding[]): CredentialBindings {
  return { items: bindings.map(({ resource, createdAtMs }) => ({ resource, created_at: timestamp(createdAtMs) })) };
}

function encodeUse(use: StoredUse): CredentialUse {
  return {
    at: timestamp(use.atMs),
    times: use.times,
    by: { id: use.actor, name: use.actorName },
    purpose: use.purpose,
    resource: use.resource,
    secret_number: use.number,
  };
}
