/** The key that signs access tokens: whoever can guess it is everybody. A weak one is refused at start. */
import { AiravataError } from "../../../shared/error/error.ts";
import type { SigningKeys } from "./access-token.ts";

const KEY_BYTES_MIN = 32;
/** 32 hexadecimal digits that are random have 128. */
const KEY_ENTROPY_BITS_MIN = 100;

/** Words of samples and habits; a random key has none of them (of base64 with 43 characters: one in 10^8). */
const SAMPLE =
  /change.?(this|me|it)|your.?secret|secret.?key|in.?production|example|password|placeholder|default|airavata/i;

interface KeySettings {
  jwtSecretKey: string | undefined;
  /** Separated by spaces or commas. */
  jwtPreviousSecretKeys: string | undefined;
}

/** Undefined when there is none to sign with. Throws `setting_invalid`, naming the variable. */
export function signingKeys(settings: KeySettings): SigningKeys | undefined {
  const { jwtSecretKey: current, jwtPreviousSecretKeys: previous = "" } = settings;
  if (current === undefined) return undefined;
  const keys = { current, previous: previous.split(/[\s,]+/).filter(Boolean) };
  check("JWT_SECRET_KEY", keys.current);
  for (const key of keys.previous) check("JWT_PREVIOUS_SECRET_KEYS", key);
  return keys;
}

function check(variable: string, key: string): void {
  const bytes = Buffer.byteLength(key);
  const why =
    bytes < KEY_BYTES_MIN
      ? `has ${bytes} bytes and must have at least ${KEY_BYTES_MIN}`
      : SAMPLE.test(key)
        ? "is one of the samples that everybody knows"
        : entropyBits(key) < KEY_ENTROPY_BITS_MIN || `${key}${key}`.indexOf(key, 1) < key.length
          ? "repeats itself and could be guessed"
          : undefined;
  if (why === undefined) return;
  throw new AiravataError(
    "setting_invalid",
    `${variable} ${why}: whoever guesses it can log in as anybody. Make one with "openssl rand -base64 48"`,
  );
}

/** By how often each character stands in it: an upper bound of what a guesser has to try. */
function entropyBits(key: string): number {
  const counts = new Map<string, number>();
  for (const character of key) counts.set(character, (counts.get(character) ?? 0) + 1);
  let bits = 0;
  for (const count of counts.values()) bits -= count * Math.log2(count / key.length);
  return bits;
}
