/** Whose account a proven identity is: by issuer and subject alone, with a username of its own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { accountOf, usernames } from "../../../coordinator/domain/oidc/account.ts";
import type { ProvenIdentity } from "../../../coordinator/domain/oidc/ports.ts";
import { identity, memoryAccounts, ORIGIN } from "./accounts.ts";

const creating = { autoCreate: true, origin: ORIGIN };

test("the first login makes an account, the next ones find it", async () => {
  const accounts = memoryAccounts();
  const account = await accountOf(accounts, identity("a"), creating);
  assert.deepEqual(await accountOf(accounts, identity("a"), { ...creating, autoCreate: false }), account);
  assert.deepEqual(
    accounts.made.map(({ username }) => username),
    ["ada"],
  );
});

test("another subject, and the same one of another issuer, is another account, whatever e-mail and name it claims", async () => {
  const accounts = memoryAccounts();
  const first = await accountOf(accounts, identity("a"), creating);
  const second = await accountOf(accounts, identity("b"), creating);
  const third = await accountOf(accounts, { ...identity("a"), issuer: "https://other.example.org" }, creating);
  assert.equal(new Set([first, second, third].map(({ actor }) => actor)).size, 3);
  assert.deepEqual(
    accounts.made.map(({ username }) => username),
    ["ada", "ada-2", "ada-3"],
  );
});

test("nobody gets an account where none is made", async () => {
  const accounts = memoryAccounts();
  await assert.rejects(accountOf(accounts, identity("a"), { ...creating, autoCreate: false }), {
    code: "oidc_account_unknown",
  });
});

test("two first logins at once make one account", async () => {
  const accounts = memoryAccounts();
  const found = await Promise.all([
    accountOf(accounts, identity("a"), creating),
    accountOf(accounts, identity("a"), creating),
  ]);
  assert.deepEqual(found[0], found[1]);
  assert.equal(accounts.made.length, 1);
});

test("usernames are made of what the claim says", () => {
  const first = (username: string | undefined): string | undefined =>
    usernames({ ...identity("a"), username }).next().value ?? undefined;
  assert.equal(first("Ada"), "ada");
  assert.equal(first("ada.lovelace@example.org"), "ada.lovelace");
  assert.equal(first("Zoë Müller"), "zoe-muller");
  assert.equal(first("../../etc/passwd"), "etc-passwd");
  assert.equal(first("12345"), "u12345");
  assert.match(first("   ") ?? "", /^oidc-[0-9a-f]{12}$/);
  assert.match(first(undefined) ?? "", /^oidc-[0-9a-f]{12}$/);
  assert.match(first("日本") ?? "", /^oidc-[0-9a-f]{12}$/);
});

test("every username fits the database's rule", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 300 }), (username) => {
      const person: ProvenIdentity = { ...identity("a"), username };
      for (const name of usernames(person)) assert.match(name, /^(?=.*[a-z])[a-z0-9][a-z0-9._@+-]{0,99}$/);
    }),
    { numRuns: 200 },
  );
});
