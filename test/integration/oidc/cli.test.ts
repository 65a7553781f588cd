/** `airavata auth login --oidc` as a person types it, with a real provider and a browser elsewhere. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { airavata, RunningCli } from "../../support/cli.ts";
import { startTestCoordinator } from "../../support/coordinator.ts";
import { Browser, PUBLIC_CLIENT_ID, startProvider } from "../../support/oidc-provider.ts";

test("a person logs in by a code that is entered in a browser elsewhere, and is known afterwards", async (t) => {
  const { issuer } = await startProvider(t, { ada: { preferred_username: "ada" } });
  const at = await startTestCoordinator(t, {
    login: { oidcIssuer: issuer, oidcClientId: PUBLIC_CLIENT_ID, egressAllow: ["127.0.0.1"] },
  });
  const home = mkdtempSync(join(tmpdir(), "airavata-home-"));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  const env = {
    AIRAVATA_SERVER: at.url,
    AIRAVATA_TOKEN: "",
    XDG_CONFIG_HOME: home,
    AIRAVATA_DATA_DIR: join(home, "d"),
  };
  const operator = { AIRAVATA_SERVER: at.url, AIRAVATA_TOKEN: at.token };
  const create = ["user", "create", "lovelace", "--oidc-issuer", issuer];
  assert.equal((await airavata(create, { env: operator })).code, 3);
  const made = await airavata([...create, "--oidc-subject", "ada"], { env: operator });
  assert.equal(made.code, 0, made.stderr);

  const login = new RunningCli(["auth", "login", "--oidc"], { env });
  t.after(() => login.kill());
  await login.said(/or open (\S+)\n/);
  const [, complete = ""] = /or open (\S+)\n/.exec(login.stderr) ?? [];
  await new Browser().login(complete, "ada");
  const done = await login.end();
  assert.equal(done.code, 0, done.stderr);
  assert.equal(done.stdout, `Logged in at ${at.url} as lovelace.\n`);
  assert.equal(statSync(join(home, "airavata", "credentials.json")).mode & 0o777, 0o600);
  const status = await airavata(["auth", "status", "--json"], { env });
  assert.equal(JSON.parse(status.stdout).user.name, "lovelace", status.stderr);
});

test("where there is no provider the command says so", async (t) => {
  const at = await startTestCoordinator(t);
  const env = { AIRAVATA_SERVER: at.url, AIRAVATA_TOKEN: "", XDG_CONFIG_HOME: "/nonexistent" };
  const refused = await airavata(["auth", "login", "--oidc"], { env });
  assert.equal(refused.code, 5);
  assert.match(refused.stderr, /no OpenID provider is configured here/);
});
