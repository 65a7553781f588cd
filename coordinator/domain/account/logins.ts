/**
 * Logging in, staying so, leaving. A login is a session with short access tokens and one refresh token that changes with
 * each use: one that is used a second time ends the session, since somebody else has it. The very last one may be used
 * again for a few seconds and gives the same successor, because an answer may be lost and two programs of one person may
 * refresh at once: so a session never has two good refresh tokens, and a thief who comes later is still found out.
 */
import { randomBytes } from "node:crypto";
import { AiravataError } from "../../../shared/error/error.ts";
import type { Logger } from "../../../shared/log/log.ts";
import {
  ONE_TIME_PASSWORD_TTL_MS,
  REFRESH_GRACE_MS,
  SESSIONS_PER_ACCOUNT_MAX,
} from "../../../shared/model/constants.ts";
import type { ActorId } from "../../../shared/model/ids.ts";
import type { StoredAccount } from "../../store/accounts.ts";
import type { LoginHow, LoginStore, StoredSession } from "../../store/logins.ts";
import type { By } from "../access/by.ts";
import type { AccessTokens } from "./access-token.ts";
import type { AccountSources } from "./accounts.ts";
import { checkPassword, checkPasswordRules, hashPassword, isOutdated } from "./password.ts";
import { newRefreshToken, secretHash, successorOf } from "./secret.ts";
import type { LoginThrottle } from "./throttle.ts";

export type { StoredSession };

export interface LoginSources extends AccountSources {
  logins: LoginStore;
  accessTokens: AccessTokens;
  throttle: LoginThrottle;
  accessTtlMs: number;
  refreshTtlMs: number;
  log: Logger;
}

/** What a client keeps. */
export interface Login {
  session: number;
  username: string;
  accessToken: string;
  accessExpiresAtMs: number;
  refreshToken: string;
  refreshExpiresAtMs: number;
  /** Until then it may do nothing else. */
  passwordMustChange: boolean;
}

/** Names the account for the audit; the answer does not tell whether there is one. */
export class LoginRefusal extends AiravataError {
  readonly account: ActorId | undefined;

  constructor(code: "login_refused" | "account_disabled", message: string, account: ActorId | undefined) {
    super(code, message);
    this.account = account;
  }
}

const DAY_MS = 86_400_000;
const NOT_RIGHT = "the username or the password is not right";

/** Throws `login_refused`, `account_disabled`, `too_many_attempts`, `coordinator_busy`. */
export async function logIn(
  sources: LoginSources,
  { username, password, client }: { username: string; password: string; client: string },
  by: By,
): Promise<Login> {
  const { accounts, throttle } = sources;
  sources.checkLeads();
  const name = username.toLowerCase();
  throttle.begin(name, by.address);
  const account = await accounts.find(name);
  const stored = account && (await accounts.password(account.actor));
  if (!(await checkPassword(password, stored?.phc ?? null)) || !account || !stored) {
    throw new LoginRefusal("login_refused", NOT_RIGHT, account?.actor);
  }
  throttle.succeeded(name, by.address);
  const { phc, setAt: passwordSetAt, oneTimeAgeMs } = stored;
  if (oneTimeAgeMs !== null && oneTimeAgeMs > ONE_TIME_PASSWORD_TTL_MS) {
    const text = `this one-time password is older than ${ONE_TIME_PASSWORD_TTL_MS / DAY_MS} days: ask for a new one`;
    throw new LoginRefusal("login_refused", text, account.actor);
  }
  if (isOutdated(phc)) await accounts.rehash(account.actor, phc, await hashPassword(password));
  return openSession(sources, account, { how: "password", client, passwordSetAt }, by);
}

/** For whoever has proven who he is. Throws `account_disabled`, and `login_refused` when that password was changed since. */
export async function openSession(
  sources: LoginSources,
  account: Pick<StoredAccount, "actor" | "username" | "passwordMustChange">,
  { how, client, passwordSetAt = null }: { how: LoginHow; client: string; passwordSetAt?: string | null },
  by: By,
): Promise<Login> {
  sources.checkLeads();
  const { logins, recognition, refreshTtlMs: ttlMs } = sources;
  const refreshToken = newRefreshToken();
  const session = { actor: account.actor, how, client, refreshHash: secretHash(refreshToken), ttlMs, passwordSetAt };
  const opened = await logins.open(session, SESSIONS_PER_ACCOUNT_MAX, by);
  if (opened.kind === "stale") throw new LoginRefusal("login_refused", NOT_RIGHT, account.actor);
  if (opened.kind === "disabled") {
    const text = `the account ${account.username} is disabled: ask an administrator`;
    throw new LoginRefusal("account_disabled", text, account.actor);
  }
  for (const ended of opened.ended) recognition.forgetActor(account.actor, ended);
  const refreshExpiresAtMs = Date.now() + ttlMs;
  return loginOf(sources, { session: opened.session, ...account }, refreshToken, refreshExpiresAtMs);
}

/** Throws `refresh_token_invalid`. */
export async function refreshLogin(sources: LoginSources, refreshToken: string, by: By): Promise<Login> {
  sources.checkLeads();
  const successor = (nonce: Buffer): Buffer => secretHash(successorOf(refreshToken, nonce));
  const times = { ttlMs: sources.refreshTtlMs, graceMs: REFRESH_GRACE_MS };
  const hash = secretHash(refreshToken);
  const refreshed = await sources.logins.refresh(hash, randomBytes(32), successor, times, by);
  if (refreshed.kind === "unknown") {
    throw new AiravataError("refresh_token_invalid", "the login has run out or was ended; log in again");
  }
  if (refreshed.kind === "reused") {
    const { session, actor } = refreshed;
    sources.recognition.forgetActor(actor, session);
    sources.log.warn("a used refresh token came again: the session is ended, since somebody else has a copy", {
      session,
      actor,
      client: by.address,
    });
    throw new AiravataError(
      "refresh_token_invalid",
      "this refresh token was used before, so somebody else may have a copy: the login is ended; log in again",
    );
  }
  const { session, live, nonce, expiresAtMs } = refreshed;
  return loginOf(sources, { session, ...live }, successorOf(refreshToken, nonce), expiresAtMs);
}

/** Ends the caller's own sessions: the one that he calls with, or all. The number ended. */
export async function logOut(sources: LoginSources, by: By, everywhere: boolean): Promise<number> {
  sources.checkLeads();
  const session = everywhere ? null : requireSession(by);
  return (await endSessions(sources, by, session, "logout")).length;
}

/** Ends one of the caller's own. Throws `session_not_found`. */
export async function revokeSession(sources: LoginSources, session: number, by: By): Promise<void> {
  sources.checkLeads();
  if ((await endSessions(sources, by, session, "revoked")).length > 0) return;
  throw new AiravataError("session_not_found", `you have no session ${session}, or it has ended already`);
}

/** The caller's own, newest first. */
export function listSessions({ logins }: LoginSources, by: By): Promise<StoredSession[]> {
  return logins.list(by.actor);
}

/**
 * His other sessions end, and with `endTokens` his personal tokens. Throws `login_refused` for a wrong present one,
 * `password_refused`, `too_many_attempts`, and `user_state_conflict` when his session or the password changed meanwhile.
 */
export async function changePassword(
  sources: LoginSources,
  { current, next, endTokens }: { current: string; next: string; endTokens: boolean },
  by: By,
): Promise<void> {
  const { accounts, throttle } = sources;
  sources.checkLeads();
  const keep = requireSession(by);
  const account = await accounts.find(by.actor);
  if (!account) throw new AiravataError("user_not_found", "there is no account for this login any more");
  throttle.begin(account.username, by.address);
  const stored = await accounts.password(account.actor);
  if (!(await checkPassword(current, stored?.phc ?? null)) || !stored) {
    throw new LoginRefusal("login_refused", "the present password is not right", account.actor);
  }
  throttle.succeeded(account.username, by.address);
  checkPasswordRules(next, account.username);
  if (next === current) throw new AiravataError("password_refused", "the password is the one that you have");
  const change = { phc: await hashPassword(next), mustChange: false, endTokens, only: { setAt: stored.setAt, keep } };
  if (!(await accounts.setPassword(account.actor, change, "auth.password", by))) {
    throw new AiravataError(
      "user_state_conflict",
      "the password was changed or this login was ended meanwhile: nothing is changed; log in again",
    );
  }
  sources.recognition.forgetActor(account.actor);
}

/** The number of the session by which somebody came in; undefined when it was by a token. */
export function sessionOf({ via }: Pick<By, "via">): number | undefined {
  const match = /^session (\d{1,15})$/.exec(via);
  return match ? Number(match[1]) : undefined;
}

/** Its number. Throws `session_required`. */
export function requireSession(by: By): number {
  const session = sessionOf(by);
  if (session !== undefined) return session;
  throw new AiravataError("session_required", "this needs a login, not a token");
}

async function endSessions(
  { logins, recognition }: LoginSources,
  by: By,
  session: number | null,
  because: "logout" | "revoked",
): Promise<number[]> {
  const ended = await logins.revoke(by.actor, session, because, by);
  recognition.forgetActor(by.actor, session);
  return ended;
}

async function loginOf(
  { accessTokens, accessTtlMs }: LoginSources,
  who: { session: number; actor: ActorId; username: string; passwordMustChange: boolean },
  refreshToken: string,
  refreshExpiresAtMs: number,
): Promise<Login> {
  const { session, username, passwordMustChange } = who;
  const accessExpiresAtMs = Date.now() + accessTtlMs;
  const accessToken = await accessTokens.sign(who);
  return { session, username, accessToken, accessExpiresAtMs, refreshToken, refreshExpiresAtMs, passwordMustChange };
}
