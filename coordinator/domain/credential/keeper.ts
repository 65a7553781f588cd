/**
 * The vault of this database, and no other: before anything is asked of the vault that the settings name, its identity
 * is compared with the one that the database remembers. Secrets that were read stay in memory for a bounded time.
 */
import { AiravataError } from "../../../shared/error/error.ts";
import { SECRET_CACHE_MAX, SECRET_CACHE_MS } from "../../../shared/model/constants.ts";
import type { SecretStore, VaultName } from "../../store/secrets.ts";
import { SecretCache } from "./cache.ts";
import { type Vault, VaultState, type VaultStatus } from "./vault.ts";

export interface SecretKeeper {
  readonly vault: Vault;
  /** Durable in the vault when it resolves. */
  put(path: string, secret: Buffer): Promise<void>;
  /** From the vault itself; the caller wipes it. */
  read(path: string): Promise<Buffer>;
  /** From memory, where it was read within `SECRET_CACHE_MS`, else from the vault. `work` must not keep it. */
  use<T>(path: string, work: (secret: Buffer) => Promise<T>): Promise<T>;
  destroy(path: string): Promise<void>;
  /** Never throws for what the vault does. */
  status(): Promise<VaultStatus>;
  rotateKey(): Promise<number>;
  /** Wipes what is in memory. */
  close(): void;
}

export function createSecretKeeper(
  vault: Vault,
  store: Pick<SecretStore, "vault" | "noteVault">,
  monoMs: () => number,
): SecretKeeper {
  const cache = new SecretCache({ lifeMs: SECRET_CACHE_MS, max: SECRET_CACHE_MAX, monoMs });
  let isOurs = false;

  /** Throws `vault_not_here`. `create`: a database without a vault takes this one. */
  const checkOurs = async (create: boolean): Promise<void> => {
    if (isOurs) return;
    let known = await store.vault();
    if (known === undefined && create) {
      await store.noteVault({ kind: vault.kind, id: (await vault.identify(true)) as string });
      known = await store.vault();
    }
    if (known === undefined) return;
    const id = known.kind === vault.kind ? await vault.identify(false) : undefined;
    if (id !== known.id) throw notHere(vault, known, id);
    isOurs = true;
  };

  return {
    vault,
    put: async (path, secret) => {
      await checkOurs(true);
      await vault.put(path, secret);
    },
    read: async (path) => {
      await checkOurs(false);
      return vault.get(path);
    },
    use: async (path, work) => {
      let secret = cache.get(path);
      if (secret === undefined) {
        await checkOurs(false);
        secret = await vault.get(path);
        cache.set(path, secret);
      }
      try {
        return await work(secret);
      } finally {
        secret.fill(0);
      }
    },
    destroy: async (path) => {
      cache.drop(path);
      await checkOurs(false);
      await vault.destroy(path);
    },
    status: async () => {
      const status = await vault.status();
      if (status.state !== VaultState.READY) return status;
      try {
        await checkOurs(false);
        return status;
      } catch (error) {
        if (!(error instanceof AiravataError) || error.code === "database_unavailable") throw error;
        return { state: VaultState.DENIED, sentence: error.message };
      }
    },
    rotateKey: async () => {
      await checkOurs(true);
      return vault.rotateKey();
    },
    close: () => {
      cache.clear();
      vault.close();
    },
  };
}

function notHere(vault: Vault, known: VaultName, id: string | undefined): AiravataError {
  const kinds: Record<string, string> = { openbao: "OpenBao", sealed_file: "a sealed directory" };
  const set = `${kinds[vault.kind]} (${vault.place}), which ${id === undefined ? "holds none" : `is vault ${id}`}`;
  return new AiravataError(
    "vault_not_here",
    `the secrets of this database are in ${kinds[known.kind] ?? known.kind}, vault ${known.id}; this coordinator is set to ${set}: set it to that one`,
  );
}
