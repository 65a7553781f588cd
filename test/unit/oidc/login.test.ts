/** The two flows against a provider that says what the test wants, on a clock that the test moves. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createOidcLogins } from "../../../coordinator/domain/oidc/login.ts";
import { PendingLogins } from "../../../coordinator/domain/oidc/pending.ts";
import type { IdentityProvider, ProvenIdentity } from "../../../coordinator/domain/oidc/ports.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { OIDC_DEVICE_LOGIN_MS, OIDC_LOGIN_MS, OIDC_TICKET_MS } from "../../../shared/model/constants.ts";
import { identity, memoryAccounts, ORIGIN } from "./accounts.ts";

const EXPIRED = { code: "oidc_login_expired" };

function stage(options: { redirectUri?: string | undefined } = { redirectUri: "http://127.0.0.1/callback" }) {
  let now = 0;
  let states = 0;
  const polls: (ProvenIdentity | "pending" | "slow_down" | AiravataError)[] = [];
  const finished: { callback: string; nonce: string; verifier: string }[] = [];
  const asked = { polls: 0, begins: 0 };
  const gate = { open: Promise.resolve() };
  const provider: IdentityProvider = {
    async begin() {
      const state = `s${++states}`;
      return { state, nonce: `n${states}`, verifier: `v${states}`, url: `https://idp.example.org/?state=${state}` };
    },
    async finish(callback, { nonce, verifier }) {
      finished.push({ callback: callback.href, nonce, verifier });
      return identity("a");
    },
    async beginDevice() {
      asked.begins++;
      await gate.open;
      return {
        deviceCode: "secret-device-code",
        userCode: "ABCD-EFGH",
        verificationUri: "https://idp.example.org/device",
        verificationUriComplete: undefined,
        intervalMs: 5_000,
        expiresInMs: 600_000,
      };
    },
    async pollDevice(code) {
      assert.equal(code, "secret-device-code");
      asked.polls++;
      const answer = polls.shift() ?? "pending";
      if (answer instanceof AiravataError) throw answer;
      return answer;
    },
  };
  const accounts = memoryAccounts();
  const logins = createOidcLogins({
    provider,
    accounts,
    autoCreate: true,
    redirectUri: () => options.redirectUri,
    mono: () => now,
  });
  const advance = (ms: number): void => {
    now += ms;
  };
  const callback = (state: string): URLSearchParams => new URLSearchParams({ state, code: "c" });
  return { logins, accounts, polls, finished, asked, gate, advance, callback };
}

test("a browser's login: there, back with its cookie, and one trade of the ticket", async () => {
  const { logins, finished, callback } = stage();
  const { cookie, url } = await logins.begin("/jobs", ORIGIN);
  assert.equal(url, "https://idp.example.org/?state=s1");
  const { ticket, returnTo } = await logins.finish(callback("s1"), cookie, ORIGIN);
  assert.equal(returnTo, "/jobs");
  assert.deepEqual(finished, [{ callback: "http://127.0.0.1/callback?state=s1&code=c", nonce: "n1", verifier: "v1" }]);
  assert.deepEqual(await logins.trade(ticket, cookie, ORIGIN), { actor: 10 });
  await assert.rejects(logins.trade(ticket, cookie, ORIGIN), EXPIRED);
});

test("a callback that is replayed, of an unknown state, or of no state finds nothing", async () => {
  const { logins, finished, callback } = stage();
  const { cookie } = await logins.begin("/", ORIGIN);
  await logins.finish(callback("s1"), cookie, ORIGIN);
  await assert.rejects(logins.finish(callback("s1"), cookie, ORIGIN), EXPIRED);
  await assert.rejects(logins.finish(callback("s9"), cookie, ORIGIN), EXPIRED);
  await assert.rejects(logins.finish(new URLSearchParams({ code: "c" }), cookie, ORIGIN), EXPIRED);
  assert.equal(finished.length, 1);
});

test("another browser cannot finish a login, nor trade its ticket", async () => {
  const { logins, finished, callback } = stage();
  await logins.begin("/", ORIGIN);
  const other = await logins.begin("/", ORIGIN);
  await assert.rejects(logins.finish(callback("s1"), other.cookie, ORIGIN), { ...EXPIRED, message: /another browser/ });
  await assert.rejects(logins.finish(callback("s2"), undefined, ORIGIN), EXPIRED);
  assert.equal(finished.length, 0);
  const third = await logins.begin("/", ORIGIN);
  const { ticket } = await logins.finish(callback("s3"), third.cookie, ORIGIN);
  await assert.rejects(logins.trade(ticket, other.cookie, ORIGIN), EXPIRED);
  // Whoever tried has used it up.
  await assert.rejects(logins.trade(ticket, third.cookie, ORIGIN), EXPIRED);
});

test("a login and its ticket live as long as they should, and no longer", async () => {
  const { logins, advance, callback } = stage();
  const first = await logins.begin("/", ORIGIN);
  advance(OIDC_LOGIN_MS - 1);
  const { ticket } = await logins.finish(callback("s1"), first.cookie, ORIGIN);
  advance(OIDC_TICKET_MS - 1);
  await logins.trade(ticket, first.cookie, ORIGIN);
  const second = await logins.begin("/", ORIGIN);
  advance(OIDC_LOGIN_MS);
  await assert.rejects(logins.finish(callback("s2"), second.cookie, ORIGIN), EXPIRED);
  const third = await logins.begin("/", ORIGIN);
  const late = await logins.finish(callback("s3"), third.cookie, ORIGIN);
  advance(OIDC_TICKET_MS);
  await assert.rejects(logins.trade(late.ticket, third.cookie, ORIGIN), EXPIRED);
});

test("a disabled account gets no session, in neither form", async () => {
  const { logins, accounts, polls, advance, callback } = stage();
  const { cookie } = await logins.begin("/", ORIGIN);
  accounts.disable("a");
  const { ticket } = await logins.finish(callback("s1"), cookie, ORIGIN);
  await assert.rejects(logins.trade(ticket, cookie, ORIGIN), { code: "account_disabled" });
  const { handle } = await logins.beginDevice(ORIGIN);
  polls.push(identity("a"));
  advance(5_000);
  await assert.rejects(logins.pollDevice(handle, ORIGIN), { code: "account_disabled" });
});

test("without a public URL there is no login in a browser", async () => {
  const { logins } = stage({ redirectUri: undefined });
  await assert.rejects(logins.begin("/", ORIGIN), { code: "oidc_not_configured", message: /AIRAVATA_PUBLIC_URL/ });
});

test("a device's login asks the provider no oftener than it wants, and slower when told", async () => {
  const { logins, polls, asked, advance } = stage();
  const { handle, userCode, ...rest } = await logins.beginDevice(ORIGIN);
  assert.equal(userCode, "ABCD-EFGH");
  assert.ok(!JSON.stringify({ ...rest, handle }).includes("secret-device-code"));
  assert.equal(await logins.pollDevice(handle, ORIGIN), undefined);
  assert.equal(asked.polls, 0);
  polls.push("slow_down", "pending", identity("a"));
  advance(5_000);
  assert.equal(await logins.pollDevice(handle, ORIGIN), undefined);
  assert.equal(asked.polls, 1);
  advance(9_999);
  await logins.pollDevice(handle, ORIGIN);
  assert.equal(asked.polls, 1);
  advance(1);
  assert.equal(await logins.pollDevice(handle, ORIGIN), undefined);
  assert.equal(asked.polls, 2);
  advance(10_000);
  // Two at once: one asks, one hears that it is pending.
  const both = await Promise.all([logins.pollDevice(handle, ORIGIN), logins.pollDevice(handle, ORIGIN)]);
  assert.deepEqual(both, [{ actor: 10 }, undefined]);
  assert.equal(asked.polls, 3);
  await assert.rejects(logins.pollDevice(handle, ORIGIN), EXPIRED);
});

test("a device's login goes on after what passes, and ends with a refusal or its time", async () => {
  const { logins, polls, advance } = stage();
  const first = await logins.beginDevice(ORIGIN);
  polls.push(new AiravataError("oidc_unavailable", "away"), new AiravataError("oidc_denied", "no"));
  advance(5_000);
  await assert.rejects(logins.pollDevice(first.handle, ORIGIN), { code: "oidc_unavailable" });
  advance(5_000);
  await assert.rejects(logins.pollDevice(first.handle, ORIGIN), { code: "oidc_denied" });
  await assert.rejects(logins.pollDevice(first.handle, ORIGIN), EXPIRED);
  const second = await logins.beginDevice(ORIGIN);
  assert.ok(second.expiresInMs <= OIDC_DEVICE_LOGIN_MS);
  advance(second.expiresInMs);
  await assert.rejects(logins.pollDevice(second.handle, ORIGIN), EXPIRED);
  await assert.rejects(logins.pollDevice("no such handle", ORIGIN), EXPIRED);
});

test("a provider that hangs is asked by twenty at once, five of one network", async () => {
  const { logins, asked, gate } = stage();
  const answered = Promise.withResolvers<void>();
  gate.open = answered.promise;
  const begin = (address: string) => logins.beginDevice({ ...ORIGIN, address });
  const begun = Array.from({ length: 5 }, (_, i) => begin(`2001:db8::${i}`));
  await assert.rejects(begin("2001:db8::9"), { code: "oidc_busy" });
  for (let i = 0; i < 15; i++) begun.push(begin(`192.0.2.${i}`));
  await assert.rejects(begin("192.0.2.99"), { code: "oidc_busy" });
  assert.equal(asked.begins, 20);
  answered.resolve();
  for (const { handle } of await Promise.all(begun)) assert.equal(await logins.pollDevice(handle, ORIGIN), undefined);
  await begin("2001:db8::9");
});

test("where there is no room the provider is not asked", async () => {
  const { logins, asked } = stage();
  for (let i = 0; i < 10_000; i++) await logins.beginDevice({ ...ORIGIN, address: `10.0.${i >> 8}.${i & 255}` });
  await assert.rejects(logins.beginDevice({ ...ORIGIN, address: "192.0.2.1" }), { code: "oidc_busy" });
  assert.equal(asked.begins, 10_000);
});

test("what is pending is bounded: by address the oldest goes, in all the oldest of who has most", () => {
  let now = 0;
  const pending = new PendingLogins<number>(() => now, 1_000);
  for (let i = 0; i < 201; i++) pending.put(`a${i}`, i, "192.0.2.1");
  assert.equal(pending.size, 200);
  assert.equal(pending.get("a0"), undefined);
  assert.equal(pending.get("a1"), 1);
  for (let i = 0; i < 9_800; i++) pending.put(`b${i}`, i, `198.51.100.${i}`);
  pending.put("c", 1, "203.0.113.1");
  assert.deepEqual([pending.get("a1"), pending.get("c"), pending.get("b0")], [undefined, 1, 0]);
  // His own oldest makes room for who has many.
  pending.put("a201", 201, "192.0.2.1");
  assert.deepEqual([pending.get("a2"), pending.get("a3")], [undefined, 3]);
  assert.equal(pending.size, 10_000);
  now = 1_000;
  pending.put("c", 1, "203.0.113.1");
  assert.equal(pending.size, 1);
});

test("a flood from a /48 of IPv6 pushes out its own; where everybody has one nobody loses it", () => {
  let now = 0;
  const pending = new PendingLogins<number>(() => now, 1_000);
  pending.put("a", 1, "192.0.2.1");
  pending.put("a2", 1, "192.0.2.1");
  for (let i = 0; i < 10_100; i++) pending.put(`f${i}`, i, `2001:db8:1:${i.toString(16)}::1`);
  assert.deepEqual(
    [pending.size, pending.get("a"), pending.get("f0"), pending.get("f102")],
    [10_000, 1, undefined, 102],
  );
  now = 1_000;
  for (let i = 0; i < 10_000; i++) pending.put(`g${i}`, i, `10.0.${i >> 8}.${i & 255}`);
  assert.throws(() => pending.put("h", 1, "192.0.2.1"), { code: "oidc_busy" });
  now = 2_000;
  pending.put("h", 1, "192.0.2.1");
  assert.equal(pending.size, 1);
});
