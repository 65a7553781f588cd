/** `airavata credential` against a real coordinator, as a person types it. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { SYSTEM_ACTOR } from "../../../shared/model/ids.ts";
import { airavata } from "../../support/cli.ts";
import { startTestCoordinator } from "../../support/coordinator.ts";
import { addPeople, temporaryDirectory } from "../../support/credential.ts";
import { OPENSSH_KEYS } from "../../unit/credential/keys.ts";

test("a credential from its file to its end", async (t) => {
  const at = await startTestCoordinator(t);
  await addPeople(at.databaseUrl, "bob", "physics");
  const env = { AIRAVATA_SERVER: at.url, AIRAVATA_TOKEN: at.token };
  const run = (words: string[], input?: string | Buffer) => airavata(["credential", ...words], { env, input });
  const file = join(temporaryDirectory(t), "id_cluster");
  writeFileSync(file, OPENSSH_KEYS.ed25519.secret);
  const made = await run(["create", "cluster", "--type", "ssh_key", "--from-file", file, "--username", "alice"]);
  assert.equal(made.code, 0, made.stderr);
  assert.ok(made.stdout.includes(OPENSSH_KEYS.ed25519.fingerprint), made.stdout);
  assert.match(made.stdout, /^username +alice$/m);

  const piped = await run(["create", "archive", "--type", "PASSWORD", "--json"], "hunter2\n");
  const { id } = JSON.parse(piped.stdout) as { id: number };
  await at.client.call("createStorageResource", {
    body: { name: "bucket", kind: "s3", configuration: { bucket: "b" } },
  });
  assert.match((await run(["bind", "archive", "--storage", "bucket"])).stdout, /Bound to storage resource bucket\./);
  const storage = { type: "storage_resource" as const, id: 1 };
  const read = () =>
    at.coordinator.useBound(storage, "PASSWORD", { actor: SYSTEM_ACTOR, purpose: "look" }, async (secret) =>
      String(secret),
    );
  // The line end that echo writes is no part of it, unless it is said to be.
  assert.equal(await read(), "hunter2");
  assert.equal((await run(["rotate", "archive", "--exact"], "hunter3\n")).code, 0);
  assert.equal(await read(), "hunter3\n");
  const bytes = Buffer.from([0, 255, 10, 13, 10]);
  assert.equal((await run(["rotate", String(id), "--from-file", "-"], bytes)).code, 0);

  assert.match((await run(["list", "--type", "password"])).stdout, /archive +PASSWORD +operator/);
  assert.match((await run(["test", "archive"])).stdout, /^ok +vault +secret 3 was read and opened$/m);
  assert.match((await run(["usage", "archive"])).stdout, /operator +test/);
  const shared = await run(["share", "archive", "bob", "group:physics", "--write"]);
  assert.match(shared.stdout, /bob +write/);
  assert.match(shared.stdout, /group:physics +write/);
  assert.doesNotMatch((await run(["unshare", "archive", "bob"])).stdout, /bob/);
  assert.match((await run(["update", "archive", "--name", "tape", "--description", "x"])).stdout, /^description +x$/m);
  const bound = await run(["delete", "tape"]);
  assert.deepEqual([bound.code, /unbind it first/.test(bound.stderr)], [3, true]);
  assert.match((await run(["unbind", "tape", "--storage", "bucket"])).stdout, /Bound to nothing/);
  assert.match((await run(["delete", "tape"])).stdout, /is deleted/);
  const gone = await run(["show", "tape"]);
  assert.deepEqual([gone.code, /no credential "tape" that you may see/.test(gone.stderr)], [5, true]);
  assert.match((await run(["list", "--deleted"])).stdout, /tape/);

  const vault = await airavata(["admin", "vault", "show"], { env });
  assert.match(vault.stdout, /sealed directory/);
  assert.match((await airavata(["admin", "vault", "rotate-key"], { env })).stdout, /sealed under key 2/);
  assert.equal((await run(["test", "cluster"])).code, 0);
});

test("a secret as an argument is refused without being repeated, before anything is sent", async (t) => {
  const env = { AIRAVATA_SERVER: "http://127.0.0.1:1", AIRAVATA_TOKEN: "x" };
  for (const words of [
    ["create", "archive", "hunter2", "--type", "password"],
    ["rotate", "archive", "hunter2"],
    ["create", "archive", "--type", "password", "--secret=hunter2"],
    ["create", "archive", "--type", "password", "--password", "hunter2"],
  ]) {
    const refused = await airavata(["credential", ...words], { env });
    assert.equal(refused.code, 3, refused.stderr);
    assert.match(refused.stderr, /A secret is never an argument/);
    assert.doesNotMatch(refused.stderr + refused.stdout, /hunter2/);
  }
  const untyped = await airavata(["credential", "create", "archive"], { env, input: "x" });
  assert.match(untyped.stderr, /--type must be given: one of SSH_KEY, PASSWORD/);
  const missing = join(temporaryDirectory(t), "nothing");
  const unread = await airavata(["credential", "create", "a", "--type", "token", "--from-file", missing], { env });
  assert.notEqual(unread.code, 0);
});
