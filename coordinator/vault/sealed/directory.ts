/**
 * The sealed directory: a vault in files of this machine, for an installation without OpenBao. One file per secret below
 * `secrets/`, each sealed with its path and the vault's identity bound in; the keys lie apart in `keyring.json`.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { AiravataError } from "../../../shared/error/error.ts";
import { SECRET_PATH, type Vault, VaultState, type VaultStatus } from "../../domain/credential/vault.ts";
import { isPartial, removeDurably, removePartials, writeWhole } from "./atomic.ts";
import { createKeyring, type Keyring, readKeyring, writeKeyring } from "./keyring.ts";
import { KEY_BYTES, keyNumberOf, type SealingKey, seal, unseal } from "./seal.ts";

export interface SealedDirectoryOptions {
  directory: string;
  /** Seals the keys themselves; without one they lie in the file as they are. */
  passphrase?: string | undefined;
}

/** Nothing is read or made before the first call. */
export function createSealedDirectory(options: SealedDirectoryOptions): Vault {
  return new SealedDirectory(options);
}

class SealedDirectory implements Vault {
  readonly kind = "sealed_file";
  readonly place: string;
  readonly #secrets: string;
  readonly #ringPath: string;
  readonly #passphrase: string | undefined;
  #ring: Keyring | undefined;
  /** Of the file that `#ring` was read from; undefined: it has to be read again before anything is sealed. */
  #stamp: string | undefined;
  /** One change of the ring at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor({ directory, passphrase }: SealedDirectoryOptions) {
    this.place = directory;
    this.#secrets = join(directory, "secrets");
    this.#ringPath = join(directory, "keyring.json");
    this.#passphrase = passphrase;
  }

  async identify(create: boolean): Promise<string | undefined> {
    return (await this.#inTurn(() => this.#open(create)))?.id;
  }

  /**
   * In turn with rotations: what is sealed with a key must be there before that key leaves the ring. Another process
   * rotates without our turn: if the newest key is still the same after the record is there, its list of records has ours.
   */
  put(path: string, secret: Buffer): Promise<void> {
    return this.#inTurn(async () => {
      const file = this.#file(path);
      let ring = await this.#current();
      if (await exists(file)) throw new AiravataError("vault_failed", `there is a secret at ${path} already`);
      for (let sealedWith: Buffer | undefined; !sealedWith?.equals(newestKey(ring).key); ring = await this.#current()) {
        sealedWith = newestKey(ring).key;
        await this.#guarded(() => writeWhole(file, sealRecord(ring, path, secret)));
      }
    });
  }

  async get(path: string): Promise<Buffer> {
    await this.#opened();
    const record = await this.#guarded(() => readIfThere(this.#file(path)));
    if (record === undefined) {
      throw new AiravataError("secret_missing", `there is no secret at ${path} in ${this.place}: its file was removed`);
    }
    const number = keyNumberOf(record);
    // Another process may have rotated the ring since we read it.
    if (!this.#ring?.keys.some((key) => key.number === number)) this.#ring = undefined;
    return this.#unseal(await this.#opened(), path, record);
  }

  /** In turn with rotations, too: one that has read the record would write it again. */
  destroy(path: string): Promise<void> {
    return this.#inTurn(async () => {
      await this.#current();
      await this.#guarded(() => removeDurably(this.#file(path)));
    });
  }

  async status(): Promise<VaultStatus> {
    try {
      const id = await this.identify(false);
      const sentence =
        id === undefined
          ? `the sealed directory ${this.place} is made with the first credential`
          : `secrets are in the sealed directory ${this.place}`;
      return { state: VaultState.READY, sentence };
    } catch (error) {
      return { state: VaultState.DENIED, sentence: (error as Error).message };
    }
  }

  /**
   * The new key is durable before anything is sealed with it, the old ones leave the ring last: whenever this is cut off,
   * every record still opens, and the next rotation finishes.
   */
  rotateKey(): Promise<number> {
    return this.#inTurn(async () => {
      const { id, keys } = (await this.#open(true)) as Keyring;
      const fresh = { number: (keys.at(-1)?.number ?? 0) + 1, key: randomBytes(KEY_BYTES) };
      const both = { id, keys: [...keys, fresh] };
      await this.#keep(both);
      for (const path of await readdir(this.#secrets)) {
        if (!SECRET_PATH.test(path) || isPartial(path)) continue;
        const record = await readIfThere(this.#file(path));
        if (record === undefined || keyNumberOf(record) === fresh.number) continue;
        const secret = this.#unseal(both, path, record);
        await this.#guarded(() => writeWhole(this.#file(path), sealRecord(both, path, secret)));
        secret.fill(0);
      }
      await this.#keep({ id, keys: [fresh] });
      return fresh.number;
    });
  }

  close(): void {
    for (const { key } of this.#ring?.keys ?? []) key.fill(0);
    this.#ring = undefined;
  }

  #unseal({ id, keys }: Keyring, path: string, record: Buffer): Buffer {
    const key = keys.find(({ number }) => number === keyNumberOf(record));
    const secret = key && unseal(key, context(id, path), record);
    if (secret !== undefined) return secret;
    const why = key
      ? "it was changed, or brought here from another path or vault"
      : "it was sealed with a key that is not in the ring, or is no secret at all";
    throw new AiravataError("secret_damaged", `the secret at ${path} in ${this.place} does not open: ${why}`);
  }

  async #opened(): Promise<Keyring> {
    return this.#ring ?? ((await this.#inTurn(() => this.#open(true))) as Keyring);
  }

  /** The ring as it is in its file. Call it in turn. */
  async #current(): Promise<Keyring> {
    const isSame = this.#stamp !== undefined && this.#stamp === (await stampOf(this.#ringPath));
    return isSame && this.#ring ? this.#ring : ((await this.#open(true)) as Keyring);
  }

  async #open(create: boolean): Promise<Keyring | undefined> {
    const stamp = await stampOf(this.#ringPath);
    // Also looks at the file's mode: a ring that others can read is not used.
    const ring = await readKeyring(this.#ringPath, this.#passphrase);
    if (ring !== undefined) {
      if (this.#ring === undefined) await this.#guarded(() => this.#prepare());
      this.#ring = ring;
      this.#stamp = stamp;
      return ring;
    }
    this.#ring = undefined;
    this.#stamp = undefined;
    if (!create) return undefined;
    const fresh = createKeyring();
    await this.#guarded(() => this.#prepare());
    await this.#keep(fresh);
    return fresh;
  }

  async #prepare(): Promise<void> {
    await mkdir(this.#secrets, { recursive: true, mode: 0o700 });
    await removePartials(this.#secrets);
    await removePartials(this.place);
  }

  async #keep(ring: Keyring): Promise<void> {
    await this.#guarded(() => writeKeyring(this.#ringPath, ring, this.#passphrase));
    this.#ring = ring;
    this.#stamp = undefined;
  }

  async #guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof AiravataError) throw error;
      const { code = "unknown reason" } = error as NodeJS.ErrnoException;
      const message = `the sealed directory ${this.place} cannot be used (${code})`;
      if (code === "ENOSPC" || code === "EDQUOT") throw new AiravataError("disk_full", message);
      throw new AiravataError("vault_denied", message);
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  #file(path: string): string {
    if (!SECRET_PATH.test(path)) throw new AiravataError("internal", `"${path}" is no path of a secret`);
    return join(this.#secrets, path);
  }
}

function sealRecord(ring: Keyring, path: string, secret: Buffer): Buffer {
  return seal(newestKey(ring), context(ring.id, path), secret);
}

function newestKey({ keys }: Keyring): SealingKey {
  return keys.at(-1) as SealingKey;
}

function context(id: string, path: string): string {
  return `airavata vault secret\n${id}\n${path}`;
}

/** Another one after each write, because a ring is renamed into its place. Undefined when there is none. */
async function stampOf(path: string): Promise<string | undefined> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found && `${found.ino} ${found.size} ${found.mtimeNs} ${found.ctimeNs}`;
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
