/** What each type of credential asks of its secret, and what may be known of it. */

import { SECRET_BYTES_MAX } from "../../../shared/model/constants.ts";
import type { CredentialFacts, CredentialType } from "../../../shared/model/credential.ts";
import { inspectCertificate } from "./certificate.ts";
import { invalidSecret } from "./refusal.ts";
import { inspectSshKey } from "./ssh-key.ts";

const INSPECTORS: Record<CredentialType, (secret: Buffer) => CredentialFacts> = {
  SSH_KEY: inspectSshKey,
  CERTIFICATE: inspectCertificate,
  // Any bytes at all: not even their number is told.
  PASSWORD: () => ({}),
  API_KEY: () => ({}),
  TOKEN: inspectToken,
};

/** Throws `credential_invalid`, with a sentence about the type and nothing of the secret. */
export function inspectSecret(type: CredentialType, secret: Buffer): CredentialFacts {
  if (secret.length === 0) throw invalidSecret("the secret is empty");
  if (secret.length > SECRET_BYTES_MAX) {
    throw invalidSecret(`the secret has ${secret.length} bytes, and at most ${SECRET_BYTES_MAX} are kept`);
  }
  return INSPECTORS[type](secret);
}

/** Whether the secret's time is over. */
export function isExpired({ expires_at: expiresAt }: CredentialFacts, nowMs: number): boolean {
  return expiresAt !== undefined && Date.parse(expiresAt) <= nowMs;
}

/** Of a JSON Web Token the time of its end is readable, and worth knowing; its signature is not looked at. */
function inspectToken(secret: Buffer): CredentialFacts {
  const payload = /^\s*[\w-]{2,}\.([\w-]{2,})\.[\w-]*\s*$/.exec(secret.toString("latin1"))?.[1];
  if (payload === undefined) return {};
  try {
    const { exp } = JSON.parse(Buffer.from(payload, "base64url").toString("utf8")) as { exp?: unknown };
    return typeof exp === "number" ? { expires_at: new Date(exp * 1000).toISOString() } : {};
  } catch {
    return {};
  }
}
