/**
 * Private keys in OpenSSH's own format (`BEGIN OPENSSH PRIVATE KEY`, PROTOCOL.key), which Node does not read: what
 * ssh-keygen writes by default.
 */
import { createPrivateKey, type KeyObject } from "node:crypto";
import { MalformedSsh, SshReader } from "./ssh-wire.ts";

const MAGIC = "openssh-key-v1\0";
const CURVES: Record<string, { crv: string; bytes: number }> = {
  nistp256: { crv: "P-256", bytes: 32 },
  nistp384: { crv: "P-384", bytes: 48 },
  nistp521: { crv: "P-521", bytes: 66 },
};

export interface OpensshKey {
  /** The public half in SSH's form, as it stands in clear before the private one. */
  publicBlob: Buffer;
  /** Undefined: it is under a passphrase. */
  key: KeyObject | undefined;
}

/** Throws `MalformedSsh`. `armoured`: what stands between the BEGIN and END lines. */
export function readOpenssh(armoured: string): OpensshKey {
  const bytes = Buffer.from(armoured, "base64");
  try {
    const reader = new SshReader(bytes);
    if (reader.take(MAGIC.length).toString("latin1") !== MAGIC)
      throw new MalformedSsh("it does not begin as such a key");
    const cipher = reader.text();
    reader.string();
    reader.string();
    if (reader.uint32() !== 1) throw new MalformedSsh("it holds more than one key");
    const publicBlob = Buffer.from(reader.string());
    const section = reader.string();
    return { publicBlob, key: cipher === "none" ? readPrivate(section) : undefined };
  } finally {
    bytes.fill(0);
  }
}

function readPrivate(section: Buffer): KeyObject {
  const reader = new SshReader(section);
  const check = reader.uint32();
  if (reader.uint32() !== check) throw new MalformedSsh("its check numbers differ");
  const type = reader.text();
  const key = createKey(type, reader);
  // The comment; then 1, 2, 3 … to a full block.
  reader.string();
  if (!reader.rest().every((byte, i) => byte === i + 1)) throw new MalformedSsh("its padding is wrong");
  return key;
}

function createKey(type: string, reader: SshReader): KeyObject {
  const part = (bytes: Buffer): string => bytes.toString("base64url");
  if (type === "ssh-ed25519") {
    const x = reader.string();
    const secret = reader.string();
    if (x.length !== 32 || secret.length !== 64) throw new MalformedSsh("its parts have the wrong length");
    return fromJwk({ kty: "OKP", crv: "Ed25519", x: part(x), d: part(secret.subarray(0, 32)) });
  }
  if (type === "ssh-rsa") {
    const [n, e, d, qi, p, q] = [1, 2, 3, 4, 5, 6].map(() => reader.mpint()) as [
      Buffer,
      Buffer,
      Buffer,
      Buffer,
      Buffer,
      Buffer,
    ];
    const [dp, dq] = [p, q].map((prime) => remainder(d, prime));
    const parts = { n, e, d, p, q, dp: dp as Buffer, dq: dq as Buffer, qi };
    return fromJwk({
      kty: "RSA",
      ...Object.fromEntries(Object.entries(parts).map(([name, bytes]) => [name, part(bytes)])),
    });
  }
  if (type.startsWith("ecdsa-sha2-")) {
    const curve = CURVES[reader.text()];
    const point = reader.string();
    const d = reader.mpint();
    if (!curve || point.length !== 1 + 2 * curve.bytes || point[0] !== 4 || d.length > curve.bytes) {
      throw new MalformedSsh("its curve or point is none that is known");
    }
    const [x, y] = [point.subarray(1, 1 + curve.bytes), point.subarray(1 + curve.bytes)];
    const padded = Buffer.concat([Buffer.alloc(curve.bytes - d.length), d]);
    return fromJwk({ kty: "EC", crv: curve.crv, x: part(x), y: part(y), d: part(padded) });
  }
  throw new MalformedSsh(`keys of type ${type.replace(/[^\w@.-]/g, "?").slice(0, 60)} are not known here`);
}

function fromJwk(jwk: Record<string, string>): KeyObject {
  try {
    return createPrivateKey({ key: jwk, format: "jwk" });
  } catch {
    throw new MalformedSsh("its numbers make no key");
  }
}

/** d mod (prime − 1): what RSA calls dp and dq, and OpenSSH leaves out. */
function remainder(d: Buffer, prime: Buffer): Buffer {
  const number = (bytes: Buffer): bigint => (bytes.length === 0 ? 0n : BigInt(`0x${bytes.toString("hex")}`));
  const modulus = number(prime) - 1n;
  if (modulus <= 0n) throw new MalformedSsh("its numbers make no key");
  const hex = (number(d) % modulus).toString(16);
  return Buffer.from(hex.padStart(hex.length + (hex.length % 2), "0"), "hex");
}
