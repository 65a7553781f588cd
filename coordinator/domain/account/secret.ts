/** Opaque secrets of people: 256 random bits behind a prefix by which a leaked one is found. Only hashes are kept. */
import { createHash, createHmac, randomBytes } from "node:crypto";

export const PERSONAL_TOKEN_PREFIX = "apt_";
const REFRESH_TOKEN_PREFIX = "art_";
const SECRET_BYTES = 32;

export function newPersonalToken(): string {
  return PERSONAL_TOKEN_PREFIX + randomBytes(SECRET_BYTES).toString("base64url");
}

export function newRefreshToken(): string {
  return REFRESH_TOKEN_PREFIX + randomBytes(SECRET_BYTES).toString("base64url");
}

/**
 * The refresh token after `token`. It takes the token and a nonce of the database, so that whoever lost the answer gets the
 * very same one again, and neither a copy of the database nor an old token alone gives it.
 */
export function successorOf(token: string, nonce: Buffer): string {
  return REFRESH_TOKEN_PREFIX + createHmac("sha256", token).update(nonce).digest("base64url");
}

/** SHA-256: of 256 random bits a plain hash is not worth guessing at. */
export function secretHash(secret: string): Buffer {
  return createHash("sha256").update(secret).digest();
}
