/** `airavata auth` and `airavata user` against a real coordinator, as a person and a script type them. */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { airavata } from "../../support/cli.ts";
import { airavataReading } from "../../support/cli-input.ts";
import { startTestCoordinator, type TestCoordinator } from "../../support/coordinator.ts";

interface Person {
  env: NodeJS.ProcessEnv;
  credentials: string;
}

function person(t: TestContext, at: TestCoordinator): Person {
  const home = mkdtempSync(join(tmpdir(), "airavata-home-"));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  const env = {
    AIRAVATA_SERVER: at.url,
    AIRAVATA_TOKEN: "",
    XDG_CONFIG_HOME: home,
    AIRAVATA_DATA_DIR: join(home, "d"),
  };
  return { env, credentials: join(home, "airavata", "credentials.json") };
}

function kept({ credentials }: Person): { access_token: string; refresh_token: string; access_expires_at: string } {
  const { servers } = JSON.parse(readFileSync(credentials, "utf8"));
  return Object.values(servers)[0] as ReturnType<typeof kept>;
}

function change(who: Person, values: Partial<ReturnType<typeof kept>>): void {
  const file = JSON.parse(readFileSync(who.credentials, "utf8"));
  for (const login of Object.values(file.servers)) Object.assign(login as object, values);
  writeFileSync(who.credentials, JSON.stringify(file));
}

test("a person is made, logs in, is known, changes the password and logs out", async (t) => {
  const at = await startTestCoordinator(t);
  const operator = { AIRAVATA_SERVER: at.url, AIRAVATA_TOKEN: at.token };
  const made = await airavata(["user", "create", "ada", "--role", "administrator"], { env: operator });
  assert.equal(made.code, 0, made.stderr);
  const oneTime = made.stdout.trim();
  const ada = person(t, at);
  const before = await airavata(["auth", "status"], { env: ada.env });
  assert.equal(before.code, 2);
  assert.match(before.stderr, /You are not logged in at .*: log in with "airavata auth login"/);

  const login = ["auth", "login", "--username", "ada", "--password-stdin"];
  const wrong = await airavataReading("not it at all\n", login, ada.env);
  assert.equal(wrong.code, 2);
  const first = await airavataReading(`${oneTime}\n`, login, ada.env);
  assert.equal(first.code, 0, first.stderr);
  assert.match(first.stderr, /must be changed before anything else: "airavata auth password"/);
  const early = await airavata(["user", "list"], { env: ada.env });
  assert.equal(early.code, 2);
  assert.match(early.stderr, /change it first, with airavata auth password/);
  const changed = await airavataReading(`${oneTime}\nhorses and batteries\n`, ["auth", "password"], ada.env);
  assert.equal(changed.code, 0, changed.stderr);
  assert.equal(statSync(ada.credentials).mode & 0o777, 0o600);

  const status = await airavata(["auth", "status"], { env: ada.env });
  assert.match(status.stdout, /^logged in as +ada \(session \d+\)$/m);
  assert.match(status.stdout, /^role +administrator$/m);
  assert.match(status.stdout, /^until /m);
  assert.match((await airavata(["user", "list"], { env: ada.env })).stdout, / ada +- +administrator +good/);
  assert.match((await airavata(["auth", "sessions"], { env: ada.env })).stdout, /this one +airavata .* on /);

  const out = await airavata(["auth", "logout"], { env: ada.env });
  assert.equal(out.code, 0, out.stderr);
  assert.equal((await airavata(["auth", "status"], { env: ada.env })).code, 2);
  assert.equal((await airavata(["auth", "logout"], { env: ada.env })).code, 2);
  const both = await airavataReading("horses and batteries\n", login, ada.env);
  assert.equal(both.code, 0, both.stderr);

  assert.equal((await airavata(["user", "disable", "ada"], { env: operator })).code, 0);
  assert.equal((await airavata(["auth", "status"], { env: ada.env })).code, 2);
  const refused = await airavataReading("horses and batteries\n", login, ada.env);
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /account ada is disabled/);
});

test("an access token that has run out, or is not known, is renewed by the next command; two at once share one", async (t) => {
  const at = await startTestCoordinator(t);
  const operator = { AIRAVATA_SERVER: at.url, AIRAVATA_TOKEN: at.token };
  const oneTime = (await airavata(["user", "create", "ada"], { env: operator })).stdout.trim();
  const ada = person(t, at);
  const login = ["auth", "login", "--username", "ada", "--password-stdin"];
  const first = await airavataReading(`${oneTime}\nhorses and batteries\n`, login, ada.env);
  assert.equal(first.code, 0, first.stderr);
  const whole = kept(ada);

  change(ada, { access_expires_at: new Date(Date.now() + 5_000).toISOString() });
  const many = await Promise.all([1, 2, 3].map(() => airavata(["auth", "status"], { env: ada.env })));
  assert.deepEqual(
    many.map(({ code, stderr }) => [code, stderr]),
    many.map(() => [0, ""]),
  );
  const next = kept(ada);
  assert.notEqual(next.access_token, whole.access_token);
  assert.notEqual(next.refresh_token, whole.refresh_token);

  change(ada, { access_token: `${next.access_token}x` });
  assert.equal((await airavata(["auth", "status"], { env: ada.env })).code, 0, "renewed once on 401");
  // The login's end is seen, said and forgotten.
  change(ada, { access_token: "x", refresh_token: whole.refresh_token });
  const stolen = await airavata(["auth", "status"], { env: ada.env });
  assert.equal(stolen.code, 2);
  assert.match(stolen.stderr, /not logged in/);
  assert.deepEqual(JSON.parse(readFileSync(ada.credentials, "utf8")).servers, {});
});

test("a file that others can read is refused, and a token is shown to no other server", async (t) => {
  const at = await startTestCoordinator(t);
  const other = await startTestCoordinator(t);
  const operator = { AIRAVATA_SERVER: at.url, AIRAVATA_TOKEN: at.token };
  const oneTime = (await airavata(["user", "create", "ada"], { env: operator })).stdout.trim();
  const ada = person(t, at);
  const login = ["auth", "login", "--username", "ada", "--password-stdin"];
  await airavataReading(`${oneTime}\nhorses and batteries\n`, login, ada.env);
  assert.equal((await airavata(["auth", "status", "--server", other.url], { env: ada.env })).code, 2);
  const listed = await airavata(["auth", "token", "create", "ci", "--scope", "read", "--json"], { env: ada.env });
  const token = JSON.parse(listed.stdout).token;
  assert.match(token, /^apt_/);
  const byToken = { ...ada.env, AIRAVATA_TOKEN: token };
  assert.match((await airavata(["auth", "status"], { env: byToken })).stdout, /\(token \d+\)\nlimited to +read$/m);
  const made = await airavata(["auth", "token", "create", "more"], { env: byToken });
  assert.equal(made.code, 2);
  assert.match(made.stderr, /a personal token cannot do this/);
  assert.equal((await airavata(["auth", "token", "revoke", "1"], { env: ada.env })).code, 0);
  assert.equal((await airavata(["auth", "status"], { env: byToken })).code, 2);
  chmodSync(ada.credentials, 0o640);
  const open = await airavata(["auth", "status"], { env: ada.env });
  assert.equal(open.code, 3);
  assert.match(open.stderr, /can be read by others: "chmod 600/);
});
