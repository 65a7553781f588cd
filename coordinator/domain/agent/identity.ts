/**
 * Who an agent is: an Ed25519 key, registered once with an enrolment token and proven on every connection. Pure
 * decisions; keys and tokens come from the store.
 */
import { createHash, createPublicKey, type KeyObject, randomBytes, verify } from "node:crypto";
import { AiravataError } from "../../../shared/error/error.ts";
import type { FromAgent } from "../../../shared/protocol/messages.ts";
import { helloProofText, PROTOCOL_VERSION, PROTOCOL_VERSION_OLDEST } from "../../../shared/protocol/messages.ts";
import type { AgentIdentity } from "../../store/identities.ts";

export type Hello = Extract<FromAgent, { type: "hello" }>;

/** Prefix that lets a secret scanner recognise a leaked one. */
const ENROLMENT_TOKEN_PREFIX = "aet_";

/** 256 random bits. */
export function newEnrolmentToken(): string {
  return ENROLMENT_TOKEN_PREFIX + randomBytes(32).toString("base64url");
}

/** What is kept of a secret: 256 random bits need no salt and no slow hash. */
export function secretHash(secret: string): Buffer {
  return createHash("sha256").update(secret).digest();
}

/** The key as it is kept: SPKI in DER. Throws `request_invalid` for anything but an Ed25519 public key. */
export function parsePublicKey(base64: string, field = "public_key"): Buffer {
  const der = Buffer.from(base64, "base64");
  if (keyOf(der)?.asymmetricKeyType === "ed25519") return der;
  throw new AiravataError("request_invalid", `${field} is no Ed25519 public key (SPKI in DER, base64)`, {
    data: { errors: [{ field, message: "must be an Ed25519 public key: SPKI in DER, base64" }] },
  });
}

function keyOf(der: Buffer): KeyObject | undefined {
  try {
    return createPublicKey({ key: der, format: "der", type: "spki" });
  } catch {
    return undefined;
  }
}

/**
 * Checks version and proof of a hello. Rejects with `protocol_version_unsupported`, `hello_refused`, or `agent_revoked` for
 * whoever holds the key of a revoked agent; the sentence for a wrong proof is the same as for an unknown agent, so that
 * nobody learns which agents exist. The signature is checked on
 * a thread: when a whole fleet comes back, that is most of the work, and the loop has other agents to serve.
 */
export async function checkHello(
  hello: Hello,
  nonce: string,
  timeline: number,
  identity: AgentIdentity | undefined,
): Promise<AgentIdentity> {
  if (hello.version < PROTOCOL_VERSION_OLDEST || hello.version > PROTOCOL_VERSION) {
    throw new AiravataError(
      "protocol_version_unsupported",
      `the agent speaks version ${hello.version} of the protocol, the coordinator ${PROTOCOL_VERSION_OLDEST} to ${PROTOCOL_VERSION}`,
    );
  }
  const text = Buffer.from(helloProofText(nonce, timeline, hello.agent, hello.name));
  const proof = Buffer.from(hello.proof, "base64");
  if (identity?.name === hello.name && (await isSignedBy(identity.publicKey, text, proof))) {
    if (!identity.revoked) return identity;
    throw new AiravataError("agent_revoked", revokedSentence(hello.name));
  }
  throw new AiravataError(
    "hello_refused",
    `agent ${hello.agent} is not enrolled here under this name and key, or was revoked; enrol it with a new token`,
  );
}

export function revokedSentence(name: string): string {
  return `agent ${name} was revoked: what it ran is superseded, and only a new enrolment brings this machine back`;
}

/** What does not parse has signed nothing. The key is parsed here: as DER it would be parsed here, too, and more slowly. */
export function isSignedBy(der: Buffer, text: Buffer, signature: Buffer): Promise<boolean> {
  const key = keyOf(der);
  if (key === undefined) return Promise.resolve(false);
  return new Promise((resolve) => {
    verify(null, text, key, signature, (error, isValid) => resolve(error === null && isValid));
  });
}
