/** The sealed directory: the vault of one machine, what it refuses, and what survives whatever is done to its files. */
import assert from "node:assert/strict";
import {
  chmodSync,
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { createSealedDirectory } from "../../../coordinator/vault/sealed/directory.ts";
import { freshPath, refused, vaultSuite } from "./suite.ts";

const BASE = mkdtempSync(join(tmpdir(), "airavata-vault-"));
after(() => rmSync(BASE, { recursive: true, force: true }));
let serial = 0;
const freshDirectory = (): string => join(BASE, `vault ${++serial}`);
const PASSPHRASE = "correct horse battery staple";

const shared = createSealedDirectory({ directory: freshDirectory() });
vaultSuite("sealed directory", async () => shared);
const underPassphrase = createSealedDirectory({ directory: freshDirectory(), passphrase: PASSPHRASE });
vaultSuite("sealed directory under a passphrase", async () => underPassphrase);

test("every file is its owner's alone, and none holds what is kept", async () => {
  const directory = freshDirectory();
  const vault = createSealedDirectory({ directory, passphrase: PASSPHRASE });
  const canary = Buffer.from("canary-4a1f9c in the mine");
  await vault.put(freshPath(), canary);
  assert.equal(statSync(join(directory, "secrets")).mode & 0o777, 0o700);
  for (const name of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (!name.isFile()) continue;
    const path = join(name.parentPath, name.name);
    assert.equal(statSync(path).mode & 0o777, 0o600, path);
    const content = readFileSync(path);
    for (const form of [
      canary.toString(),
      canary.toString("base64").slice(0, 20),
      canary.toString("hex"),
      PASSPHRASE,
    ]) {
      assert.ok(!content.includes(form), `${path} holds ${form}`);
    }
  }
});

test("another process with the same directory reads what this one wrote; a wrong passphrase reads nothing", async () => {
  const directory = freshDirectory();
  const path = freshPath();
  await createSealedDirectory({ directory, passphrase: PASSPHRASE }).put(path, Buffer.from("kept"));
  const again = createSealedDirectory({ directory, passphrase: PASSPHRASE });
  assert.equal(String(await again.get(path)), "kept");
  const wrong = createSealedDirectory({ directory, passphrase: `${PASSPHRASE}s` });
  await assert.rejects(wrong.get(path), refused("vault_denied", /passphrase does not open/));
  assert.equal((await wrong.status()).state, "denied");
  const none = createSealedDirectory({ directory });
  await assert.rejects(none.get(path), refused("vault_denied", /AIRAVATA_VAULT_PASSPHRASE_FILE/));
});

test("a ring of keys that others can read is refused until its mode is mended", async () => {
  const directory = freshDirectory();
  const path = freshPath();
  await createSealedDirectory({ directory }).put(path, Buffer.from("kept"));
  const ring = join(directory, "keyring.json");
  chmodSync(ring, 0o640);
  const vault = createSealedDirectory({ directory });
  await assert.rejects(vault.get(path), refused("vault_denied", /can be read by others \(mode 640\): run chmod 600/));
  chmodSync(ring, 0o600);
  assert.equal(String(await vault.get(path)), "kept");
});

test("a record that was changed anywhere, cut, moved or brought from elsewhere does not open", async () => {
  const directory = freshDirectory();
  const vault = createSealedDirectory({ directory });
  const [path, other] = [freshPath(), freshPath()];
  await vault.put(path, Buffer.from("the secret"));
  await vault.put(other, Buffer.from("another one"));
  const file = join(directory, "secrets", path);
  const whole = readFileSync(file);
  for (let at = 0; at < whole.length; at++) {
    const changed = Buffer.from(whole);
    changed[at]! ^= 1;
    writeFileSync(file, changed);
    await assert.rejects(vault.get(path), refused("secret_damaged"), `byte ${at}`);
  }
  for (const length of [0, 3, whole.length - 1]) {
    writeFileSync(file, whole.subarray(0, length));
    await assert.rejects(vault.get(path), refused("secret_damaged"), `${length} bytes`);
  }
  writeFileSync(file, Buffer.concat([whole, Buffer.from([0])]));
  await assert.rejects(vault.get(path), refused("secret_damaged"));
  copyFileSync(join(directory, "secrets", other), file);
  await assert.rejects(vault.get(path), refused("secret_damaged", /another path or vault/));
  const elsewhere = freshDirectory();
  await createSealedDirectory({ directory: elsewhere }).put(path, Buffer.from("planted"));
  copyFileSync(join(elsewhere, "secrets", path), file);
  await assert.rejects(vault.get(path), refused("secret_damaged"));
  writeFileSync(file, whole);
  assert.equal(String(await vault.get(path)), "the secret");
});

test("a rotation puts everything under a new key, and what was sealed before opens in every process", async () => {
  const directory = freshDirectory();
  const vault = createSealedDirectory({ directory });
  const beside = createSealedDirectory({ directory });
  const paths = Array.from({ length: 5 }, freshPath);
  for (const path of paths) await vault.put(path, Buffer.from(path));
  assert.equal(String(await beside.get(paths[0]!)), paths[0]);
  const before = readFileSync(join(directory, "keyring.json"), "utf8");
  // What is put meanwhile is not lost either.
  const meanwhile = freshPath();
  const [number] = await Promise.all([vault.rotateKey(), vault.put(meanwhile, Buffer.from(meanwhile))]);
  assert.equal(number, 2);
  for (const path of [...paths, meanwhile]) {
    assert.equal(String(await vault.get(path)), path);
    assert.equal(String(await beside.get(path)), path);
  }
  // The old ring opens nothing any more.
  writeFileSync(join(directory, "keyring.json"), before);
  await assert.rejects(
    createSealedDirectory({ directory }).get(paths[0]!),
    refused("secret_damaged", /not in the ring/),
  );
});

test("what is put after another process has rotated the ring is sealed with a key that is in it", async () => {
  const directory = freshDirectory();
  for (const passphrase of [undefined, PASSPHRASE]) {
    const ours = `${directory} ${passphrase ?? "plain"}`;
    const vault = createSealedDirectory({ directory: ours, passphrase });
    const beside = createSealedDirectory({ directory: ours, passphrase });
    await vault.put(freshPath(), Buffer.from("known"));
    assert.equal(await beside.rotateKey(), 2);
    const path = freshPath();
    await vault.put(path, Buffer.from("later"));
    assert.equal(String(await createSealedDirectory({ directory: ours, passphrase }).get(path)), "later");
  }
  // At the same time too.
  const vault = createSealedDirectory({ directory });
  const beside = createSealedDirectory({ directory });
  await vault.put(freshPath(), Buffer.from("known"));
  for (let round = 0; round < 10; round++) {
    const paths = Array.from({ length: 4 }, freshPath);
    await Promise.all([beside.rotateKey(), ...paths.map((path) => vault.put(path, Buffer.from(path)))]);
    const fresh = createSealedDirectory({ directory });
    for (const path of paths) assert.equal(String(await fresh.get(path)), path);
  }
});

test("what is destroyed while the key is changed stays destroyed", async () => {
  const vault = createSealedDirectory({ directory: freshDirectory() });
  const paths = Array.from({ length: 40 }, freshPath);
  for (const path of paths) await vault.put(path, Buffer.from("gone"));
  const rotating = vault.rotateKey();
  // At every moment of the rotation some of them are being destroyed.
  for (const path of paths.toReversed()) await vault.destroy(path);
  await rotating;
  for (const path of paths) await assert.rejects(vault.get(path), refused("secret_missing", /was removed/));
});

test("a rotation that was cut off leaves everything readable, and the next one finishes it", async () => {
  const directory = freshDirectory();
  const vault = createSealedDirectory({ directory });
  const paths = [freshPath(), freshPath()];
  for (const path of paths) await vault.put(path, Buffer.from(path));
  const first = join(directory, "secrets", paths[0]!);
  const sealedBefore = readFileSync(first);
  const ringBefore = JSON.parse(readFileSync(join(directory, "keyring.json"), "utf8"));
  await vault.rotateKey();
  // As it was after the second record and before the old key left: one record under each key.
  const ringAfter = JSON.parse(readFileSync(join(directory, "keyring.json"), "utf8"));
  const both = { ...ringAfter, keys: [...ringBefore.keys, ...ringAfter.keys] };
  writeFileSync(join(directory, "keyring.json"), JSON.stringify(both));
  writeFileSync(first, sealedBefore);
  const next = createSealedDirectory({ directory });
  for (const path of paths) assert.equal(String(await next.get(path)), path);
  assert.equal(await next.rotateKey(), 3);
  for (const path of paths) assert.equal(String(await next.get(path)), path);
  assert.equal(JSON.parse(readFileSync(join(directory, "keyring.json"), "utf8")).keys.length, 1);
});

test("what a writer that died left is removed at the next start and never taken for a secret", async () => {
  const directory = freshDirectory();
  const path = freshPath();
  await createSealedDirectory({ directory }).put(path, Buffer.from("kept"));
  const partial = join(directory, "secrets", `${freshPath()}.partial-0123456789ab`);
  writeFileSync(partial, "half");
  const hourAgo = Date.now() / 1000 - 3_600;
  utimesSync(partial, hourAgo, hourAgo);
  const vault = createSealedDirectory({ directory });
  assert.equal(String(await vault.get(path)), "kept");
  assert.deepEqual(readdirSync(join(directory, "secrets")), [path]);
});
