/** Logins by an OpenID provider through the API, by a browser that keeps cookies and by programs. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Client as Postgres } from "pg";
import type { z } from "zod";
import { createClient } from "../../../shared/api/client.ts";
import { type RouteId, routes } from "../../../shared/api/routes.ts";
import { startTestCoordinator, type TestCoordinatorOptions } from "../../support/coordinator.ts";
import { Browser, CLIENT_ID, CLIENT_SECRET, startProvider } from "../../support/oidc-provider.ts";

const PEOPLE = {
  ada: { preferred_username: "ada", name: "Ada Lovelace", email: "ada@example.org" },
  eve: { preferred_username: "ada", name: "Eve", email: "ada@example.org" },
};
const PREFIX = "/api/v1/auth/oidc";

async function stage(t: TestContext, options: TestCoordinatorOptions = {}) {
  const provider = await startProvider(t, PEOPLE);
  const login = {
    oidcIssuer: provider.issuer,
    oidcClientId: CLIENT_ID,
    oidcClientSecret: CLIENT_SECRET,
    oidcAutoCreate: true,
    egressAllow: ["127.0.0.1"],
    ...options.login,
  };
  const running = await startTestCoordinator(t, { ...options, login });
  const { url, client, databaseUrl } = running;
  const enter = (browser: Browser, subject: string, query = "") =>
    browser.login(`${url}${PREFIX}/login${query}`, subject, `${url}/#`);
  const trade = (ticket: string | null | undefined, cookies: string) =>
    post(`${url}${PREFIX}/token`, { ticket }, { cookie: cookies });
  const loggedIn = async (subject: string) => {
    const browser = new Browser();
    const page = await browser.login(`${url}${PREFIX}/login`, subject, `${url}/#`);
    assert.equal(page.status, 0, page.text);
    const answer = await trade(ticketOf(page.url), cookiesOf(browser, url));
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return answer.body as { access_token: string; refresh_token: string; username: string };
  };
  return { provider, running, url, client, databaseUrl, enter, trade, loggedIn };
}

async function post(url: string, body: unknown, headers: Record<string, string> = {}) {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  const json = (await answer.json()) as Record<string, unknown>;
  return { status: answer.status, body: json, code: json.code, cookies: answer.headers.getSetCookie() };
}

const ticketOf = (url: string): string | null => new URLSearchParams(new URL(url).hash.slice(1)).get("login_ticket");
const cookiesOf = (browser: Browser, url: string): string =>
  [...(browser.cookies.get(url) ?? [])].map(([name, value]) => `${name}=${value}`).join("; ");
const codeOf = (text: string): unknown => JSON.parse(text).code;

test("a browser logs in, its session works, is refreshed and ended; the second login finds the account", async (t) => {
  const { url, client, loggedIn } = await stage(t);
  const session = await loggedIn("ada");
  const own = createClient({ server: url, token: session.access_token });
  const me = await own.call("currentUser", {});
  assert.equal(me.name, "ada");
  const sessions = await own.call("listSessions", {});
  assert.deepEqual(
    sessions.items.map(({ how, client: label, current }) => ({ how, label, current })),
    [{ how: "oidc", label: "browser login", current: true }],
  );
  const next = await own.call("refreshLogin", { body: { refresh_token: session.refresh_token } });
  assert.notEqual(next.refresh_token, session.refresh_token);
  await createClient({ server: url, token: next.access_token }).call("logOut", { body: {} });
  await assert.rejects(own.call("currentUser", {}), { code: "unauthorized" });
  const again = await loggedIn("ada");
  const later = await createClient({ server: url, token: again.access_token }).call("currentUser", {});
  assert.equal(later.id, me.id);
  // The same e-mail address and username at the provider, another subject.
  const eve = await loggedIn("eve");
  assert.equal(eve.username, "ada-2");
  const users = await client.call("listUsers", {});
  assert.deepEqual(
    users.items.map(({ username }) => username).filter((name) => name !== "admin"),
    ["ada", "ada-2"],
  );
  // Nobody gets more than an account by it.
  const stranger = createClient({ server: url, token: eve.access_token });
  assert.deepEqual((await stranger.call("listExperiments", {})).items, []);
});

test("each answer is as its schema says, and not a field more", async (t) => {
  const { url } = await stage(t);
  const isAsSaid = (id: Extract<RouteId, `oidc${string}`>, body: unknown): void => {
    const [answer] = Object.values<{ schema: z.ZodType }>(routes[id].answers);
    assert.deepEqual(answer?.schema.parse(body), body, id);
  };
  const start = await fetch(`${url}${PREFIX}/login`, { redirect: "manual" });
  isAsSaid("oidcLogin", await start.json());
  const cookie = start.headers.getSetCookie()[0]?.split(";")[0] ?? "";
  const callback = await new Browser().login(start.headers.get("location") ?? "", "ada", `${url}${PREFIX}`);
  const back = await fetch(callback.url, { redirect: "manual", headers: { cookie } });
  isAsSaid("oidcCallback", await back.json());
  const ticket = ticketOf(back.headers.get("location") ?? "");
  isAsSaid("oidcToken", (await post(`${url}${PREFIX}/token`, { ticket }, { cookie })).body);
  const device = await fetch(`${url}${PREFIX}/device`, { method: "POST" });
  const started = (await device.json()) as { handle: string };
  isAsSaid("oidcDevice", started);
  isAsSaid("oidcDevicePoll", (await post(`${url}${PREFIX}/device/poll`, { handle: started.handle })).body);
});

test("no token is in a URL; the cookie binds and is none of the session; the way back is our own", async (t) => {
  const { url, enter, trade } = await stage(t);
  const start = await fetch(`${url}${PREFIX}/login`, { redirect: "manual" });
  assert.equal(start.status, 303);
  const [cookie = ""] = start.headers.getSetCookie();
  assert.match(cookie, /^airavata_login=[\w-]{43}; Path=\/; Max-Age=600; HttpOnly; SameSite=Lax$/);
  const to = new URL(start.headers.get("location") ?? "");
  assert.equal(to.searchParams.get("code_challenge_method"), "S256");
  assert.ok(to.searchParams.get("nonce") && to.searchParams.get("state"));
  for (const path of [
    "//evil.example.org",
    "/\\evil.example.org",
    "https://evil.example.org",
    "x",
    "/a%0d%0ab",
    "/a%23b",
  ]) {
    const answer = await fetch(`${url}${PREFIX}/login?return_to=${path}`, { redirect: "manual" });
    assert.equal(answer.status, 400, path);
  }
  const browser = new Browser();
  const page = await browser.login(`${url}${PREFIX}/login?return_to=/jobs?a=1`, "ada", `${url}/jobs`);
  assert.match(page.url, /\/jobs\?a=1#login_ticket=[\w-]{43}$/);
  const traded = await trade(ticketOf(page.url), cookiesOf(browser, url));
  assert.equal(traded.status, 200);
  assert.match(traded.cookies[0] ?? "", /^airavata_login=; Path=\/; Max-Age=0;/);
  assert.ok(await enter(new Browser(), "ada"));
});

test("a replayed callback, a wrong state, a used ticket and another browser get nothing", async (t) => {
  const { url, enter, trade } = await stage(t);
  const browser = new Browser();
  const callback = await browser.login(`${url}${PREFIX}/login`, "ada", `${url}${PREFIX}/callback`);
  // Login CSRF: the callback of Eve's login in somebody else's browser, with and without a login of his own under way.
  const other = new Browser();
  const foreign = await other.open(callback.url);
  assert.deepEqual([foreign.status, codeOf(foreign.text)], [403, "oidc_login_expired"]);
  const spent = await browser.open(callback.url);
  assert.deepEqual([spent.status, codeOf(spent.text)], [403, "oidc_login_expired"]);
  const wrong = new URL(callback.url);
  wrong.searchParams.set("state", "x".repeat(43));
  assert.equal(codeOf((await browser.open(wrong.href)).text), "oidc_login_expired");
  wrong.searchParams.delete("state");
  assert.equal(codeOf((await browser.open(wrong.href)).text), "request_invalid");
  const page = await enter(browser, "ada");
  const ticket = ticketOf(page.url);
  assert.equal((await trade(ticket, "")).code, "oidc_login_expired");
  const second = ticketOf((await enter(browser, "ada")).url);
  assert.equal((await trade(second, cookiesOf(browser, url))).status, 200);
  assert.equal((await trade(second, cookiesOf(browser, url))).code, "oidc_login_expired");
  assert.equal((await trade("no such ticket", cookiesOf(browser, url))).code, "oidc_login_expired");
});

test("a device logs in once its user has entered the code, and is told when he says no", async (t) => {
  const { url } = await stage(t);
  const client = createClient({ server: url });
  const start = await client.call("oidcDevice", {});
  const poll = () => client.call("oidcDevicePoll", { body: { handle: start.handle } });
  assert.deepEqual(await poll(), { status: "pending", session: null });
  await new Browser().login(start.verification_uri_complete ?? "", "ada");
  const until = performance.now() + 60_000;
  let answer = await poll();
  // The provider may be asked every five seconds; until then the answer is that it is pending.
  while (answer.status === "pending" && performance.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    answer = await poll();
  }
  const token = answer.session?.access_token;
  assert.equal((await createClient({ server: url, token: token ?? "" }).call("currentUser", {})).name, "ada");
  await assert.rejects(poll(), { code: "oidc_login_expired" });
});

test("a disabled account is refused, also in the midst of a login, and its session is over", async (t) => {
  const { url, client, enter, trade, loggedIn } = await stage(t);
  const session = await loggedIn("ada");
  const browser = new Browser();
  const page = await enter(browser, "ada");
  await client.call("disableUser", { params: { user: "ada" } });
  assert.equal((await trade(ticketOf(page.url), cookiesOf(browser, url))).code, "account_disabled");
  await assert.rejects(createClient({ server: url, token: session.access_token }).call("currentUser", {}), {
    code: "unauthorized",
  });
  await client.call("enableUser", { params: { user: "ada" } });
  assert.equal((await loggedIn("ada")).username, "ada");
});

test("where no account is made, only who has one gets in", async (t) => {
  const { url, client, provider, loggedIn } = await stage(t, { login: { oidcAutoCreate: false } });
  const browser = new Browser();
  const page = await browser.login(`${url}${PREFIX}/login`, "ada", `${url}/#`);
  assert.deepEqual([page.status, codeOf(page.text)], [403, "oidc_account_unknown"]);
  const users = await client.call("listUsers", {});
  assert.deepEqual(
    users.items.map(({ username }) => username).filter((name) => name !== "admin"),
    [],
  );
  const oidc = { issuer: provider.issuer, subject: "ada" };
  const made = await client.call("createUser", { body: { username: "lovelace", oidc } });
  assert.deepEqual([made.one_time_password, made.identity_provider], [null, provider.issuer]);
  assert.equal((await loggedIn("ada")).username, "lovelace");
  await assert.rejects(client.call("createUser", { body: { username: "twin", oidc } }), { code: "username_taken" });
});

test("with the provider away the coordinator serves, says so, and logs in again when it is back", async (t) => {
  const { url, client, provider } = await stage(t);
  await provider.close();
  const answer = await fetch(`${url}${PREFIX}/login`, { redirect: "manual" });
  assert.deepEqual([answer.status, codeOf(await answer.text())], [503, "oidc_unavailable"]);
  assert.ok(answer.headers.get("retry-after"));
  const device = await post(`${url}${PREFIX}/device`, undefined);
  assert.equal(device.code, "oidc_unavailable");
  assert.deepEqual((await client.call("listExperiments", {})).items, []);
});

test("without a provider the routes say that there is none", async (t) => {
  const { url } = await startTestCoordinator(t);
  const answer = await fetch(`${url}${PREFIX}/login`, { redirect: "manual" });
  assert.deepEqual([answer.status, codeOf(await answer.text())], [404, "oidc_not_configured"]);
});

test("through another coordinator a login works the same", async (t) => {
  const leader = await stage(t);
  const { url } = await startTestCoordinator(t, { beside: leader.running, leading: false });
  const start = await fetch(`${url}${PREFIX}/login`, { redirect: "manual" });
  const cookie = start.headers.getSetCookie()[0]?.split(";")[0] ?? "";
  const callback = await new Browser().login(start.headers.get("location") ?? "", "ada", `${leader.url}${PREFIX}`);
  // A balancer gave the way back to another coordinator than the way there.
  const { search } = new URL(callback.url);
  const back = await fetch(`${url}${PREFIX}/callback${search}`, { redirect: "manual", headers: { cookie } });
  assert.equal(back.status, 303, await back.text());
  const answer = await post(
    `${url}${PREFIX}/token`,
    { ticket: ticketOf(back.headers.get("location") ?? "") },
    { cookie },
  );
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
});

test("logins stand in the audit, and no secret of theirs in the database", async (t) => {
  const { databaseUrl, loggedIn } = await stage(t);
  const session = await loggedIn("ada");
  const db = new Postgres({ connectionString: databaseUrl });
  await db.connect();
  try {
    const { rows } = await db.query("select action, via, outcome, after from audit order by entry");
    const actions = rows.map(({ action, via }) => `${action} ${via}`);
    assert.ok(actions.includes("user.create oidc"), actions.join());
    assert.ok(actions.includes("auth.login oidc"), actions.join());
    assert.ok(!JSON.stringify(rows).includes(session.refresh_token));
  } finally {
    await db.end();
  }
});
