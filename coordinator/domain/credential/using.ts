/** Secrets at work: tested by whoever may see them, and used by the parts that speak with resources. */
import { AiravataError } from "../../../shared/error/error.ts";
import type { CredentialType } from "../../../shared/model/credential.ts";
import type { ActorId } from "../../../shared/model/ids.ts";
import type { ResourceRef, StoredUse } from "../../store/credential-ties.ts";
import type { By } from "../access/by.ts";
import type { Listed } from "../experiment/list.ts";
import { type CredentialSources, liveCredential, parseCursor, type StoredCredential } from "./credentials.ts";
import { inspectSecret, isExpired } from "./inspect.ts";

export type { StoredUse };

export interface TestStep {
  /** `vault`, `form`, `time`. */
  step: string;
  ok: boolean;
  detail: string;
}

/**
 * Reads the secret from the vault itself and looks at it; nothing is connected to. Throws what the vault refuses when it
 * cannot be asked at all.
 */
export async function testCredential(sources: CredentialSources, id: number, by: By): Promise<TestStep[]> {
  const { keeper, secrets, uses, wallMs } = sources;
  const { type } = await liveCredential(sources, id);
  const place = await secrets.placeOf(id);
  if (!place) throw noSecret(id);
  uses.add({ credential: id, number: place.number, actor: by.actor, purpose: "test", resource: null });
  const steps: TestStep[] = [];
  let secret: Buffer | undefined;
  try {
    secret = await keeper.read(place.path);
    steps.push({ step: "vault", ok: true, detail: `secret ${place.number} was read and opened` });
    const facts = inspectSecret(type, secret);
    steps.push({ step: "form", ok: true, detail: formOf(type) });
    if (facts.expires_at !== undefined) {
      const ok = !isExpired(facts, wallMs());
      steps.push({ step: "time", ok, detail: `${ok ? "holds until" : "ended at"} ${facts.expires_at}` });
    }
  } catch (error) {
    if (!(error instanceof AiravataError)) throw error;
    const step = { secret_damaged: "vault", secret_missing: "vault", credential_invalid: "form" }[error.code as string];
    if (step === undefined) throw error;
    steps.push({ step, ok: false, detail: error.message });
  } finally {
    secret?.fill(0);
  }
  return steps;
}

/**
 * Gives the secret of the credential of that type that a resource is bound to: `work` gets a copy that is wiped after it.
 * Goes on from memory for `SECRET_CACHE_MS` when the vault is away. Throws `credential_not_found`, and what the vault refuses.
 */
export async function useBound<T>(
  sources: CredentialSources,
  resource: ResourceRef,
  type: CredentialType,
  { actor, purpose }: { actor: ActorId; purpose: string },
  work: (secret: Buffer, credential: StoredCredential) => Promise<T>,
): Promise<T> {
  for (const id of await sources.ties.boundTo(resource)) {
    const credential = await sources.credentials.find(id);
    const place = await sources.secrets.placeOf(id);
    if (credential?.type !== type || !place) continue;
    return sources.keeper.use(place.path, (secret) => {
      sources.uses.add({ credential: id, number: place.number, actor, purpose, resource });
      return work(secret, credential);
    });
  }
  throw new AiravataError(
    "credential_not_found",
    `${resource.type.replace("_", " ")} ${resource.id} has no credential of type ${type} bound to it: bind one`,
  );
}

/** Newest first; also of a deleted one. Throws `cursor_invalid`. */
export async function listUses(
  { ties, uses }: CredentialSources,
  id: number,
  query: { limit: number; cursor: string | undefined },
): Promise<Listed<StoredUse>> {
  // Who looks right after a use finds it.
  await uses.flush();
  const rows = await ties.uses(id, parseCursor(query.cursor), query.limit + 1);
  const items = rows.slice(0, query.limit);
  return { items, nextCursor: rows.length > query.limit ? String(items.at(-1)!.use) : null };
}

function formOf(type: CredentialType): string {
  if (type === "SSH_KEY") return "it is a private key, and signs what its public half verifies";
  if (type === "CERTIFICATE") return "it is a certificate, and a private key beside it fits";
  return "it is there; whether a server takes it was not tried";
}

function noSecret(id: number): AiravataError {
  return new AiravataError("secret_missing", `credential ${id} has no secret in the vault: give it one with rotate`);
}
