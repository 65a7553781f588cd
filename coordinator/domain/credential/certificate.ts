/** X.509 certificates, PEM or DER: whose, from whom, until when, and whether the private key that came along fits. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import type { CredentialFacts } from "../../../shared/model/credential.ts";
import { invalidSecret } from "./refusal.ts";

const PRIVATE_KEY =
  /-----BEGIN (?:RSA |EC |ENCRYPTED )?PRIVATE KEY-----[\s\S]+?-----END (?:RSA |EC |ENCRYPTED )?PRIVATE KEY-----/;
const NAME_LENGTH_MAX = 1_000;

/** Of the first certificate. Throws `credential_invalid`, with nothing of the secret in it. */
export function inspectCertificate(secret: Buffer): CredentialFacts {
  const text = secret.toString("latin1");
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(secret);
  } catch {
    throw invalidSecret("this is no certificate: PEM (-----BEGIN CERTIFICATE-----) or DER is taken");
  }
  const armoured = PRIVATE_KEY.exec(text)?.[0];
  if (armoured !== undefined && !isItsKey(certificate, armoured)) {
    throw invalidSecret("the private key does not belong to the first certificate: put that one first");
  }
  const { publicKey } = certificate;
  return {
    key_type: publicKey.asymmetricKeyType ?? "unknown",
    subject: oneLine(certificate.subject),
    issuer: oneLine(certificate.issuer),
    serial: certificate.serialNumber,
    fingerprint: certificate.fingerprint256,
    not_before: new Date(certificate.validFrom).toISOString(),
    expires_at: new Date(certificate.validTo).toISOString(),
    has_private_key: armoured !== undefined,
  };
}

function isItsKey(certificate: X509Certificate, armoured: string): boolean {
  if (/ENCRYPTED/.test(armoured.slice(0, 200))) {
    throw invalidSecret(
      "the private key is under a passphrase that nobody could type: take it off, the vault encrypts it",
    );
  }
  try {
    return certificate.checkPrivateKey(createPrivateKey(armoured));
  } catch {
    throw invalidSecret("the private key beside the certificate cannot be read: it is damaged");
  }
}

/** Names come a part per line, and a stranger wrote them. */
function oneLine(name: string): string {
  return name
    .trim()
    .replace(/\n/g, ", ")
    .replace(/\p{Cc}/gu, "?")
    .slice(0, NAME_LENGTH_MAX);
}
