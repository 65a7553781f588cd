/**
 * The ring of keys of a sealed directory, in its file `keyring.json` (mode 0600): as they are, or each one sealed under a
 * key that scrypt makes of a passphrase. More than one key means that a rotation is under way.
 */
import { randomBytes, randomUUID, scrypt } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { promisify } from "node:util";
import { AiravataError } from "../../../shared/error/error.ts";
import { writeWhole } from "./atomic.ts";
import { KEY_BYTES, type SealingKey, seal, unseal } from "./seal.ts";

export interface Keyring {
  /** What tells this directory from any other. */
  id: string;
  /** Oldest first, never empty; the last one seals. */
  keys: SealingKey[];
}

/** 64 MiB and some 200 ms for one guess (OWASP's figures for scrypt are N = 2^17, r = 8; half of that with twice the blocks). */
const SCRYPT = { N: 2 ** 16, r: 8, p: 2, maxmem: 128 * 1024 * 1024 };
const SALT_BYTES = 16;
const FORMAT = 1;

interface RingFile {
  format: number;
  id: string;
  /** Present when the keys are sealed under a passphrase. */
  salt?: string;
  keys: { number: number; key: string }[];
}

const derive = promisify<string, Buffer, number, typeof SCRYPT, Buffer>(scrypt);

/** Undefined when there is none. Throws `vault_denied` for a file that others can read or a passphrase that does not fit. */
export async function readKeyring(path: string, passphrase: string | undefined): Promise<Keyring | undefined> {
  const file = await readRing(path);
  if (file === undefined) return undefined;
  if (file.salt === undefined) {
    return { id: file.id, keys: file.keys.map(({ number, key }) => ({ number, key: Buffer.from(key, "base64") })) };
  }
  if (passphrase === undefined) {
    throw denied(`the keys in ${path} are sealed under a passphrase: set AIRAVATA_VAULT_PASSPHRASE_FILE`);
  }
  const wrapping = { number: 0, key: await derive(passphrase, Buffer.from(file.salt, "base64"), KEY_BYTES, SCRYPT) };
  const keys = file.keys.map(({ number, key }) => {
    const clear = unseal(wrapping, wrapContext(file.id, number), Buffer.from(key, "base64"));
    if (clear === undefined) throw denied(`the passphrase does not open ${path}, or the file was changed`);
    return { number, key: clear };
  });
  return { id: file.id, keys };
}

/** A ring with one fresh key. It is nobody's until it is written. */
export function createKeyring(): Keyring {
  return { id: randomUUID(), keys: [{ number: 1, key: randomBytes(KEY_BYTES) }] };
}

/** Durable when it resolves; under a passphrase with a fresh salt. */
export async function writeKeyring(path: string, ring: Keyring, passphrase: string | undefined): Promise<void> {
  const { id, keys } = ring;
  const file: RingFile = { format: FORMAT, id, keys: [] };
  if (passphrase === undefined) {
    file.keys = keys.map(({ number, key }) => ({ number, key: key.toString("base64") }));
  } else {
    const salt = randomBytes(SALT_BYTES);
    const wrapping = { number: 0, key: await derive(passphrase, salt, KEY_BYTES, SCRYPT) };
    file.salt = salt.toString("base64");
    file.keys = keys.map(({ number, key }) => {
      return { number, key: seal(wrapping, wrapContext(id, number), key).toString("base64") };
    });
  }
  await writeWhole(path, Buffer.from(`${JSON.stringify(file, null, 2)}\n`));
}

async function readRing(path: string): Promise<RingFile | undefined> {
  try {
    const { mode, uid } = await stat(path);
    if ((mode & 0o077) !== 0) {
      throw denied(
        `${path} can be read by others (mode ${(mode & 0o777).toString(8)}): run chmod 600 on it, and if they may have read it "airavata admin vault rotate-key"`,
      );
    }
    const self = process.getuid?.() ?? uid;
    if (uid !== self) throw denied(`${path} belongs to user ${uid}, but this process runs as user ${self}`);
    const file = JSON.parse(await readFile(path, "utf8")) as RingFile;
    if (file.format === FORMAT && typeof file.id === "string" && areKeys(file.keys)) return file;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    if (cause instanceof AiravataError) throw cause;
    // JSON.parse quotes what it read in its message: no cause of it.
    const reason = (cause as NodeJS.ErrnoException).code ?? "it is not JSON";
    throw denied(`${path} cannot be read (${reason})`);
  }
  throw denied(`${path} is no ring of keys that this version knows`);
}

function areKeys(keys: unknown): boolean {
  return (
    Array.isArray(keys) &&
    keys.length > 0 &&
    keys.every(({ number, key }) => Number.isInteger(number) && typeof key === "string")
  );
}

function wrapContext(id: string, number: number): string {
  return `airavata vault key\n${id}\n${number}`;
}

function denied(message: string): AiravataError {
  return new AiravataError("vault_denied", message);
}
