/**
 * One sealed record: AES-256-GCM under a numbered key. The context (which vault, which path) is authenticated with it, so
 * that a record which was changed, moved or brought from elsewhere does not open.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";

/** A key of the ring; `number` grows with each rotation. */
export interface SealingKey {
  number: number;
  key: Buffer;
}

const MAGIC = Buffer.from("AVS1");
/** 96 random bits: a key seals far fewer than the 2^32 records after which two might meet. */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = MAGIC.length + 4;
const CIPHER = "aes-256-gcm";
export const KEY_BYTES = 32;

/** `AVS1`, the key's number, nonce, tag, ciphertext. */
export function seal({ number, key }: SealingKey, context: string, clear: Buffer): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  MAGIC.copy(head);
  head.writeUInt32BE(number, MAGIC.length);
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(Buffer.concat([head, Buffer.from(context)]));
  const sealed = Buffer.concat([cipher.update(clear), cipher.final()]);
  return Buffer.concat([head, nonce, cipher.getAuthTag(), sealed]);
}

/** Number of the key that sealed it; undefined when it is no record of ours. */
export function keyNumberOf(record: Buffer): number | undefined {
  if (record.length < HEAD_BYTES + NONCE_BYTES + TAG_BYTES) return undefined;
  if (!record.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  return record.readUInt32BE(MAGIC.length);
}

/** What was sealed; undefined when the record, its key or its context is another one. */
export function unseal({ key }: SealingKey, context: string, record: Buffer): Buffer | undefined {
  if (keyNumberOf(record) === undefined) return undefined;
  const nonce = record.subarray(HEAD_BYTES, HEAD_BYTES + NONCE_BYTES);
  const body = record.subarray(HEAD_BYTES + NONCE_BYTES + TAG_BYTES);
  const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.concat([record.subarray(0, HEAD_BYTES), Buffer.from(context)]));
  decipher.setAuthTag(record.subarray(HEAD_BYTES + NONCE_BYTES, HEAD_BYTES + NONCE_BYTES + TAG_BYTES));
  const clear = decipher.update(body);
  try {
    return Buffer.concat([clear, decipher.final()]);
  } catch {
    return undefined;
  } finally {
    clear.fill(0);
  }
}
