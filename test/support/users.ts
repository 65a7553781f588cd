/** People for tests: made through the API by the operator, logged in, their one-time password changed. */
import type { Login } from "../../shared/api/account.ts";
import { type Client, createClient } from "../../shared/api/client.ts";

export interface TestUser {
  id: number;
  username: string;
  password: string;
  /** With the login's access token. */
  client: Client;
  login: Login;
}

interface NewTestUser {
  username: string;
  /** Over the whole installation. */
  role?: "administrator" | "operator";
}

/** `at` has the operator's client and where the user is to log in. */
export async function createUser(
  at: { url: string; client: Client },
  { username, role }: NewTestUser,
): Promise<TestUser> {
  const made = await at.client.call("createUser", { body: { username, platform_role: role ?? null } });
  const first = await logIn(at.url, username, made.one_time_password ?? "");
  const password = `a few words of ${username}`;
  await first.client.call("changePassword", {
    body: { current_password: made.one_time_password ?? "", new_password: password },
  });
  return { id: made.id, username, password, ...first };
}

/** A further login. */
export async function logIn(
  url: string,
  username: string,
  password: string,
): Promise<{ client: Client; login: Login }> {
  const body = { username, password, client: "test" };
  const login = await createClient({ server: url }).call("logIn", { body });
  return { login, client: createClient({ server: url, token: login.access_token }) };
}
