/** Which vault the settings mean, and what contradicts itself. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { openVault, type VaultSettings } from "../../../coordinator/vault/open.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { type Logger, silentLogger } from "../../../shared/log/log.ts";

const directory = mkdtempSync(join(tmpdir(), "airavata-vault-"));
after(() => rmSync(directory, { recursive: true, force: true }));
const paths = {
  openbaoCredentialsPath: "credentials",
  openbaoTransitPath: "transit",
  openbaoTransitKey: "credentials",
};
const open = (settings: Partial<VaultSettings>, log: Logger = silentLogger) =>
  openVault({ ...paths, ...settings }, join(directory, "vault"), log);
const openbaoAddr = "https://openbao.example:8200";

async function refuses(settings: Partial<VaultSettings>, sentence: RegExp): Promise<void> {
  await assert.rejects(open(settings), (error) => {
    assert.ok(error instanceof AiravataError, String(error));
    assert.equal(error.code, "setting_invalid");
    assert.match(error.message, sentence);
    return true;
  });
}

test("without OPENBAO_ADDR the sealed directory, with it OpenBao by token or AppRole", async () => {
  const opened = await Promise.all([
    open({}),
    open({ openbaoAddr, openbaoToken: "t" }),
    open({ openbaoAddr: `${openbaoAddr}/`, openbaoRoleId: "r", openbaoSecretId: "s" }),
  ]);
  for (const vault of opened) vault.close();
  assert.deepEqual(
    opened.map(({ kind, place }) => [kind, place]),
    [
      ["sealed_file", join(directory, "vault")],
      ["openbao", openbaoAddr],
      ["openbao", openbaoAddr],
    ],
  );
});

test("secrets never go anywhere else than was meant", async () => {
  await refuses({ openbaoToken: "t" }, /OPENBAO_TOKEN is set but OPENBAO_ADDR is not/);
  await refuses({ openbaoSecretId: "s" }, /OPENBAO_SECRET_ID is set/);
  await refuses({ openbaoAddr }, /either OPENBAO_TOKEN, or both/);
  await refuses({ openbaoAddr, openbaoRoleId: "r" }, /either OPENBAO_TOKEN, or both/);
  await refuses({ openbaoAddr, openbaoToken: "t", openbaoRoleId: "r", openbaoSecretId: "s" }, /either/);
  await refuses({ openbaoAddr: "openbao:8200", openbaoToken: "t" }, /must be an address/);
  await refuses({ openbaoAddr: "https://u:p@openbao", openbaoToken: "t" }, /must be an address/);
  await refuses({ openbaoAddr, openbaoToken: "t", openbaoTransitPath: "../sys" }, /is no path/);
});

test("plain HTTP beyond this machine is told", async () => {
  const told: string[] = [];
  const log = { ...silentLogger, warn: (text: string) => void told.push(text) } as Logger;
  for (const address of ["http://127.0.0.1:8200", "http://localhost:8200", "http://openbao.example:8200"]) {
    (await open({ openbaoAddr: address, openbaoToken: "t" }, log)).close();
  }
  assert.equal(told.length, 1);
  assert.match(told[0] ?? "", /in clear/);
});

test("a passphrase comes from a file, without its line end, and is long enough", async () => {
  const file = join(directory, "passphrase");
  await refuses({ vaultPassphraseFile: file }, /cannot be read \(ENOENT\)/);
  writeFileSync(file, "short\n");
  await refuses({ vaultPassphraseFile: file }, /fewer than 12 characters/);
  writeFileSync(file, "long enough for this\r\n");
  (await open({ vaultPassphraseFile: file })).close();
});
