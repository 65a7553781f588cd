/** Settings of logins and egress that cannot work are refused before anything is started. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { prepareLogins } from "../../../coordinator/login.ts";
import { systemClock } from "../../../shared/time/clock.ts";
import { memoryAccounts } from "../oidc/accounts.ts";

const prepare = (settings: Omit<Parameters<typeof prepareLogins>[0]["settings"], "bind">, bind = "127.0.0.1") =>
  prepareLogins({ settings: { bind, ...settings }, url: () => "http://127.0.0.1:8080", clock: systemClock });

test("each wrong one is named", () => {
  const issuer = { oidcIssuer: "https://idp.example.org", oidcClientId: "airavata" };
  const wrong: [Parameters<typeof prepare>[0], RegExp][] = [
    [{ oidcIssuer: "https://idp.example.org" }, /OIDC_CLIENT_ID/],
    [{ ...issuer, oidcIssuer: "http://idp.example.org" }, /OIDC_ISSUER/],
    [{ egressAllow: ["10.0.0.0/99"] }, /AIRAVATA_EGRESS_ALLOW/],
    ...["x", "ftp://a", "https://a/path", "https://a?b", "https://u@a"].map(
      (publicUrl): [Parameters<typeof prepare>[0], RegExp] => [{ publicUrl }, /AIRAVATA_PUBLIC_URL/],
    ),
  ];
  for (const [settings, message] of wrong) {
    assert.throws(() => prepare(settings), { code: "setting_invalid", message }, JSON.stringify(settings));
  }
  assert.ok(prepare(issuer)(memoryAccounts()).oidc);
  assert.equal(prepare({})(memoryAccounts()).oidc, undefined);
});

test("browsers come to the public URL; without one, where it listens, if nobody else can be meant", () => {
  const publicUrl = "https://airavata.example.org";
  assert.equal(prepare({ publicUrl: `${publicUrl}/` }, "0.0.0.0")(memoryAccounts()).publicUrl(), publicUrl);
  assert.equal(prepare({})(memoryAccounts()).publicUrl(), "http://127.0.0.1:8080");
  assert.equal(prepare({}, "0.0.0.0")(memoryAccounts()).publicUrl(), undefined);
});
