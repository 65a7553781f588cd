/** The answers of the routes of accounts, in an order in which each has something to answer. */
import type { CreatedToken, Login, UserWithPassword } from "../../shared/api/account.ts";
import { API_PREFIX, type RouteId } from "../../shared/api/routes.ts";

/** Asks and keeps the answer; as the operator when no token is given. */
type Call = (id: RouteId, path: string, body?: unknown, token?: string) => Promise<unknown>;

export async function askAccounts(call: Call): Promise<void> {
  const auth = `${API_PREFIX}/auth`;
  const users = `${API_PREFIX}/users`;
  const made = (await call("createUser", users, { username: "ada", email: "ada@example.org" })) as UserWithPassword;
  await call("listUsers", `${users}?limit=1`);
  await call("getUser", `${users}/ada`);
  await call("changeUser", `${users}/ada`, { display_name: "Ada", platform_role: "operator" });
  await call("disableUser", `${users}/ada/disable`);
  await call("enableUser", `${users}/ada/enable`);
  const password = made.one_time_password ?? "";
  const login = (await call("logIn", `${auth}/login`, { username: "ada", password })) as Login;
  const token = login.access_token;
  await call(
    "changePassword",
    `${auth}/password`,
    { current_password: password, new_password: "a few words more" },
    token,
  );
  await call("refreshLogin", `${auth}/refresh`, { refresh_token: login.refresh_token });
  await call("listSessions", `${auth}/sessions`, undefined, token);
  const personal = (await call(
    "createToken",
    `${auth}/tokens`,
    { name: "ci", scopes: ["read"] },
    token,
  )) as CreatedToken;
  await call("listTokens", `${auth}/tokens`, undefined, token);
  await call("revokeToken", `${auth}/tokens/${personal.id}`, undefined, token);
  const other = (await call("logIn", `${auth}/login`, { username: "ada", password: "a few words more" })) as Login;
  await call("revokeSession", `${auth}/sessions/${other.session}`, undefined, token);
  await call("currentUser", `${API_PREFIX}/user`, undefined, token);
  await call("logOut", `${auth}/logout`, {}, token);
  await call("resetPassword", `${users}/ada/reset-password`);
}
