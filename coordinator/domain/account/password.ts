/**
 * Passwords: argon2id by Node's own implementation, kept as PHC strings. What a check costs does not depend on whether
 * there is such an account, and however many people log in at once, memory and threads stay bounded.
 */
import { argon2, randomBytes, timingSafeEqual } from "node:crypto";
import { AiravataError } from "../../../shared/error/error.ts";
import {
  PASSWORD_CHECKS_AT_ONCE_MAX,
  PASSWORD_CHECKS_WAITING_MAX,
  PASSWORD_LENGTH_MAX,
  PASSWORD_LENGTH_MIN,
} from "../../../shared/model/constants.ts";

interface Cost {
  memoryKib: number;
  passes: number;
  lanes: number;
}

/** OWASP's least for argon2id with one lane: 19 MiB, two passes; some 40 ms of one core. */
const COST: Cost = { memoryKib: 19_456, passes: 2, lanes: 1 };
const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** What a stored string may ask for at most, whoever wrote it. */
const COST_MAX: Cost = { memoryKib: 262_144, passes: 16, lanes: 4 };

const PHC = /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/;

/** The PHC string of a new hash. Throws `coordinator_busy`. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const hash = await derive(password, salt, COST, HASH_BYTES);
  return `$argon2id$v=19$m=${COST.memoryKib},t=${COST.passes},p=${COST.lanes}$${unpadded(salt)}$${unpadded(hash)}`;
}

/**
 * Whether it is the password. Null (no such account, or one without a password) costs the same time and is never right.
 * Throws `coordinator_busy`.
 */
export async function checkPassword(password: string, stored: string | null): Promise<boolean> {
  const parsed = stored === null ? undefined : parsePhc(stored);
  const { cost, salt, hash } = parsed ?? { cost: COST, salt: Buffer.alloc(SALT_BYTES), hash: Buffer.alloc(HASH_BYTES) };
  const derived = await derive(password, salt, cost, hash.length);
  return timingSafeEqual(derived, hash) && parsed !== undefined;
}

/** Whether the stored string was made with another cost than today's. */
export function isOutdated(stored: string): boolean {
  const cost = parsePhc(stored)?.cost;
  return cost?.memoryKib !== COST.memoryKib || cost.passes !== COST.passes || cost.lanes !== COST.lanes;
}

/** Undefined for what is none, or asks for more than is ever granted. Exported for tests. */
export function parsePhc(text: string): { cost: Cost; salt: Buffer; hash: Buffer } | undefined {
  const match = PHC.exec(text);
  if (!match) return undefined;
  const [, memory, passes, lanes, salt = "", hash = ""] = match;
  const cost = { memoryKib: Number(memory), passes: Number(passes), lanes: Number(lanes) };
  const fits =
    cost.memoryKib >= 8 * cost.lanes &&
    cost.memoryKib <= COST_MAX.memoryKib &&
    cost.passes >= 1 &&
    cost.passes <= COST_MAX.passes &&
    cost.lanes >= 1 &&
    cost.lanes <= COST_MAX.lanes;
  if (!fits) return undefined;
  return { cost, salt: Buffer.from(salt, "base64"), hash: Buffer.from(hash, "base64") };
}

/** Those of twelve characters and more that everybody tries first, without what is not a letter or digit. */
const WORST = new Set([
  "123456789012",
  "1234567890123",
  "1234567891011",
  "12345678901234567890",
  "123123123123",
  "121212121212",
  "abcdefghijkl",
  "abcdefghijklm",
  "abcd12345678",
  "abc123456789",
  "administrator",
  "administrator1",
  "adminadminadmin",
  "admin1234567",
  "admin123456789",
  "airavataairavata",
  "airavata1234",
  "airavatascheduler",
  "changeme1234",
  "changemechangeme",
  "changethispassword",
  "correcthorsebatterystaple",
  "iloveyou1234",
  "letmeinletmein",
  "letmein12345",
  "password1234",
  "password12345",
  "password123456",
  "password123456789",
  "passwordpassword",
  "mypassword123",
  "newpassword1",
  "qwertyuiopasdf",
  "qwertyuiop12",
  "qwertyuiop123",
  "qwerty123456",
  "qwerty1234567890",
  "qwertyqwerty",
  "1q2w3e4r5t6y",
  "1qaz2wsx3edc",
  "secretsecret",
  "welcome12345",
  "welcome123456",
  "yourpassword",
  "yoursecurepassword",
]);
/** Fewer different characters are a pattern. */
const DIFFERENT_MIN = 5;

/** Throws `password_refused` with the rule that it breaks. */
export function checkPasswordRules(password: string, username: string): void {
  const length = [...password].length;
  const bare = password.toLowerCase().replace(/[^a-z0-9]/g, "");
  const why =
    length < PASSWORD_LENGTH_MIN
      ? `has ${length} characters; it must have at least ${PASSWORD_LENGTH_MIN}: a few words do`
      : password.length > PASSWORD_LENGTH_MAX
        ? `is longer than ${PASSWORD_LENGTH_MAX} characters`
        : password.toLowerCase().replaceAll(username.toLowerCase(), "").length < DIFFERENT_MIN
          ? "is the username, or little more"
          : new Set(password).size < DIFFERENT_MIN
            ? `has fewer than ${DIFFERENT_MIN} different characters`
            : WORST.has(bare)
              ? "is one of those that everybody tries first"
              : undefined;
  if (why !== undefined) throw new AiravataError("password_refused", `the password ${why}`);
}

/** Without those that look like another one: it is read from a screen and typed. 32 letters, 5 bits each. */
const LETTERS = "abcdefghijkmnpqrstuvwxyz23456789";

/** A one-time password of 100 random bits, in four groups. */
export function oneTimePassword(): string {
  const letters = [...randomBytes(20)].map((byte) => LETTERS[byte % LETTERS.length]).join("");
  return (letters.match(/.{5}/g) as string[]).join("-");
}

let running = 0;
const waiting: (() => void)[] = [];

/** At most so many at once: 19 MiB each, and half of libuv's four threads stay for files and names. */
async function derive(password: string, salt: Buffer, cost: Cost, bytes: number): Promise<Buffer> {
  if (running >= PASSWORD_CHECKS_AT_ONCE_MAX) {
    if (waiting.length >= PASSWORD_CHECKS_WAITING_MAX) {
      throw new AiravataError("coordinator_busy", "too many people log in at this moment; try again in a few seconds");
    }
    await new Promise<void>((resolve) => waiting.push(resolve));
  }
  running++;
  try {
    return await new Promise((resolve, reject) => {
      argon2(
        "argon2id",
        {
          // The same password typed on another keyboard may arrive in another normal form.
          message: password.normalize("NFKC"),
          nonce: salt,
          parallelism: cost.lanes,
          tagLength: bytes,
          memory: cost.memoryKib,
          passes: cost.passes,
        },
        (error, key) => (error ? reject(error) : resolve(key)),
      );
    });
  } finally {
    running--;
    waiting.shift()?.();
  }
}

function unpadded(bytes: Buffer): string {
  return bytes.toString("base64").replace(/=+$/, "");
}
