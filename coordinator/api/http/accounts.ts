/** The routes of people, logins and personal tokens: decode, one domain call, encode. */
import type {
  CreatedToken,
  CurrentUser,
  Login as LoginAnswer,
  PersonalToken,
  Session,
  User,
  UserWithPassword,
} from "../../../shared/api/account.ts";
import type { accountRoutes } from "../../../shared/api/routes/accounts.ts";
import {
  changeAccount,
  createAccount,
  disableAccount,
  enableAccount,
  findAccount,
  listAccounts,
  resetPassword,
  type StoredAccount,
} from "../../domain/account/accounts.ts";
import {
  changePassword,
  type Login,
  LoginRefusal,
  listSessions,
  logIn,
  logOut,
  refreshLogin,
  revokeSession,
  type StoredSession,
  sessionOf,
} from "../../domain/account/logins.ts";
import { createToken, listTokens, revokeToken, type StoredToken } from "../../domain/account/personal-tokens.ts";
import type { AccountRoom } from "../../domain/account/room.ts";
import { OPERATOR_VIA } from "../../domain/forward/statement.ts";
import { timestamp } from "../encode.ts";
import { byOf, type Caller } from "./access.ts";
import { ownKey, RememberedAnswers } from "./idempotency.ts";
import { refusedAbout } from "./refused.ts";
import { type Handlers, ok } from "./register.ts";

export function accountHandlers(room: AccountRoom): Handlers<keyof typeof accountRoutes> {
  const createdUsers = new RememberedAnswers<UserWithPassword>();
  const createdTokens = new RememberedAnswers<CreatedToken>();
  return {
    logIn: async ({ body, caller }) => ok(encodeLogin(await aboutAccount(logIn(room, body, byOf(caller))))),
    refreshLogin: async ({ body, caller }) => {
      return ok(encodeLogin(await refreshLogin(room, body.refresh_token, byOf(caller))));
    },
    logOut: async ({ body, caller }) => ok({ ended: await logOut(room, byOf(caller), body.everywhere) }),
    changePassword: async ({ body, caller }) => {
      const { current_password: current, new_password: next, end_tokens: endTokens } = body;
      await aboutAccount(changePassword(room, { current, next, endTokens }, byOf(caller)));
      return ok({ changed: true });
    },
    listSessions: async ({ caller }) => {
      const current = sessionOf(caller);
      return ok({ items: (await listSessions(room, byOf(caller))).map((session) => encodeSession(session, current)) });
    },
    revokeSession: async ({ params, caller }) => {
      await revokeSession(room, params.session, byOf(caller));
      return ok({ ended: 1 });
    },

    createToken: async ({ body, caller, idempotency }) => {
      const { name, scopes, expires_in_seconds: seconds } = body;
      const { answer, replayed } = await createdTokens.once(ownKey(idempotency, caller), async () => {
        const { stored, token } = await createToken(room, { name, scopes, lastsMs: seconds * 1000 }, byOf(caller));
        return { ...encodeToken(stored), token };
      });
      return { status: replayed ? 200 : 201, body: answer };
    },
    listTokens: async ({ caller }) => ok({ items: (await listTokens(room, byOf(caller))).map(encodeToken) }),
    revokeToken: async ({ params, caller }) => ok(encodeToken(await revokeToken(room, params.token, byOf(caller)))),

    currentUser: async ({ caller }) => ok(await encodeCaller(room, caller)),
    listUsers: async ({ query }) => {
      const { items, nextCursor } = await listAccounts(room, { limit: query.limit, cursor: query.cursor });
      return ok({ items: items.map(encodeUser), next_cursor: nextCursor });
    },
    createUser: async ({ body, caller, idempotency }) => {
      const { username, display_name: displayName, email, platform_role: role, oidc } = body;
      const password = oidc && body.password === undefined ? null : body.password;
      const { answer, replayed } = await createdUsers.once(ownKey(idempotency, caller), async () => {
        const made = await createAccount(room, { username, displayName, email, role, password, oidc }, byOf(caller));
        return { ...encodeUser(made.account), one_time_password: made.password };
      });
      return { status: replayed ? 200 : 201, body: answer };
    },
    getUser: async ({ params }) => ok(encodeUser(await findAccount(room, params.user))),
    changeUser: async ({ params, body, caller }) => {
      const { display_name: displayName, email, platform_role: role, version = null } = body;
      return ok(
        encodeUser(await changeAccount(room, params.user, { displayName, email, role }, version, byOf(caller))),
      );
    },
    disableUser: async ({ params, caller }) => ok(encodeUser(await disableAccount(room, params.user, byOf(caller)))),
    enableUser: async ({ params, caller }) => ok(encodeUser(await enableAccount(room, params.user, byOf(caller)))),
    resetPassword: async ({ params, caller }) => {
      const { account, password } = await resetPassword(room, params.user, byOf(caller));
      return ok({ ...encodeUser(account), one_time_password: password });
    },
  };
}

/** Lets the audit name the account that somebody tried to enter. */
export async function aboutAccount<T>(attempt: Promise<T>): Promise<T> {
  try {
    return await attempt;
  } catch (error) {
    if (!(error instanceof LoginRefusal) || error.account === undefined) throw error;
    throw refusedAbout(error, "user", String(error.account));
  }
}

async function encodeCaller(room: AccountRoom, caller: Caller): Promise<CurrentUser> {
  const { actor, via } = caller;
  const scopes = caller.scopes && [...caller.scopes];
  if (via === OPERATOR_VIA) {
    const none = { display_name: "holder of the operator's token", email: null, password_must_change: false };
    return {
      id: actor,
      name: "operator",
      kind: "operator_token",
      ...none,
      via,
      scopes,
      platform_role: "administrator",
    };
  }
  const { username, display_name, email, platform_role, password_must_change } = encodeUser(
    await findAccount(room, String(actor)),
  );
  const shown = { display_name, email, platform_role, password_must_change };
  return { id: actor, name: username, kind: "user", via, scopes, ...shown };
}

export function encodeLogin(login: Login): LoginAnswer {
  return {
    session: login.session,
    username: login.username,
    token_type: "Bearer",
    access_token: login.accessToken,
    access_expires_at: timestamp(login.accessExpiresAtMs),
    refresh_token: login.refreshToken,
    refresh_expires_at: timestamp(login.refreshExpiresAtMs),
    password_must_change: login.passwordMustChange,
  };
}

function encodeSession(session: StoredSession, current: number | undefined): Session {
  return {
    id: session.session,
    how: session.how,
    client: session.client,
    address: session.address,
    created_at: timestamp(session.createdAtMs),
    refreshed_at: timestamp(session.refreshedAtMs),
    expires_at: timestamp(session.expiresAtMs),
    current: session.session === current,
  };
}

function encodeToken(token: StoredToken): PersonalToken {
  return {
    id: token.token,
    name: token.name,
    scopes: token.scopes,
    created_at: timestamp(token.createdAtMs),
    expires_at: timestamp(token.expiresAtMs),
    last_used_at: token.lastUsedAtMs === null ? null : timestamp(token.lastUsedAtMs),
    revoked_at: token.revokedAtMs === null ? null : timestamp(token.revokedAtMs),
  };
}

function encodeUser(account: StoredAccount): User {
  return {
    id: account.actor,
    username: account.username,
    display_name: account.displayName,
    email: account.email,
    platform_role: account.role,
    has_password: account.hasPassword,
    password_must_change: account.passwordMustChange,
    identity_provider: account.oidcIssuer,
    disabled_at: account.disabledAtMs === null ? null : timestamp(account.disabledAtMs),
    created_at: timestamp(account.createdAtMs),
    version: account.version,
  };
}
