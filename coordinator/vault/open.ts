/**
 * Which vault the settings name: OpenBao with `OPENBAO_ADDR`, else the sealed directory. Settings that contradict each
 * other are refused, so that no secret goes anywhere else than was meant.
 */
import { readFile } from "node:fs/promises";
import { AiravataError } from "../../shared/error/error.ts";
import type { Logger } from "../../shared/log/log.ts";
import type { Vault } from "../domain/credential/vault.ts";
import { createOpenBao } from "./openbao/openbao.ts";
import type { OpenBaoLogin } from "./openbao/token.ts";
import { createSealedDirectory } from "./sealed/directory.ts";

/** As in the coordinator's table of settings. */
export interface VaultSettings {
  openbaoAddr?: string | undefined;
  openbaoToken?: string | undefined;
  openbaoRoleId?: string | undefined;
  openbaoSecretId?: string | undefined;
  openbaoCredentialsPath: string;
  openbaoTransitPath: string;
  openbaoTransitKey: string;
  vaultPassphraseFile?: string | undefined;
}

/** A passphrase that a person chose and a program cannot guess in its life has at least so many characters. */
const PASSPHRASE_LENGTH_MIN = 12;

/** Throws `setting_invalid`. Nothing is connected to yet. */
export async function openVault(settings: VaultSettings, directory: string, log: Logger): Promise<Vault> {
  const address = settings.openbaoAddr;
  if (address === undefined) {
    for (const [variable, value] of [
      ["OPENBAO_TOKEN", settings.openbaoToken],
      ["OPENBAO_ROLE_ID", settings.openbaoRoleId],
      ["OPENBAO_SECRET_ID", settings.openbaoSecretId],
    ]) {
      if (value !== undefined) throw invalid(`${variable} is set but OPENBAO_ADDR is not: set both or none`);
    }
    return createSealedDirectory({ directory, passphrase: await readPassphrase(settings.vaultPassphraseFile) });
  }
  const url = URL.parse(address);
  if (!url || !["http:", "https:"].includes(url.protocol) || url.username !== "" || url.search !== "") {
    throw invalid("OPENBAO_ADDR must be an address like https://openbao.example:8200, without a user or a query");
  }
  if (url.protocol === "http:" && !/^(localhost|127\.[\d.]+|\[::1\])$/.test(url.hostname)) {
    log.warn("OPENBAO_ADDR begins with http://: token and secrets cross the network in clear", { address });
  }
  const { openbaoCredentialsPath: credentialsPath, openbaoTransitPath: transitPath } = settings;
  const paths = { credentialsPath, transitPath, transitKey: settings.openbaoTransitKey };
  for (const path of Object.values(paths)) {
    if (!/^[\w-]+(\/[\w-]+)*$/.test(path)) throw invalid(`"${path}" is no path of an engine or key of OpenBao`);
  }
  return createOpenBao({ address: address.replace(/\/+$/, ""), login: loginOf(settings), ...paths, log });
}

function loginOf({ openbaoToken, openbaoRoleId, openbaoSecretId }: VaultSettings): OpenBaoLogin {
  const hasRole = openbaoRoleId !== undefined && openbaoSecretId !== undefined;
  if (openbaoToken !== undefined && openbaoRoleId === undefined && openbaoSecretId === undefined) {
    return { token: openbaoToken };
  }
  if (openbaoToken === undefined && hasRole) return { roleId: openbaoRoleId, secretId: openbaoSecretId };
  throw invalid("with OPENBAO_ADDR set either OPENBAO_TOKEN, or both OPENBAO_ROLE_ID and OPENBAO_SECRET_ID");
}

async function readPassphrase(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw invalid(`the file of the vault's passphrase, ${path}, cannot be read (${error.code})`);
  });
  const passphrase = text.replace(/\r?\n$/, "");
  if (passphrase.length >= PASSPHRASE_LENGTH_MIN) return passphrase;
  throw invalid(`the passphrase in ${path} has fewer than ${PASSPHRASE_LENGTH_MIN} characters`);
}

function invalid(message: string): AiravataError {
  return new AiravataError("setting_invalid", message);
}
