/** A provider that lies, is ill, or does not answer: nobody gets in, and a sentence says what is wrong. */
import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { type TestContext, test } from "node:test";
import { createOidcLogins } from "../../../coordinator/domain/oidc/login.ts";
import { createEgress } from "../../../coordinator/egress/egress.ts";
import { createIdentityProvider } from "../../../coordinator/oidc/provider.ts";
import { type Lies, startForger } from "../../support/oidc-forger.ts";
import { memoryAccounts, ORIGIN } from "../../unit/oidc/accounts.ts";

const REDIRECT_URI = "http://127.0.0.1:1/api/v1/auth/oidc/callback";
const AGO = Math.floor(Date.now() / 1_000) - 3_600;

interface Refused {
  code: string;
  message?: RegExp;
}
const INVALID = { code: "oidc_answer_invalid" };
const AWAY = { code: "oidc_unavailable" };

async function stage(t: TestContext, lies: Lies, timeoutMs = 5_000) {
  const login = { nonce: "" };
  const { issuer, asked } = await startForger(t, "airavata", () => login.nonce, lies);
  const { fetch } = createEgress({ allow: ["127.0.0.1"] });
  const provider = createIdentityProvider({
    issuer,
    clientId: "airavata",
    clientSecret: "secret",
    scopes: ["profile"],
    usernameClaim: "preferred_username",
    fetch: (url, init) => fetch(url, { ...init, timeoutMs }),
    mono: () => performance.now(),
  });
  const accounts = memoryAccounts();
  let now = 0;
  const logins = createOidcLogins({
    provider,
    accounts,
    autoCreate: true,
    redirectUri: () => REDIRECT_URI,
    mono: () => now,
  });
  const browser = async (query: Record<string, string> = {}) => {
    const { url, cookie } = await logins.begin("/", ORIGIN);
    const sent = new URL(url).searchParams;
    login.nonce = sent.get("nonce") ?? "";
    const callback = new URLSearchParams({ state: sent.get("state") ?? "", code: "c", ...query });
    const { ticket } = await logins.finish(callback, cookie, ORIGIN);
    return logins.trade(ticket, cookie, ORIGIN);
  };
  const device = async () => {
    const { handle } = await logins.beginDevice(ORIGIN);
    now += 1_000;
    return logins.pollDevice(handle, ORIGIN);
  };
  return { issuer, asked, accounts, browser, device };
}

const text = (status: number, body: string, type = "application/json") => ({
  "/token": (response: ServerResponse) => void response.writeHead(status, { "content-type": type }).end(body),
});

const LIES: readonly (readonly [string, Lies, Refused])[] = [
  ["another issuer", { claims: { iss: "https://idp.example.org" } }, INVALID],
  ["another audience", { claims: { aud: "somebody-else" } }, INVALID],
  ["no audience", { claims: { aud: undefined } }, INVALID],
  ["several audiences, and authorized another", { claims: { aud: ["airavata", "b"], azp: "b" } }, INVALID],
  ["another nonce", { claims: { nonce: "replayed" } }, INVALID],
  ["no nonce", { claims: { nonce: undefined } }, INVALID],
  ["an expired token", { claims: { exp: AGO, iat: AGO - 60 } }, { ...INVALID, message: /clocks/ }],
  ["a token of the future", { claims: { nbf: AGO + 7_200 } }, { ...INVALID, message: /clocks/ }],
  ["no subject", { claims: { sub: undefined } }, INVALID],
  ["a subject that no table takes", { claims: { sub: "a\u0000b" } }, INVALID],
  ["a subject without an end", { claims: { sub: "s".repeat(256) } }, INVALID],
  ["another key", { otherKey: true }, INVALID],
  ["a key that is not published", { otherKey: true, header: { kid: "k2" } }, INVALID],
  ["no signature", { unsigned: true }, INVALID],
  ["algorithm none", { unsigned: true, header: { alg: "none" } }, INVALID],
  ["a symmetric algorithm", { header: { alg: "HS256" } }, INVALID],
  ["no ID token", { token: { id_token: undefined } }, INVALID],
  ["an ID token that is none", { token: { id_token: "abc" } }, INVALID],
  ["text instead of JSON", { answer: text(200, "hello", "text/plain") }, INVALID],
  ["half of JSON", { answer: text(200, '{"access_token":') }, INVALID],
  [
    "more than is taken",
    { answer: text(200, `{"a":"${"x".repeat(1_100_000)}"}`) },
    { ...INVALID, message: /too large/ },
  ],
  ["a used code", { answer: text(400, '{"error":"invalid_grant"}') }, { code: "oidc_login_expired" }],
  [
    "a refusal of us",
    { answer: text(400, '{"error":"invalid_client"}') },
    { ...INVALID, message: /OIDC_CLIENT_SECRET/ },
  ],
  ["a fault of its own", { answer: text(500, "oops", "text/html") }, AWAY],
  ["overload", { answer: text(503, '{"error":"temporarily_unavailable"}') }, AWAY],
];

for (const [name, lies, refused] of LIES) {
  test(`refused by browser and device: ${name}`, async (t) => {
    const { browser, device, accounts } = await stage(t, lies);
    await assert.rejects(browser(), refused);
    // A device's login has no nonce.
    if (!name.includes("nonce")) await assert.rejects(device(), refused);
    assert.equal(accounts.made.length, 0);
  });
}

test("without a lie the same provider lets in", async (t) => {
  const { browser, device } = await stage(t, {});
  assert.deepEqual(await browser(), { actor: 10 });
  assert.deepEqual(await device(), { actor: 10 });
});

test("metadata of another issuer, or that names an inner address, is refused", async (t) => {
  const foreign = await stage(t, { metadata: { issuer: "https://idp.example.org" } });
  await assert.rejects(foreign.browser(), { ...INVALID, message: /another name than OIDC_ISSUER/ });
  const inner = await stage(t, { metadata: { token_endpoint: "http://169.254.169.254/latest" } });
  await assert.rejects(inner.browser(), { code: "egress_refused", message: /metadata/ });
  const moved = await stage(t, {
    answer: { "/token": (response) => void response.writeHead(307, { location: "http://10.0.0.1/" }).end() },
  });
  await assert.rejects(moved.browser(), INVALID);
});

test("user-info about somebody else is refused", async (t) => {
  const { browser, accounts } = await stage(t, {
    claims: { preferred_username: undefined },
    answer: {
      "/me": (response) =>
        void response
          .writeHead(200, { "content-type": "application/json" })
          .end('{"sub":"t","preferred_username":"root"}'),
    },
  });
  await assert.rejects(browser(), INVALID);
  assert.equal(accounts.made.length, 0);
});

test("an answer that names another issuer is refused (mix-up)", async (t) => {
  const { browser } = await stage(t, { metadata: { authorization_response_iss_parameter_supported: true } });
  await assert.rejects(browser({ iss: "https://idp.example.org" }), INVALID);
  await assert.rejects(browser(), INVALID);
});

test("a provider that does not answer is given up after its time, and asked again by the next login", async (t) => {
  let isFrozen = true;
  const keys = (response: ServerResponse): unknown => (isFrozen ? undefined : response.writeHead(503).end());
  const { browser, asked } = await stage(t, { answer: { "/jwks": keys } }, 300);
  await assert.rejects(browser(), AWAY);
  isFrozen = false;
  await assert.rejects(browser(), AWAY);
  assert.equal(asked.filter((path) => path === "/jwks").length, 2);
  // What was learned before it froze is kept.
  assert.equal(asked.filter((path) => path.startsWith("/.well-known")).length, 1);
});

test("a discovery that fails is not kept", async (t) => {
  let isAway = true;
  const { browser, issuer } = await stage(t, {
    answer: {
      "/.well-known/openid-configuration": (response) => {
        if (isAway) return void response.writeHead(502).end();
        const metadata = {
          issuer,
          authorization_endpoint: `${issuer}/auth`,
          token_endpoint: `${issuer}/token`,
          jwks_uri: `${issuer}/jwks`,
        };
        response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(metadata));
      },
    },
  });
  await assert.rejects(browser(), AWAY);
  isAway = false;
  assert.deepEqual(await browser(), { actor: 10 });
});
