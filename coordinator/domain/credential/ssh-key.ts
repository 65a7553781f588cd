/**
 * SSH private keys: OpenSSH's format and PEM (PKCS#1, SEC1, PKCS#8), without a passphrase. A key is taken when it signs
 * what its public half verifies; that half and its fingerprint are what people see of it.
 */
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import type { CredentialFacts } from "../../../shared/model/credential.ts";
import { readOpenssh } from "./openssh.ts";
import { invalidSecret } from "./refusal.ts";
import { MalformedSsh, sshMpint, sshString } from "./ssh-wire.ts";

const OPENSSH = /^-----BEGIN OPENSSH PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END OPENSSH PRIVATE KEY-----\s*$/;
const PEM = /^-----BEGIN (?:RSA |EC )?PRIVATE KEY-----[\s\S]+-----END (?:RSA |EC )?PRIVATE KEY-----\s*$/;
/** Shorter RSA keys are refused by OpenSSH's servers of today. */
const RSA_BITS_MIN = 2_048;
const CURVES: Record<string, { name: string; bits: number }> = {
  "P-256": { name: "nistp256", bits: 256 },
  "P-384": { name: "nistp384", bits: 384 },
  "P-521": { name: "nistp521", bits: 521 },
};
/** Signed to prove the key; anything would do. */
const PROOF = Buffer.from("airavata credential");

/** Throws `credential_invalid`, with nothing of the key in it. */
export function inspectSshKey(secret: Buffer): CredentialFacts {
  const key = readKey(secret.toString("latin1").trim());
  const { blob, type, bits } = publicHalf(createPublicKey(key));
  try {
    // Ed25519 has its digest built in; the others take SHA-256.
    const digest = key.asymmetricKeyType === "ed25519" ? null : "sha256";
    if (!verify(digest, PROOF, createPublicKey(key), sign(digest, PROOF, key))) throw new Error("it does not verify");
  } catch {
    throw invalidSecret("the SSH key does not sign what its public half verifies: it is damaged");
  }
  return { key_type: type, bits, fingerprint: fingerprintOf(blob), public_key: `${type} ${blob.toString("base64")}` };
}

function readKey(text: string): KeyObject {
  if (/^(ssh-|ecdsa-)\S+ [A-Za-z0-9+/=]+/.test(text)) {
    throw invalidSecret("this is a public SSH key: give the private one, the file without .pub");
  }
  if (/ENCRYPTED/.test(text.slice(0, 200))) throw underPassphrase();
  const openssh = OPENSSH.exec(text)?.[1];
  if (openssh !== undefined) return readOpensshKey(openssh);
  if (!PEM.test(text)) {
    throw invalidSecret("this is no private SSH key: it begins with -----BEGIN OPENSSH PRIVATE KEY----- or the like");
  }
  try {
    return createPrivateKey(text);
  } catch {
    throw invalidSecret("the SSH key cannot be read: it is damaged, or of a type that is not known here");
  }
}

function readOpensshKey(armoured: string): KeyObject {
  try {
    const { key, publicBlob } = readOpenssh(armoured);
    if (key === undefined) throw underPassphrase();
    if (publicHalf(createPublicKey(key)).blob.equals(publicBlob)) return key;
  } catch (error) {
    if (error instanceof MalformedSsh) throw invalidSecret(`the SSH key cannot be read: ${error.message}`);
    throw error;
  }
  throw invalidSecret("the SSH key's private half does not belong to its public one: it is damaged");
}

function underPassphrase(): Error {
  return invalidSecret(
    "the SSH key is under a passphrase that nobody could type: take it off with ssh-keygen -p -N '' on a copy, the vault encrypts it",
  );
}

/** The public key in SSH's form. */
function publicHalf(key: KeyObject): { blob: Buffer; type: string; bits: number } {
  const jwk = key.export({ format: "jwk" }) as Record<string, string>;
  const part = (name: string): Buffer => Buffer.from(jwk[name] ?? "", "base64url");
  if (jwk.kty === "OKP" && jwk.crv === "Ed25519") {
    const type = "ssh-ed25519";
    return { blob: Buffer.concat([sshString(type), sshString(part("x"))]), type, bits: 256 };
  }
  if (jwk.kty === "RSA") {
    const type = "ssh-rsa";
    const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
    if (bits < RSA_BITS_MIN) {
      throw invalidSecret(`the RSA key has ${bits} bits, and servers take none below ${RSA_BITS_MIN}: make a new one`);
    }
    return { blob: Buffer.concat([sshString(type), sshMpint(part("e")), sshMpint(part("n"))]), type, bits };
  }
  const curve = jwk.kty === "EC" ? CURVES[jwk.crv ?? ""] : undefined;
  if (!curve) throw invalidSecret("the key is of a type that SSH does not take: use ed25519, ecdsa or rsa");
  const type = `ecdsa-sha2-${curve.name}`;
  const point = Buffer.concat([Buffer.from([4]), part("x"), part("y")]);
  return { blob: Buffer.concat([sshString(type), sshString(curve.name), sshString(point)]), type, bits: curve.bits };
}

function fingerprintOf(blob: Buffer): string {
  return `SHA256:${createHash("sha256").update(blob).digest("base64").replace(/=+$/, "")}`;
}
