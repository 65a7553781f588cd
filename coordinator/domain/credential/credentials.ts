/**
 * Credentials: made, changed, given a new secret, deleted. The vault is written first and the database after it; the
 * place of the secret is reserved before either, so that whatever dies in between loses nothing and leaves nothing behind.
 */
import { AiravataError } from "../../../shared/error/error.ts";
import type { Logger } from "../../../shared/log/log.ts";
import { CREDENTIAL_SECRETS_KEPT, CREDENTIALS_PER_PERSON_MAX } from "../../../shared/model/constants.ts";
import type { BindableType } from "../../../shared/model/credential.ts";
import type { CredentialTieStore } from "../../store/credential-ties.ts";
import type { CredentialChange, CredentialStore, NewCredential, StoredCredential } from "../../store/credentials.ts";
import type { ResourceStore } from "../../store/resources.ts";
import type { SecretPlace, SecretStore } from "../../store/secrets.ts";
import { type AccessControl, numbersOf, type Visible } from "../access/access.ts";
import type { By } from "../access/by.ts";
import type { Listed } from "../experiment/list.ts";
import { type GranteeName, type GrantSources, type Share, share, unshare } from "../share/share.ts";
import { inspectSecret, isExpired } from "./inspect.ts";
import type { SecretKeeper } from "./keeper.ts";
import { credentialNotFound, invalidSecret } from "./refusal.ts";
import type { UseRecorder } from "./uses.ts";

export type { StoredCredential };

export interface CredentialSources {
  credentials: CredentialStore;
  ties: CredentialTieStore;
  secrets: SecretStore;
  keeper: SecretKeeper;
  uses: UseRecorder;
  resources: Record<BindableType, Pick<ResourceStore, "numberOf">>;
  grants: GrantSources;
  access: AccessControl;
  wallMs(): number;
  /** 16 hexadecimal digits that were never given before. */
  random(): string;
  log: Logger;
}

/** Wipes `secret`. Throws `credential_invalid`, `credential_name_taken`, `credentials_too_many`, and what the vault refuses. */
export async function createCredential(
  sources: CredentialSources,
  made: Omit<NewCredential, "facts">,
  secret: Buffer,
  by: By,
): Promise<StoredCredential> {
  const { credentials, access, log } = sources;
  if ((await credentials.countOf(by.actor)) >= CREDENTIALS_PER_PERSON_MAX) {
    secret.fill(0);
    throw new AiravataError(
      "credentials_too_many",
      `you have ${CREDENTIALS_PER_PERSON_MAX} credentials, which is the bound: delete those that nothing needs`,
    );
  }
  const { place, result } = await withSecret(sources, made, null, secret, (place, facts) =>
    credentials.create({ ...made, facts }, place, by),
  );
  if (result === undefined) throw tooSlow();
  // It only gives rights to who made it: while authorization is away he has them later, and has made it once.
  await access.settle(result.relationship).catch((error) => log.debug("a new owner's rights come later", { error }));
  return findCredential(sources, place.credential);
}

/** Newest first. Throws `cursor_invalid`. */
export async function listCredentials(
  { credentials }: CredentialSources,
  query: {
    visible: Visible;
    limit: number;
    cursor: string | undefined;
    name?: string | undefined;
    type?: StoredCredential["type"] | undefined;
    deleted: boolean;
  },
): Promise<Listed<StoredCredential>> {
  const { limit, name = null, type = null, deleted } = query;
  const before = parseCursor(query.cursor);
  const rows = await credentials.list({
    only: numbersOf(query.visible),
    before,
    limit: limit + 1,
    name,
    type,
    deleted,
  });
  const items = rows.slice(0, limit);
  return { items, nextCursor: rows.length > limit ? String(items.at(-1)!.credential) : null };
}

/** Also a deleted one. Throws `credential_not_found`. */
export async function findCredential({ credentials }: CredentialSources, id: number): Promise<StoredCredential> {
  const found = await credentials.find(id);
  if (!found) throw credentialNotFound(id);
  return found;
}

/** One that is not deleted. Throws `credential_not_found`. */
export async function liveCredential(sources: CredentialSources, id: number): Promise<StoredCredential> {
  const found = await findCredential(sources, id);
  if (found.deletedAtMs === null) return found;
  throw new AiravataError("credential_not_found", `credential ${id} was deleted, and its secret destroyed`);
}

/** `version`: only when it still has that one. Throws `credential_not_found`, `credential_changed`, `credential_name_taken`. */
export async function changeCredential(
  sources: CredentialSources,
  id: number,
  change: CredentialChange,
  version: number | null,
  by: By,
): Promise<StoredCredential> {
  const changed = await sources.credentials.change(id, change, version, by);
  const found = await liveCredential(sources, id);
  if (changed) return found;
  throw new AiravataError(
    "credential_changed",
    `credential ${id} has version ${found.version}, not ${version}: somebody changed it meanwhile; look at it again`,
  );
}

/** Wipes `secret`. What was used so far goes on until it is asked for anew. Throws as `createCredential` does. */
export async function rotateCredential(
  sources: CredentialSources,
  id: number,
  secret: Buffer,
  by: By,
): Promise<StoredCredential> {
  const { type } = await liveCredential(sources, id);
  const { result: dropped } = await withSecret(sources, { type }, id, secret, (place, facts) =>
    sources.credentials.rotate(place, facts, CREDENTIAL_SECRETS_KEPT, by),
  );
  const found = await liveCredential(sources, id);
  if (dropped === undefined) {
    throw new AiravataError(
      "credential_changed",
      `credential ${id} was given another secret meanwhile (its number ${found.number}): look at it again`,
    );
  }
  await destroyNow(sources, dropped);
  return found;
}

/** Its secret is destroyed at once, or as soon as the vault is there. Again is no error. Throws `credential_bound`. */
export async function deleteCredential(sources: CredentialSources, id: number, by: By): Promise<StoredCredential> {
  const { credentials, access } = sources;
  const deleted = await credentials.delete(id, by);
  if (!deleted) throw credentialNotFound(id);
  await destroyNow(sources, deleted.paths);
  await access.settle(deleted.relationship);
  return findCredential(sources, id);
}

/** In force when it resolves; `null` takes it away. Throws `user_not_found`, `group_not_found`, `credential_not_found`. */
export async function shareCredential(
  sources: CredentialSources,
  id: number,
  who: GranteeName,
  access: "read" | "write" | null,
  by: By,
): Promise<Share[]> {
  const { project } = await liveCredential(sources, id);
  const thing = { type: "credential", id: String(id), project } as const;
  return access === null ? unshare(sources.grants, thing, who, by) : share(sources.grants, thing, who, access, by);
}

/**
 * Reserves a place, writes the secret there and gives it to `hold`. Whatever fails, the place is given up: what lies
 * there is destroyed sooner or later.
 */
async function withSecret<T>(
  sources: CredentialSources,
  { type }: Pick<NewCredential, "type">,
  credential: number | null,
  secret: Buffer,
  hold: (place: SecretPlace, facts: NewCredential["facts"]) => Promise<T>,
): Promise<{ place: SecretPlace; result: T }> {
  const { secrets, keeper, random, wallMs, log } = sources;
  let place: SecretPlace | undefined;
  let isWritten = false;
  const giveUp = async ({ path }: SecretPlace): Promise<void> => {
    const isAbandoned = await secrets.abandon(path);
    // A vault that failed just now is not asked again: the reconciler does.
    if (isAbandoned && isWritten) await destroyNow(sources, [path]);
  };
  try {
    const facts = inspectSecret(type, secret);
    if (isExpired(facts, wallMs())) throw invalidSecret(`its time ended at ${facts.expires_at}: give one that holds`);
    place = await secrets.reserve(credential, random());
    if (!place) throw credentialNotFound(credential as number);
    await keeper.put(place.path, secret);
    isWritten = true;
    const result = await hold(place, facts);
    if (result === undefined) await giveUp(place);
    return { place, result };
  } catch (error) {
    if (place) await giveUp(place).catch((cause) => log.debug("a place is given up later", { error: cause }));
    throw error;
  } finally {
    secret.fill(0);
  }
}

/** What cannot be destroyed now is by the reconciler: the rows say that it is to be. */
async function destroyNow({ keeper, secrets, log }: CredentialSources, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    try {
      await keeper.destroy(path);
      await secrets.destroyed(path);
    } catch (error) {
      log.warn("a secret could not be destroyed yet; it is tried again", { path, error });
      return;
    }
  }
}

export function parseCursor(cursor: string | undefined): number | null {
  if (cursor === undefined) return null;
  if (/^\d{1,15}$/.test(cursor)) return Number(cursor);
  throw new AiravataError("cursor_invalid", "the cursor is not one of this list; leave it out to begin anew");
}

function tooSlow(): AiravataError {
  return new AiravataError("vault_unreachable", "writing to the vault took so long that it was given up: try again");
}
