/** Logins on a real coordinator: what ends them, that the end holds at once, and what a refresh token is good for. */
import assert from "node:assert/strict";
import { type AddressInfo, createServer } from "node:net";
import { test } from "node:test";
import { parseDatabaseUrl } from "../../../db/address.ts";
import { openConnection } from "../../../db/connection.ts";
import type { Scope } from "../../../shared/api/access.ts";
import { type Client, createClient } from "../../../shared/api/client.ts";
import type { Problem } from "../../../shared/api/problem.ts";
import { LOGIN_PAIR_FREE } from "../../../shared/model/constants.ts";
import { until } from "../../support/agent-peer.ts";
import { startTestCoordinator, type TestCoordinator } from "../../support/coordinator.ts";
import { freshDatabase, rowsOf } from "../../support/postgres.ts";
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

test("what ends a login ends it at once: logout, everywhere, one by one, another password, a disabled account", async (t) => {
  const at = await startTestCoordinator(t);
  const ada = await createUser(at, { username: "ada" });
  const alive = (client: Client) => client.call("currentUser", {});
  const gone = (client: Client, what: string) => assert.rejects(alive(client), { code: "unauthorized" }, what);
  const again = () => logIn(at.url, "ada", ada.password);

  const second = await again();
  await second.client.call("logOut", {});
  await gone(second.client, "logged out");
  await assert.rejects(
    createClient({ server: at.url }).call("refreshLogin", { body: { refresh_token: second.login.refresh_token } }),
    { code: "refresh_token_invalid" },
  );
  await alive(ada.client);

  const third = await again();
  await ada.client.call("revokeSession", { params: { session: third.login.session } });
  await gone(third.client, "revoked");
  await assert.rejects(ada.client.call("revokeSession", { params: { session: third.login.session } }), {
    code: "session_not_found",
  });

  const fourth = await again();
  const next = "another few words";
  await ada.client.call("changePassword", { body: { current_password: ada.password, new_password: next } });
  await gone(fourth.client, "another password");
  await alive(ada.client);

  const fifth = await logIn(at.url, "ada", next);
  assert.equal((await fifth.client.call("logOut", { body: { everywhere: true } })).ended, 2);
  await gone(fifth.client, "everywhere");
  await gone(ada.client, "everywhere");

  const sixth = await logIn(at.url, "ada", next);
  const { token } = await sixth.client.call("createToken", { body: { name: "ci", scopes: ["read"] } });
  const program = createClient({ server: at.url, token });
  await alive(program);
  await at.client.call("disableUser", { params: { user: "ada" } });
  await gone(sixth.client, "disabled");
  await gone(program, "disabled: the token");
  await assert.rejects(logIn(at.url, "ada", next), { code: "account_disabled", status: 403 });
  await at.client.call("enableUser", { params: { user: "ada" } });
  await gone(sixth.client, "what ended stays so");
  await gone(program, "what ended stays so: the token");
  await logIn(at.url, "ada", next);
});

test("a login that is under way while the password changes gets nowhere, and neither does another change", async (t) => {
  const at = await startTestCoordinator(t);
  const ada = await createUser(at, { username: "ada" });
  const holding = await openConnection(parseDatabaseUrl(at.databaseUrl), { name: "test" });
  at.defer(() => holding.end());
  const whileOthers = async <T>(attempt: () => Promise<T>, change: string) => {
    await holding.query("begin; select from account where username = 'ada' for update", 10_000);
    const attempted = attempt();
    attempted.catch(() => {});
    const waiting = `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
    await until(async () => (await rowsOf(at.databaseUrl, waiting)).length > 0, "it to wait");
    await holding.query(`${change}; commit`, 10_000);
    return attempted;
  };
  const otherPassword = "update account set password_set_at = clock_timestamp() where username = 'ada'";
  await assert.rejects(
    whileOthers(() => logIn(at.url, "ada", ada.password), otherPassword),
    {
      code: "login_refused",
      message: /the username or the password is not right/,
    },
  );
  const change = () =>
    ada.client.call("changePassword", { body: { current_password: ada.password, new_password: "another few words" } });
  await assert.rejects(whileOthers(change, otherPassword), { code: "user_state_conflict" });
  const ended = `update login_session set revoked_at = now(), revoked_because = 'revoked' where session = ${ada.login.session}`;
  await assert.rejects(whileOthers(change, ended), { code: "user_state_conflict" });
  // Nothing of it was kept, and another cost of the same password refuses nobody.
  await whileOthers(() => logIn(at.url, "ada", ada.password), "update account set version = version");
});

test("a reset ends personal tokens; a change of one's own ends them when that is wanted", async (t) => {
  const at = await startTestCoordinator(t);
  const ada = await createUser(at, { username: "ada" });
  const program = async (client: Client) => {
    const { token } = await client.call("createToken", { body: { name: "ci", scopes: ["read"] } });
    return createClient({ server: at.url, token });
  };
  const change = (current: string, next: string, end_tokens?: true) =>
    ada.client.call("changePassword", { body: { current_password: current, new_password: next, end_tokens } });
  const first = await program(ada.client);
  await change(ada.password, "another few words");
  await first.call("currentUser", {});
  await change("another few words", "yet another few words", true);
  await assert.rejects(first.call("currentUser", {}), { code: "unauthorized" });
  const second = await program(ada.client);
  await second.call("currentUser", {});
  await at.client.call("resetPassword", { params: { user: "ada" } });
  await assert.rejects(second.call("currentUser", {}), { code: "unauthorized" });
});

test("a one-time password is good for a week", async (t) => {
  const at = await startTestCoordinator(t);
  const made = await at.client.call("createUser", { body: { username: "ada" } });
  const age = (days: number) =>
    rowsOf(
      at.databaseUrl,
      `update account set password_set_at = now() - interval '${days} days' where username = 'ada'`,
    );
  await age(6);
  await logIn(at.url, "ada", made.one_time_password ?? "");
  await age(8);
  await assert.rejects(logIn(at.url, "ada", made.one_time_password ?? ""), {
    code: "login_refused",
    message: /older than 7 days: ask for a new one/,
  });
  const next = await at.client.call("resetPassword", { params: { user: "ada" } });
  const { client } = await logIn(at.url, "ada", next.one_time_password ?? "");
  await client.call("changePassword", {
    body: { current_password: next.one_time_password ?? "", new_password: "a few words of ada" },
  });
  await age(8);
  await logIn(at.url, "ada", "a few words of ada");
});

test("a personal token may what it is limited to, makes no token and changes no password", async (t) => {
  const at = await startTestCoordinator(t);
  const ada = await createUser(at, { username: "ada", role: "administrator" });
  const make = async (scopes: Scope[]) => {
    const made = await ada.client.call("createToken", { body: { name: "ci", scopes } });
    return { id: made.id, client: createClient({ server: at.url, token: made.token }) };
  };
  const reader = await make(["read"]);
  await reader.client.call("listExperiments", {});
  await assert.rejects(reader.client.call("createProject", { body: { name: "p" } }), { code: "scope_missing" });
  await assert.rejects(reader.client.call("listUsers", {}), { code: "scope_missing" });
  const all = await make(["read", "experiments", "projects", "agents", "credentials", "access"]);
  await all.client.call("createProject", { body: { name: "p" } });
  await all.client.call("listUsers", {});
  await assert.rejects(all.client.call("createToken", { body: { name: "more", scopes: ["access"] } }), {
    code: "session_required",
  });
  const params = { user: "ada" };
  for (const ask of [
    () => all.client.call("resetPassword", { params }),
    () => all.client.call("createUser", { body: { username: "mallory" } }),
    () => all.client.call("changeUser", { params, body: { platform_role: "administrator" } }),
    () => all.client.call("enableUser", { params }),
  ]) {
    await assert.rejects(ask(), { code: "session_required" });
  }
  await assert.rejects(
    all.client.call("changePassword", { body: { current_password: ada.password, new_password: "another few words" } }),
    { code: "session_required" },
  );
  await ada.client.call("revokeToken", { params: { token: all.id } });
  await assert.rejects(all.client.call("currentUser", {}), { code: "unauthorized" });
  // Written when it closes, in one statement.
  await at.restart();
  const used = await rowsOf(at.databaseUrl, "select token from personal_token where last_used_at is not null");
  assert.equal(used.length, 2);
});

test("another key signs after a restart, and what the one before signed is good until it is taken away", async (t) => {
  const keys = { current: "q9WmTz2LxKcV4nRbS8yHdGf6PjUe1aQo", previous: [] as string[] };
  const at = await startTestCoordinator(t, { signingKeys: keys });
  const ada = await createUser(at, { username: "ada" });
  keys.previous.push(keys.current);
  keys.current = "Zk3vQ8tLw1XrB6yN0pHs5mJdUc7aFgEi";
  await at.restart();
  await ada.client.call("currentUser", {});
  const body = { refresh_token: ada.login.refresh_token };
  const next = await createClient({ server: at.url }).call("refreshLogin", { body });
  keys.previous.pop();
  await at.restart();
  await assert.rejects(ada.client.call("currentUser", {}), { code: "unauthorized" });
  await createClient({ server: at.url, token: next.access_token }).call("currentUser", {});
});

test("through a replica one logs in; what is ended at the dispatcher is dead at the replica at once", async (t) => {
  const at = await startTestCoordinator(t);
  const replica = await startTestCoordinator(t, { beside: at, leading: false });
  const ada = await createUser({ url: replica.url, client: at.client }, { username: "ada" });
  await ada.client.call("currentUser", {});
  await createClient({ server: at.url, token: ada.login.access_token }).call("logOut", {});
  await assert.rejects(ada.client.call("currentUser", {}), { code: "unauthorized" });
  const again = await logIn(replica.url, "ada", ada.password);
  await again.client.call("logOut", {});
  const there = createClient({ server: at.url, token: again.login.access_token });
  await assert.rejects(there.call("currentUser", {}), { code: "unauthorized" });
  // The client's address is what counts, not the replica's.
  const { items } = await (await logIn(replica.url, "ada", ada.password)).client.call("listSessions", {});
  assert.equal(items[0]?.address, "127.0.0.1");
});

test("guessing is slowed down and audited; nothing tells a known username from another", async (t) => {
  const at = await startTestCoordinator(t);
  const ada = await createUser(at, { username: "ada" });
  const refusals = async (username: string) => {
    // Not by the client, which waits as long as it is told.
    const tries = Array.from({ length: LOGIN_PAIR_FREE + 3 }, async () => {
      const response = await fetch(`${at.url}/api/v1/auth/login`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ username, password: "not it at all" }),
      });
      if (response.status === 429) assert.equal(response.headers.get("retry-after"), "1");
      const { code, detail } = (await response.json()) as Problem;
      return `${code} ${detail}`;
    });
    return (await Promise.all(tries)).sort();
  };
  const known = await refusals("ada");
  assert.match(known.at(-1) ?? "", /^too_many_attempts .*The account is not locked/);
  assert.deepEqual(await refusals("nobody-of-that-name"), known);
  await ada.client.call("currentUser", {});
  await at.restart();
  const audited = await rowsOf(
    at.databaseUrl,
    "select distinct resource_id, code from audit where outcome = 'refused' order by code, resource_id",
  );
  assert.deepEqual(audited.slice(0, 2), [
    { resource_id: String(ada.id), code: "login_refused" },
    { resource_id: null, code: "login_refused" },
  ]);
});

test("a start that fails because its address is taken makes no administrator whose password nobody saw", async (t) => {
  const database = await freshDatabase(t);
  const beside = { databaseUrl: database.url, defer: database.defer } as TestCoordinator;
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  t.after(() => taken.close());
  const { port } = taken.address() as AddressInfo;
  const start = () => startTestCoordinator(t, { beside, leading: false, firstPassword: true, port });
  await assert.rejects(start());
  assert.deepEqual(await rowsOf(database.url, "select username from account"), []);
  await new Promise((resolve) => taken.close(resolve));
  assert.ok((await start()).coordinator.firstAdministrator?.password);
});

test("of two coordinators that start at once on an empty database one makes the administrator", async (t) => {
  const database = await freshDatabase(t);
  const beside = { databaseUrl: database.url, defer: database.defer } as TestCoordinator;
  const start = () => startTestCoordinator(t, { beside, leading: false, firstPassword: true });
  const both = await Promise.all([start(), start()]);
  const made = both.map(({ coordinator }) => coordinator.firstAdministrator).filter((first) => first !== undefined);
  assert.equal(made.length, 1);
  const [first] = made;
  const leader = await Promise.any(both.map((each) => each.coordinator.leading.then(() => each)));
  const { client, login } = await logIn(leader.url, first?.username ?? "", first?.password ?? "");
  assert.equal(login.password_must_change, true);
  assert.equal((await client.call("currentUser", {})).platform_role, "administrator");
  const relations = await rowsOf(
    database.url,
    "select subject_id from relationship where resource_type = 'platform' and relation = 'administrator'",
  );
  assert.deepEqual(relations.map(({ subject_id }) => subject_id).sort(), [
    "1",
    String((await client.call("currentUser", {})).id),
  ]);
});
