/** Logins on a real coordinator: what ends them, that the end holds at once, and what a refresh token is good for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient } from "../../../shared/api/client.ts";
import { startTestCoordinator } from "../../support/coordinator.ts";
import { rowsOf } from "../../support/postgres.ts";
import { createUser, logIn } from "../../support/users.ts";

test("a user is made, logs in once with the one-time password, and may do nothing before it is changed", async (t) => {
  const at = await startTestCoordinator(t);
  const made = await at.client.call("createUser", { body: { username: "ada", display_name: "Ada" } });
  assert.match(made.one_time_password ?? "", /^([a-z2-9]{5}-){3}[a-z2-9]{5}$/);
  const { client, login } = await logIn(at.url, "Ada", made.one_time_password ?? "");
  assert.equal(login.password_must_change, true);
  const me = await client.call("currentUser", {});
  assert.equal(me.name, "ada");
  assert.equal(me.password_must_change, true);
  for (const id of ["listExperiments", "listSessions", "listTokens"] as const) {
    await assert.rejects(client.call(id, {}), { code: "password_change_required" }, id);
  }
  const change = (current: string, next: string) =>
    client.call("changePassword", { body: { current_password: current, new_password: next } });
  await assert.rejects(change("wrong", "a long enough one"), { code: "login_refused" });
  await assert.rejects(change(made.one_time_password ?? "", "short"), { code: "password_refused", status: 422 });
  await change(made.one_time_password ?? "", "horses and batteries");
  assert.equal((await client.call("currentUser", {})).password_must_change, false);
  assert.equal((await client.call("listSessions", {})).items.length, 1);
  await assert.rejects(logIn(at.url, "ada", made.one_time_password ?? ""), { code: "login_refused" });
  await logIn(at.url, "ada", "horses and batteries");
});

test("a refresh token is good once; the one just used gives the same successor, an older one ends the login", async (t) => {
  const at = await startTestCoordinator(t);
  const { login, client } = await createUser(at, { username: "ada" });
  const anyone = createClient({ server: at.url });
  const refresh = (token: string) => anyone.call("refreshLogin", { body: { refresh_token: token } });
  const second = await refresh(login.refresh_token);
  assert.notEqual(second.refresh_token, login.refresh_token);
  const again = await refresh(login.refresh_token);
  assert.equal(again.refresh_token, second.refresh_token, "an answer that was lost is given again");
  const both = await Promise.all([refresh(second.refresh_token), refresh(second.refresh_token)]);
  assert.equal(both[0]?.refresh_token, both[1]?.refresh_token, "two at once are one");
  await client.call("listSessions", {});
  // Its successor was used: who brings it now is not who lost an answer.
  await assert.rejects(refresh(login.refresh_token), { code: "refresh_token_invalid", status: 401 });
  await assert.rejects(client.call("listSessions", {}), { code: "unauthorized" });
  await assert.rejects(refresh(both[0]?.refresh_token ?? ""), { code: "refresh_token_invalid" });
  const audited = await rowsOf(at.databaseUrl, "select actor from audit where action = 'auth.refresh_reuse'");
  assert.equal(audited.length, 1);
});
