/** Credentials over HTTP, PostgreSQL and a vault: their life, what is refused, and what survives a vault that goes away. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Vault } from "../../../coordinator/domain/credential/vault.ts";
import { createSealedDirectory } from "../../../coordinator/vault/sealed/directory.ts";
import { ApiError } from "../../../shared/api/client.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { SYSTEM_ACTOR } from "../../../shared/model/ids.ts";
import { until } from "../../support/agent-peer.ts";
import { startTestCoordinator, type TestCoordinator, type TestCoordinatorOptions } from "../../support/coordinator.ts";
import { addPeople, inDatabase, temporaryDirectory } from "../../support/credential.ts";
import { OPENSSH_KEYS } from "../../unit/credential/keys.ts";

const base64 = (text: string | Buffer): string => Buffer.from(text).toString("base64");

function refusedWith(code: string, message: RegExp = /./): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof ApiError || error instanceof AiravataError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  };
}

/** A sealed directory whose hand a test holds: it can be away, fail after writing, or stand still. */
class TestVault {
  readonly directory: string;
  away = false;
  /** Called after a put was durable and before it is answered. */
  afterPut: (() => Promise<void>) | undefined;

  constructor(directory: string) {
    this.directory = directory;
  }

  readonly open = (): Vault => {
    const real = createSealedDirectory({ directory: this.directory });
    const there = <A extends unknown[], R>(call: (...args: A) => Promise<R>) => {
      return async (...args: A): Promise<R> => {
        if (this.away) throw new AiravataError("vault_unreachable", "nothing listens there: it is a test");
        return call.apply(real, args);
      };
    };
    return {
      kind: real.kind,
      place: real.place,
      identify: there(real.identify),
      get: there(real.get),
      destroy: there(real.destroy),
      put: there(async (path: string, secret: Buffer) => {
        await real.put(path, secret);
        await this.afterPut?.();
      }),
      status: async () =>
        this.away ? { state: "unreachable", sentence: "nothing listens there: it is a test" } : real.status(),
      rotateKey: there(real.rotateKey),
      close: () => real.close(),
    };
  };

  /** Paths of the secrets that lie there. */
  paths(): string[] {
    return readdirSync(join(this.directory, "secrets")).sort();
  }
}

async function start(t: Parameters<typeof startTestCoordinator>[0], options: TestCoordinatorOptions = {}) {
  const vault = new TestVault(temporaryDirectory(t));
  const at = await startTestCoordinator(t, { vault: vault.open, ...options });
  return { at, vault };
}

function make(
  at: TestCoordinator,
  name: string,
  secret = "hunter2",
  type: "PASSWORD" | "SSH_KEY" | "TOKEN" = "PASSWORD",
) {
  return at.client.call("createCredential", { body: { name, type, secret: base64(secret) } });
}

test("made, shown, listed, changed, rotated, tested, deleted", async (t) => {
  const { at, vault } = await start(t);
  const { client } = at;
  const key = OPENSSH_KEYS.ed25519;
  const made = await client.call("createCredential", {
    body: { name: "cluster", type: "SSH_KEY", secret: base64(key.secret), username: "alice", description: "lab" },
  });
  assert.deepEqual([made.facts.fingerprint, made.secret_number, made.version], [key.fingerprint, 1, 1]);
  assert.deepEqual(made.owner, { id: 1, name: "operator" });
  const params = { credential: made.id };
  assert.deepEqual(await client.call("getCredential", { params }), made);
  const password = await make(at, "archive");
  assert.deepEqual(
    (await client.call("listCredentials", { query: { limit: 1 } })).items.map(({ name }) => name),
    ["archive"],
  );
  assert.deepEqual((await client.call("listCredentials", { query: { type: "SSH_KEY" } })).items, [made]);
  await assert.rejects(make(at, "archive"), refusedWith("credential_name_taken", /"archive"/));

  const changed = await client.call("changeCredential", { params, body: { name: "hpc", username: null, version: 1 } });
  assert.deepEqual([changed.name, changed.username, changed.description, changed.version], ["hpc", null, "lab", 2]);
  await assert.rejects(
    client.call("changeCredential", { params, body: { name: "x", version: 1 } }),
    refusedWith("credential_changed", /has version 2, not 1/),
  );
  assert.deepEqual(await client.call("testCredential", { params }), {
    ok: true,
    steps: [
      { step: "vault", ok: true, detail: "secret 1 was read and opened" },
      { step: "form", ok: true, detail: "it is a private key, and signs what its public half verifies" },
    ],
  });
  for (let number = 2; number <= 5; number++) {
    const { secret_number: is } = await client.call("rotateCredential", {
      params,
      body: { secret: base64(key.secret) },
    });
    assert.equal(is, number);
  }
  await assert.rejects(
    client.call("rotateCredential", { params, body: { secret: base64("no key") } }),
    refusedWith("credential_invalid", /no private SSH key/),
  );
  // Three of five, and the other credential's one.
  assert.deepEqual(
    vault.paths().map((path) => path.split(".").slice(0, 2).join(".")),
    [3, 4, 5].map((number) => `${made.id}.${number}`).concat(`${password.id}.1`),
  );
  const deleted = await client.call("deleteCredential", { params });
  assert.ok(deleted.deleted_at);
  assert.equal(vault.paths().length, 1);
  assert.deepEqual(await client.call("deleteCredential", { params }), deleted);
  await assert.rejects(client.call("testCredential", { params }), refusedWith("credential_not_found", /was deleted/));
  const names = async (all: "true" | "false") =>
    (await client.call("listCredentials", { query: { deleted: all } })).items.map(({ name }) => name);
  assert.deepEqual([await names("false"), await names("true")], [["archive"], ["archive", "hpc"]]);
  // Its name is free again.
  await make(at, "hpc");
});

test("bound, used, shared: again changes nothing, and what is bound is not deleted", async (t) => {
  const { at, vault } = await start(t);
  const { client, coordinator } = at;
  await addPeople(at.databaseUrl, "bob", "physics");
  const { id: credential } = await make(at, "storage", "s3cret");
  const params = { credential };
  const bucket = await client.call("createStorageResource", {
    body: { name: "bucket", kind: "s3", configuration: { bucket: "b" } },
  });
  const resource = { type: "storage_resource" as const, id: bucket.id };
  const named = { storage_resource: "bucket" };
  for (let i = 0; i < 2; i++) {
    const { items } = await client.call("bindCredential", { params, body: named });
    assert.deepEqual(
      items.map((each) => each.resource),
      [{ ...resource, name: "bucket" }],
    );
  }
  await assert.rejects(
    client.call("deleteCredential", { params }),
    refusedWith("credential_bound", /bound to storage resource bucket: unbind it first/),
  );
  const use = () =>
    coordinator.useBound(resource, "PASSWORD", { actor: SYSTEM_ACTOR, purpose: "listing" }, async (secret) =>
      String(secret),
    );
  assert.deepEqual([await use(), await use()], ["s3cret", "s3cret"]);
  const usage = await client.call("credentialUsage", { params });
  assert.deepEqual(
    usage.items.map(({ purpose, times, by, resource: at }) => [purpose, times, by.name, at]),
    [["listing", 2, "system", resource]],
  );
  // From memory while the vault is away; what was not used before is refused.
  vault.away = true;
  assert.equal(await use(), "s3cret");
  await assert.rejects(client.call("testCredential", { params }), refusedWith("vault_unreachable"));
  vault.away = false;
  for (let i = 0; i < 2; i++) {
    const { items } = await client.call("shareCredential", { params, body: { group: "physics" } });
    assert.deepEqual(
      items.map(({ with: { type, name }, access }) => [type, name, access]),
      [["group", "physics", "read"]],
    );
  }
  await client.call("shareCredential", { params, body: { user: "bob", access: "write" } });
  const narrowed = await client.call("shareCredential", { params, body: { user: "bob", access: "read" } });
  assert.deepEqual(
    narrowed.items.map(({ access }) => access),
    ["read", "read"],
  );
  await assert.rejects(
    client.call("shareCredential", { params, body: { user: "nobody" } }),
    refusedWith("user_not_found", /no user nobody/),
  );
  for (let i = 0; i < 2; i++) await client.call("unshareCredential", { params, query: { user: "bob" } });
  await assert.rejects(
    client.call("deleteStorageResource", { params: { resource: "bucket" } }),
    refusedWith("resource_in_use", /take its bindings away first/),
  );
  for (let i = 0; i < 2; i++) await client.call("unbindCredential", { params, query: named });
  await assert.rejects(use(), refusedWith("credential_not_found", /no credential of type PASSWORD bound/));
  await client.call("deleteCredential", { params });
  await inDatabase(at.databaseUrl, async (rows) => {
    const left = await rows<{ relation: string }>(
      "select relation from relationship where resource_type = 'credential' and resource_id = $1 order by 1",
      [String(credential)],
    );
    assert.deepEqual(
      left.map(({ relation }) => relation),
      ["platform"],
    );
    const audited = await rows<{ action: string; actor: string }>(
      "select action from audit where resource_type = 'credential' order by entry",
    );
    assert.deepEqual(
      audited.map(({ action }) => action.replace("credential.", "")),
      ["create", "bind", "share", "share", "share", "unshare", "unbind", "delete"],
    );
  });
});

test("bytes that are no text come back as they were, at every size up to the bound", async (t) => {
  const { at } = await start(t);
  for (const [i, secret] of [Buffer.from([0]), Buffer.alloc(64 * 1024, 0xff)].entries()) {
    const body = { name: `bytes-${i}`, type: "TOKEN" as const, secret: base64(secret) };
    const { id: credential } = await at.client.call("createCredential", { body });
    const made = await at.client.call("createComputeResource", {
      body: { name: `r${i}`, kind: "slurm", configuration: { host: "h" } },
    });
    const resource = { type: "compute_resource" as const, id: made.id };
    await at.client.call("bindCredential", { params: { credential }, body: { compute_resource: `r${i}` } });
    const use = { actor: SYSTEM_ACTOR, purpose: "test" };
    const got = await at.coordinator.useBound(resource, "TOKEN", use, async (bytes) => Buffer.from(bytes));
    assert.ok(got.equals(secret));
  }
  const body = { name: "large", type: "TOKEN" as const, secret: base64(Buffer.alloc(64 * 1024 + 1)) };
  await assert.rejects(at.client.call("createCredential", { body }), refusedWith("credential_invalid", /65537 bytes/));
  await assert.rejects(
    at.client.call("createCredential", { body: { ...body, secret: "not base64!" } }),
    refusedWith("request_invalid", /secret/),
  );
});

test("a vault that is away refuses what needs it, with Retry-After; the rest goes on, and what was to go goes later", async (t) => {
  const { at, vault } = await start(t);
  const { id: credential } = await make(at, "one");
  const params = { credential };
  vault.away = true;
  const body = JSON.stringify({ name: "two", type: "PASSWORD", secret: base64("x") });
  const headers = { authorization: `Bearer ${at.token}`, "content-type": "application/json" };
  const response = await fetch(`${at.url}/api/v1/credentials`, { method: "POST", body, headers });
  assert.equal(response.status, 503);
  assert.ok(response.headers.get("retry-after"));
  assert.equal((await at.client.call("getVault", {})).state, "unreachable");
  assert.equal((await at.client.call("listCredentials", {})).items.length, 1);
  assert.ok((await at.client.call("deleteCredential", { params })).deleted_at);
  assert.equal(vault.paths().length, 1);
  vault.away = false;
  // A coordinator that comes to lead destroys what is left.
  await at.restart();
  await until(() => vault.paths().length === 0, "the secret of the deleted credential to be destroyed");
});

test("a secret that is in the vault and whose credential was never made is destroyed", async (t) => {
  const { at, vault } = await start(t);
  await make(at, "kept");
  // As if the coordinator had died there.
  vault.afterPut = () => Promise.reject(new AiravataError("vault_unreachable", "the answer was lost"));
  await assert.rejects(make(at, "lost"), refusedWith("vault_unreachable"));
  vault.afterPut = undefined;
  assert.equal(vault.paths().length, 2);
  await at.restart();
  await until(() => vault.paths().length === 1, "the orphan to be destroyed");
  // The vault forgets it first, then the database says so.
  await until(
    () =>
      inDatabase(at.databaseUrl, async (rows) => {
        const states = await rows<{ state: string }>("select state from credential_secret order by 1");
        return states.map(({ state }) => state).join() === "destroyed,kept";
      }),
    "the database to say so",
  );
  await inDatabase(at.databaseUrl, async (rows) => {
    // One whose writer said nothing more is left alone for ten minutes and then destroyed.
    await rows(`insert into credential_secret (path, credential, number, changed_at)
                values ('900.1.old', 900, 1, now() - interval '11 min'), ('901.1.new', 901, 1, now())`);
  });
  await at.restart();
  await until(
    () =>
      inDatabase(at.databaseUrl, async (rows) => {
        const found = await rows<{ state: string }>("select state from credential_secret where credential = 900");
        return found[0]?.state === "destroyed";
      }),
    "the old one to be destroyed",
  );
  await inDatabase(at.databaseUrl, async (rows) => {
    const found = await rows<{ state: string }>("select state from credential_secret where credential = 901");
    assert.equal(found[0]?.state, "writing");
  });
});

test("of two rotations at once both are kept in order, and one secret holds", async (t) => {
  const { at } = await start(t);
  const { id: credential } = await make(at, "busy");
  const params = { credential };
  const results = await Promise.allSettled(
    Array.from({ length: 6 }, (_, i) =>
      at.client.call("rotateCredential", { params, body: { secret: base64(`secret ${i}`) } }),
    ),
  );
  for (const result of results) {
    if (result.status === "rejected") refusedWith("credential_changed", /another secret meanwhile/)(result.reason);
  }
  assert.ok(results.some(({ status }) => status === "fulfilled"));
  assert.equal((await at.client.call("getCredential", { params })).secret_number, 7);
  assert.equal((await at.client.call("testCredential", { params })).ok, true);
});

test("a coordinator with another vault says so, and does everything else", async (t) => {
  const { at } = await start(t);
  const { id: credential } = await make(at, "elsewhere");
  const other = temporaryDirectory(t);
  const beside = await startTestCoordinator(t, {
    beside: at,
    leading: false,
    vault: () => createSealedDirectory({ directory: other }),
  });
  await at.coordinator.stop();
  await beside.coordinator.leading;
  const { client } = beside;
  const params = { credential };
  for (const refused of [
    () => client.call("testCredential", { params }),
    () => client.call("createCredential", { body: { name: "new", type: "TOKEN", secret: base64("x") } }),
    () => client.call("rotateVaultKey", {}),
  ]) {
    await assert.rejects(
      refused,
      refusedWith("vault_not_here", /are in a sealed directory, vault [0-9a-f-]{36}; .* holds none/),
    );
  }
  assert.equal((await client.call("getVault", {})).state, "denied");
  assert.equal((await client.call("getCredential", { params })).name, "elsewhere");
  await client.call("submitExperiment", { body: { spec: "tasks: { a: { command: echo } }" } });
});

test("an Idempotency-Key makes one credential, and is not shared with whoever else uses it", async (t) => {
  const { at } = await start(t);
  const body = { name: "once", type: "PASSWORD" as const, secret: base64("x") };
  const first = await at.client.call("createCredential", { body, idempotencyKey: "k" });
  assert.deepEqual(await at.client.call("createCredential", { body, idempotencyKey: "k" }), first);
  await assert.rejects(
    at.client.call("createCredential", { body: { ...body, name: "twice" }, idempotencyKey: "k" }),
    refusedWith("idempotency_key_reused"),
  );
});
