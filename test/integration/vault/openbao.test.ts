/**
 * A real OpenBao as the vault: with the project's policy and the guide's, sealed, killed, frozen, cut off, with tokens
 * that end, are wrong or revoked, and with what lies in it changed. Each trouble has its own sentence.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { inspect } from "node:util";
import type { Vault } from "../../../coordinator/domain/credential/vault.ts";
import { createOpenBao, type OpenBaoOptions } from "../../../coordinator/vault/openbao/openbao.ts";
import { type Logger, silentLogger } from "../../../shared/log/log.ts";
import { until } from "../../support/agent-peer.ts";
import { Forwarder } from "../../support/fault-forwarder.ts";
import { POLICY_FILES, startOpenBao, type TestOpenBao } from "../../support/openbao.ts";
import { needs } from "../../support/services.ts";
import { freshPath, refused, vaultSuite } from "./suite.ts";

const skip = needs("openbao");
/** Long enough that a loaded machine does not take it for frozen. */
const TIMEOUT_MS = 2_000;
const opened: Vault[] = [];
const ends: (() => Promise<void>)[] = [];
let starting: Promise<TestOpenBao> | undefined;
const server = (): Promise<TestOpenBao> => (starting ??= startOpenBao((end) => ends.push(end), "20s"));
after(async () => {
  for (const vault of opened) vault.close();
  for (const end of ends) await end();
});

function open(bao: TestOpenBao, more: Partial<OpenBaoOptions> = {}): Vault {
  const vault = createOpenBao({
    address: bao.url,
    login: { roleId: bao.roleId, secretId: bao.secretId },
    credentialsPath: "credentials",
    transitPath: "transit",
    transitKey: "credentials",
    log: silentLogger,
    timeoutMs: TIMEOUT_MS,
    ...more,
  });
  opened.push(vault);
  return vault;
}

if (!skip) {
  let shared: Vault | undefined;
  vaultSuite("OpenBao", async () => (shared ??= open(await server())));
}

test("nothing lies at OpenBao in clear, and AppRole's secret is used once for many calls", { skip }, async () => {
  const bao = await server();
  const vault = open(bao);
  const path = freshPath();
  await vault.put(path, Buffer.from("canary-4a1f9c"));
  const { data } = (await bao.ask("GET", `credentials/data/${path}`)).data;
  assert.deepEqual(Object.keys(data), ["ciphertext"]);
  assert.match(data.ciphertext, /^vault:v1:/);
  await bao.ask("POST", "transit/keys/credentials/rotate", {});
  assert.equal(String(await vault.get(path)), "canary-4a1f9c");
  await assert.rejects(vault.rotateKey(), refused("vault_failed", /bao write -f transit\/keys\/credentials\/rotate/));
});

test("the guide's policy is enough; then deleting is told to be no destroying", { skip }, async () => {
  const bao = await server();
  const path = freshPath();
  const told: string[] = [];
  const log = { ...silentLogger, warn: (text: string) => void told.push(text) } as Logger;
  const vault = open(bao, { log });
  await bao.setPolicy(POLICY_FILES.guide);
  try {
    await vault.identify(true);
    await vault.put(path, Buffer.from("kept"));
    assert.equal(String(await vault.get(path)), "kept");
    await vault.destroy(path);
    await assert.rejects(vault.get(path), refused("secret_missing"));
    assert.match(told.join(), /deleted at OpenBao but not destroyed/);
  } finally {
    await bao.setPolicy(POLICY_FILES.ours);
  }
  await vault.destroy(path);
  await assert.rejects(bao.ask("GET", `credentials/metadata/${path}`), /404/);
});

test("a ciphertext that was changed or moved does not open; one that was written over is not taken", {
  skip,
}, async () => {
  const bao = await server();
  const vault = open(bao);
  const [path, other, over] = [freshPath(), freshPath(), freshPath()];
  for (const each of [path, other, over]) await vault.put(each, Buffer.from(each));
  const { data } = (await bao.ask("GET", `credentials/data/${path}`)).data;
  const plant = async (at: string, ciphertext: string): Promise<void> => {
    await bao.ask("DELETE", `credentials/metadata/${at}`);
    await bao.ask("POST", `credentials/data/${at}`, { data: { ciphertext } });
  };
  await plant(other, data.ciphertext);
  await assert.rejects(vault.get(other), refused("secret_damaged", /brought here from another path/));
  const flipped = data.ciphertext.replace(/.(?=.{8}$)/, (letter: string) => (letter === "A" ? "B" : "A"));
  await plant(path, flipped);
  await assert.rejects(vault.get(path), refused("secret_damaged"));
  await bao.ask("POST", `credentials/data/${over}`, { data: { ciphertext: data.ciphertext } });
  assert.equal(String(await vault.get(over)), over);
});

test("missing engines and keys are named", { skip }, async () => {
  const bao = await server();
  const login = { token: bao.rootToken };
  const noKv = open(bao, { credentialsPath: "nowhere", login });
  await assert.rejects(noKv.put(freshPath(), Buffer.from("x")), refused("vault_failed", /no engine/));
  const noTransit = open(bao, { transitPath: "nowhere", login });
  await assert.rejects(noTransit.put(freshPath(), Buffer.from("x")), refused("vault_failed", /no engine/));
  const vault = open(bao);
  const path = freshPath();
  await vault.put(path, Buffer.from("x"));
  const otherKey = open(bao, { transitKey: "absent", login });
  await assert.rejects(otherKey.get(path), refused("vault_failed", /no such transit key|refused decrypt/));
});

test("a short token is renewed for as long as it may be, and used up ones are told apart", { skip }, async () => {
  const bao = await server();
  const path = freshPath();
  const periodic = await bao.token({ period: "2s" });
  const renewed = open(bao, { login: { token: periodic } });
  await renewed.put(path, Buffer.from("kept"));
  const ending = open(bao, { login: { token: await bao.token({ ttl: "2s", explicit_max_ttl: "3s" }) } });
  assert.equal(String(await ending.get(path)), "kept");
  const startedMs = performance.now();
  await until(
    () =>
      ending.get(path).then(
        () => false,
        (error) => refused("vault_denied", /expired at 20\d\d-.*OPENBAO_ROLE_ID/)(error),
      ),
    "the end of a token with a bound",
    20_000,
  );
  // More than two periods later the renewed one still works.
  await until(() => performance.now() - startedMs > 4_500, "more than two periods");
  assert.equal(String(await renewed.get(path)), "kept");
  const lasting = await bao.token({ period: "300s" });
  const revoked = open(bao, { login: { token: lasting } });
  assert.equal(String(await revoked.get(path)), "kept");
  await bao.ask("POST", "auth/token/revoke", { token: lasting });
  await assert.rejects(revoked.get(path), refused("vault_denied", /worked and was revoked/));
  const wrong = open(bao, { login: { token: "s.wrong" } });
  await assert.rejects(wrong.get(path), refused("vault_denied", /does not know the token in OPENBAO_TOKEN/));
  assert.equal((await wrong.status()).state, "denied");
  const noRights = (await bao.ask("POST", "auth/token/create-orphan", { policies: ["default"] })).auth.client_token;
  const stranger = open(bao, { login: { token: noRights } });
  await assert.rejects(
    stranger.get(path),
    refused("vault_denied", /may not read credentials .* deploy\/openbao\/policy\.hcl/),
  );
});

test("AppRole: a revoked token is replaced unseen, a wrong secret id is told", { skip }, async () => {
  const bao = await server();
  const vault = open(bao);
  const path = freshPath();
  await vault.put(path, Buffer.from("kept"));
  const { keys } = (await bao.ask("LIST", "auth/token/accessors")).data;
  for (const accessor of keys) {
    const { data } = await bao.ask("POST", "auth/token/lookup-accessor", { accessor }).catch(() => ({ data: {} }));
    if (data.path === "auth/approle/login") await bao.ask("POST", "auth/token/revoke-accessor", { accessor });
  }
  assert.equal(String(await vault.get(path)), "kept");
  const wrong = open(bao, { login: { roleId: bao.roleId, secretId: "00000000-0000-0000-0000-000000000000" } });
  await assert.rejects(wrong.get(path), refused("vault_denied", /OPENBAO_ROLE_ID and OPENBAO_SECRET_ID/));
});

test("sealed, killed, restarted, frozen and cut off: each its sentence, and it goes on by itself", {
  skip,
}, async () => {
  const bao = await server();
  const path = freshPath();
  const vault = open(bao);
  await vault.put(path, Buffer.from("kept"));
  await bao.seal();
  await assert.rejects(vault.get(path), refused("vault_sealed", /^OpenBao at \S+ is sealed: run bao operator unseal/));
  assert.equal((await vault.status()).state, "sealed");
  await bao.unseal();
  assert.equal(String(await vault.get(path)), "kept");

  await bao.kill();
  await assert.rejects(vault.get(path), refused("vault_unreachable", /nothing listens at/));
  assert.equal((await vault.status()).state, "unreachable");
  await bao.start();
  await assert.rejects(vault.get(path), refused("vault_sealed", /was restarted and is sealed since/));
  await bao.unseal();
  assert.equal(String(await vault.get(path)), "kept");

  bao.freeze();
  const startedMs = performance.now();
  await assert.rejects(vault.get(path), refused("vault_unreachable", /did not answer within 2 s: it is frozen/));
  assert.ok(performance.now() - startedMs < 3 * TIMEOUT_MS);
  bao.thaw();
  assert.equal(String(await vault.get(path)), "kept");

  // A proxy that takes connections and breaks them off.
  const forwarder = await Forwarder.listen("http://127.0.0.1:1");
  try {
    const behind = open(bao, { address: forwarder.url });
    await assert.rejects(behind.get(path), refused("vault_unreachable", /broke the connection off/));
    forwarder.turn(bao.url);
    assert.equal(String(await behind.get(path)), "kept");
  } finally {
    forwarder.close();
  }
  const nobody = open(bao, { address: "http://openbao.invalid:8200" });
  await assert.rejects(nobody.get(path), refused("vault_unreachable", /cannot be resolved/));
  const plain = open(bao, { address: bao.url.replace("http:", "https:") });
  await assert.rejects(plain.get(path), refused("vault_unreachable", /does not speak TLS/));
});

test("no error holds the token or what was sent, however deep one looks", { skip }, async () => {
  const bao = await server();
  const canary = "canary-4a1f9c";
  const token = await bao.token({ period: "60s" });
  const vault = open(bao, { login: { token } });
  const path = freshPath();
  await vault.put(path, Buffer.from("kept"));
  const errors: unknown[] = [];
  const provoke = async (at: Vault): Promise<void> => {
    await at.put(path, Buffer.from(canary)).catch((error) => errors.push(error));
    await at.put(freshPath(), Buffer.from(canary)).catch((error) => errors.push(error));
  };
  await provoke(vault);
  await provoke(open(bao, { login: { token }, transitPath: "nowhere" }));
  await provoke(open(bao, { login: { token }, address: "http://127.0.0.1:1" }));
  bao.freeze();
  await provoke(vault);
  bao.thaw();
  await bao.seal();
  await provoke(vault);
  await bao.unseal();
  assert.ok(errors.length >= 8, `${errors.length}`);
  const text = errors.map((error) => inspect(error, { depth: 20, showHidden: true })).join("\n");
  for (const form of [canary, Buffer.from(canary).toString("base64"), token]) assert.ok(!text.includes(form), form);
});
