/** Both flows against a real provider over real sockets, through the egress policy. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { createOidcLogins } from "../../../coordinator/domain/oidc/login.ts";
import { createEgress } from "../../../coordinator/egress/egress.ts";
import { createIdentityProvider, type ProviderOptions } from "../../../coordinator/oidc/provider.ts";
import { Browser, CLIENT_ID, CLIENT_SECRET, PUBLIC_CLIENT_ID, startProvider } from "../../support/oidc-provider.ts";
import { memoryAccounts, ORIGIN } from "../../unit/oidc/accounts.ts";

const REDIRECT_URI = "http://127.0.0.1:1/api/v1/auth/oidc/callback";
const PEOPLE = {
  "subject-ada": { preferred_username: "ada", name: "Ada Lovelace", email: "ada@example.org" },
  "subject-eve": { preferred_username: "ada", name: "Eve", email: "ada@example.org" },
  "subject-bob": {},
};

async function stage(t: TestContext, changes: Partial<ProviderOptions> = {}, allow = ["127.0.0.1"]) {
  const { issuer } = await startProvider(t, PEOPLE);
  const clock = { offsetMs: 0 };
  const mono = (): number => performance.now() + clock.offsetMs;
  const { fetch } = createEgress({ allow });
  const provider = createIdentityProvider({
    issuer,
    clientId: CLIENT_ID,
    clientSecret: CLIENT_SECRET,
    scopes: ["openid profile", "email"],
    usernameClaim: "preferred_username",
    fetch,
    mono,
    ...changes,
  });
  const accounts = memoryAccounts();
  const logins = createOidcLogins({ provider, accounts, autoCreate: true, redirectUri: () => REDIRECT_URI, mono });
  const login = async (subject: string) => {
    const { url, cookie } = await logins.begin("/", ORIGIN);
    const page = await new Browser().login(url, subject, REDIRECT_URI);
    const { ticket } = await logins.finish(new URL(page.url).searchParams, cookie, ORIGIN);
    return logins.trade(ticket, cookie, ORIGIN);
  };
  return { issuer, accounts, logins, login, clock };
}

test("a browser's login gives the account of issuer and subject, with the claims of the user-info endpoint", async (t) => {
  const { issuer, accounts, login } = await stage(t);
  const first = await login("subject-ada");
  assert.deepEqual(await login("subject-ada"), first);
  // The same e-mail address and name, and another person.
  assert.notDeepEqual(await login("subject-eve"), first);
  await login("subject-bob");
  assert.deepEqual(accounts.made.slice(0, 2), [
    { issuer, subject: "subject-ada", username: "ada", displayName: "Ada Lovelace", email: "ada@example.org" },
    { issuer, subject: "subject-eve", username: "ada-2", displayName: "Eve", email: "ada@example.org" },
  ]);
  assert.match(accounts.made[2]?.username ?? "", /^oidc-/);
});

test("a public client needs no secret", async (t) => {
  const { login } = await stage(t, { clientId: PUBLIC_CLIENT_ID, clientSecret: undefined });
  assert.deepEqual(await login("subject-ada"), { actor: 10 });
});

test("a device's login is pending until the person has entered the code, and then done once", async (t) => {
  const { logins, clock } = await stage(t);
  const { handle, userCode, verificationUri, verificationUriComplete, intervalMs } = await logins.beginDevice(ORIGIN);
  assert.match(userCode, /^[A-Z]{4}-[A-Z]{4}$/);
  assert.ok(verificationUriComplete?.startsWith(verificationUri));
  clock.offsetMs += intervalMs;
  assert.equal(await logins.pollDevice(handle, ORIGIN), undefined);
  const page = await new Browser().login(verificationUriComplete ?? "", "subject-ada");
  assert.match(page.text, /Sign-in Success/);
  clock.offsetMs += intervalMs;
  assert.deepEqual(await logins.pollDevice(handle, ORIGIN), { actor: 10 });
  await assert.rejects(logins.pollDevice(handle, ORIGIN), { code: "oidc_login_expired" });
});

test("who says no is told so, in a browser", async (t) => {
  const { logins } = await stage(t);
  const { url, cookie } = await logins.begin("/", ORIGIN);
  const browser = new Browser();
  const page = await browser.open(url);
  const abort = /href="([^"]*\/abort)"/.exec(page.text)?.[1] ?? "";
  const back = await browser.open(new URL(abort, page.url).href, REDIRECT_URI);
  const refused = { code: "oidc_denied", message: /access_denied/ };
  await assert.rejects(logins.finish(new URL(back.url).searchParams, cookie, ORIGIN), refused);
});

test("a code that is replayed under another login is refused", async (t) => {
  const { logins } = await stage(t);
  const stolen = await logins.begin("/", ORIGIN);
  const page = await new Browser().login(stolen.url, "subject-ada", REDIRECT_URI);
  const own = await logins.begin("/", ORIGIN);
  const query = new URLSearchParams(new URL(page.url).search);
  query.set("state", new URL(own.url).searchParams.get("state") ?? "");
  // The code was given for another PKCE verifier.
  await assert.rejects(logins.finish(query, own.cookie, ORIGIN), { code: "oidc_login_expired" });
});

test("a wrong secret is the operator's to mend, and said so", async (t) => {
  const { login } = await stage(t, { clientSecret: "wrong" });
  await assert.rejects(login("subject-ada"), { code: "oidc_answer_invalid", message: /OIDC_CLIENT_SECRET/ });
});

test("a provider on a closed address is not called", async (t) => {
  const { logins } = await stage(t, {}, []);
  await assert.rejects(logins.begin("/", ORIGIN), { code: "egress_refused", message: /AIRAVATA_EGRESS_ALLOW/ });
});

test("an issuer without TLS is taken on loopback only", () => {
  for (const issuer of ["http://idp.example.org", "ftp://idp.example.org", "idp.example.org", ""]) {
    const options = { issuer, clientId: "a", clientSecret: undefined, scopes: [], usernameClaim: "x" };
    const create = () => createIdentityProvider({ ...options, fetch, mono: () => 0 });
    assert.throws(create, { code: "setting_invalid", message: /OIDC_ISSUER/ });
  }
});
