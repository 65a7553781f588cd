/** What every vault promises, asked of each implementation. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import type { Vault } from "../../../coordinator/domain/credential/vault.ts";
import { AiravataError } from "../../../shared/error/error.ts";

/** Accepts a refusal with this code and a sentence that matches. */
export function refused(code: string, sentence: RegExp = /./): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof AiravataError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, sentence);
    return true;
  };
}

/** Bytes that no text survives, and the sizes at the edges. */
const SECRETS: Record<string, Buffer> = {
  "one byte": Buffer.from([0]),
  "every byte": Buffer.from(Array.from({ length: 256 }, (_, i) => i)),
  "the largest": randomBytes(64 * 1024),
};

let serial = 0;

/** A path that no other test of this process uses. */
export function freshPath(): string {
  return `${++serial}.1.${randomBytes(8).toString("hex")}`;
}

/** `open` gives the vault under test; it may be the same one for all. */
export function vaultSuite(name: string, open: () => Promise<Vault>): void {
  test(`${name}: what is put is got, byte for byte, until it is destroyed`, async () => {
    const vault = await open();
    for (const [what, secret] of Object.entries(SECRETS)) {
      const path = freshPath();
      await vault.put(path, secret);
      assert.ok((await vault.get(path)).equals(secret), what);
      await vault.destroy(path);
      await assert.rejects(vault.get(path), refused("secret_missing"), what);
      // Again, and where nothing ever was.
      await vault.destroy(path);
    }
    await vault.destroy(freshPath());
  });

  test(`${name}: a path is written once`, async () => {
    const vault = await open();
    const path = freshPath();
    await vault.put(path, Buffer.from("first"));
    await assert.rejects(vault.put(path, Buffer.from("second")), refused("vault_failed"));
    assert.equal(String(await vault.get(path)), "first");
  });

  test(`${name}: a path cannot leave the vault`, async () => {
    const vault = await open();
    for (const path of ["../token", "a/b", "", ".", "..", "a".repeat(200), "A", "a?version=2", "%2e%2e"]) {
      await assert.rejects(vault.put(path, Buffer.from("x")), refused("internal"), path);
      await assert.rejects(vault.get(path), refused("internal"), path);
    }
  });

  test(`${name}: it has one identity, also when many ask first`, async () => {
    const vault = await open();
    const ids = await Promise.all(Array.from({ length: 5 }, () => vault.identify(true)));
    assert.equal(new Set(ids).size, 1);
    assert.equal(await vault.identify(false), ids[0]);
    assert.deepEqual((await vault.status()).state, "ready");
  });

  test(`${name}: many secrets at once do not disturb each other`, async () => {
    const vault = await open();
    const all = Array.from({ length: 20 }, () => ({ path: freshPath(), secret: randomBytes(100) }));
    await Promise.all(all.map(({ path, secret }) => vault.put(path, secret)));
    const got = await Promise.all(all.map(({ path }) => vault.get(path)));
    assert.deepEqual(
      got.map((secret, i) => secret.equals(all[i]!.secret)),
      all.map(() => true),
    );
  });
}
