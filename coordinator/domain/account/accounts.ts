/**
 * People: made and changed by administrators, disabled and never deleted, because history names them. Whatever takes
 * access away holds for every session and token before it is answered.
 */
import { AiravataError } from "../../../shared/error/error.ts";
import { type ActorId, SYSTEM_ACTOR } from "../../../shared/model/ids.ts";
import type { AccountChange, AccountStore, PlatformRole, StoredAccount } from "../../store/accounts.ts";
import type { AccessControl } from "../access/access.ts";
import type { By } from "../access/by.ts";
import { checkPasswordRules, hashPassword, oneTimePassword } from "./password.ts";
import type { Recognition } from "./recognize.ts";

export type { StoredAccount };

export interface AccountSources {
  accounts: AccountStore;
  access: AccessControl;
  recognition: Recognition;
  /** Throws `not_leading`: who does not lead must not change what only it could tell its memory. */
  checkLeads(): void;
}

export interface NewUser {
  username: string;
  displayName?: string | undefined;
  email?: string | null | undefined;
  role?: PlatformRole | null | undefined;
  /** Absent: one is made, good for one login. Null: none; for who logs in by an identity provider. */
  password?: string | null | undefined;
  oidc?: { issuer: string; subject: string } | undefined;
}

/** The password, when one was made, is in this answer and nowhere else. Throws `username_taken`, `password_refused`. */
export async function createAccount(
  sources: AccountSources,
  user: NewUser,
  by: By,
): Promise<{ account: StoredAccount; password: string | null }> {
  sources.checkLeads();
  const { username, displayName = "", email = null, role = null, oidc } = user;
  if (typeof user.password === "string") checkPasswordRules(user.password, username);
  const made = user.password === undefined ? oneTimePassword() : null;
  const password = made ?? user.password ?? null;
  const stored = await sources.accounts.create(
    {
      username,
      displayName,
      email,
      role,
      oidc,
      password: password === null ? null : await hashPassword(password),
      // Whoever gave it knows it.
      passwordMustChange: password !== null,
    },
    by,
  );
  // Without a role nothing is to come into force: people get in also while authorization is away.
  if (stored.relationship > 0) await sources.access.settle(stored.relationship);
  return { account: stored.account, password: made };
}

/** The first administrator's username. */
const FIRST_USERNAME = "admin";

/** When there is no account at all. `withPassword` false: one without, whose password the operator sets when it is wanted. */
export async function createFirstAdministrator(
  accounts: AccountStore,
  withPassword: boolean,
): Promise<{ username: string; password: string | null } | undefined> {
  if ((await accounts.list(SYSTEM_ACTOR, 1)).length > 0) return undefined;
  const password = withPassword ? oneTimePassword() : null;
  const made = await accounts.createFirst({
    username: FIRST_USERNAME,
    displayName: "Administrator",
    email: null,
    password: password === null ? null : await hashPassword(password),
    passwordMustChange: password !== null,
    role: "administrator",
  });
  return made && { username: FIRST_USERNAME, password };
}

/** By number, or by username. Throws `user_not_found`. */
export async function findAccount(
  { accounts }: Pick<AccountSources, "accounts">,
  which: string,
): Promise<StoredAccount> {
  const account = await accounts.find(/^\d{1,15}$/.test(which) ? Number(which) : which.toLowerCase());
  if (account) return account;
  throw new AiravataError("user_not_found", `there is no user "${which.slice(0, 100)}"`);
}

/** By number. */
export async function listAccounts(
  { accounts }: Pick<AccountSources, "accounts">,
  { limit, cursor }: { limit: number; cursor: string | undefined },
): Promise<{ items: StoredAccount[]; nextCursor: string | null }> {
  if (cursor !== undefined && !/^\d{1,15}$/.test(cursor)) {
    throw new AiravataError(
      "cursor_invalid",
      "the cursor is not one of this list: take next_cursor of the page before",
    );
  }
  const items = await accounts.list(Number(cursor ?? 0), limit);
  return { items, nextCursor: items.length === limit ? String(items.at(-1)?.actor) : null };
}

/** `version`: only when it still has that one. Throws `user_not_found`, `user_changed`, `user_state_conflict`. */
export async function changeAccount(
  sources: AccountSources,
  which: string,
  change: AccountChange,
  version: number | null,
  by: By,
): Promise<StoredAccount> {
  sources.checkLeads();
  const found = await findAccount(sources, which);
  if (change.role !== undefined && change.role !== found.role) refuseSelf(found, by, "change his own role");
  const changed = await sources.accounts.change(found.actor, change, version, by);
  if (changed) {
    await sources.access.settle(changed.relationship);
    return changed.account;
  }
  const now = await findAccount(sources, which);
  throw new AiravataError(
    "user_changed",
    `user ${now.username} has version ${now.version}, not ${version}: somebody changed it meanwhile; look at it again`,
  );
}

/** Ends all of his sessions and tokens at once. Throws `user_not_found`, `user_state_conflict`. */
export async function disableAccount(sources: AccountSources, which: string, by: By): Promise<StoredAccount> {
  return setDisabled(sources, which, true, by);
}

/** Sessions and tokens of before stay ended. Throws `user_not_found`. */
export async function enableAccount(sources: AccountSources, which: string, by: By): Promise<StoredAccount> {
  return setDisabled(sources, which, false, by);
}

/** A new one-time password, in this answer and nowhere else; his sessions and tokens end. Throws `user_not_found`. */
export async function resetPassword(
  sources: AccountSources,
  which: string,
  by: By,
): Promise<{ account: StoredAccount; password: string }> {
  sources.checkLeads();
  const { actor } = await findAccount(sources, which);
  const password = oneTimePassword();
  const change = { phc: await hashPassword(password), mustChange: true, endTokens: true, only: null };
  const account = await sources.accounts.setPassword(actor, change, "user.reset_password", by);
  sources.recognition.forgetActor(actor);
  return { account: account as StoredAccount, password };
}

async function setDisabled(sources: AccountSources, which: string, disabled: boolean, by: By): Promise<StoredAccount> {
  sources.checkLeads();
  const found = await findAccount(sources, which);
  if (disabled) refuseSelf(found, by, "disable himself");
  const changed = await sources.accounts.setDisabled(found.actor, disabled, by);
  sources.recognition.forgetActor(found.actor);
  return changed ?? findAccount(sources, String(found.actor));
}

/** So that an installation is never left without the administrator who is at it. */
function refuseSelf(account: StoredAccount, by: By, what: string): void {
  if (account.actor !== (by.actor as ActorId)) return;
  throw new AiravataError("user_state_conflict", `nobody can ${what}: ask another administrator`);
}
