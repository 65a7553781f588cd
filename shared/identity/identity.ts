/**
 * The agent's identity: an Ed25519 key made at the site, whose public half the coordinator learns at enrolment, and the
 * proof by which a session shows that it holds the other half. Computes only: where the key is kept is its caller's business.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { helloProofText } from "../protocol/messages.ts";

/** What a hello's proof is bound to: this connection's nonce, this history, this agent under this name. */
export interface HelloClaim {
  nonce: string;
  timeline: number;
  agent: number;
  name: string;
}

/** A change of key: the previous one says that the new one takes its place, and the new one that somebody holds it. */
export interface RotationClaim {
  agent: number;
  name: string;
  previousKey: string;
  publicKey: string;
}

/** Names the key that it replaces: once that is not the agent's any more it says nothing, however often it is repeated. */
export function rotationText({ agent, name, previousKey, publicKey }: RotationClaim): string {
  return `airavata-rotate-1\n${agent}\n${name}\n${previousKey}\n${publicKey}`;
}

/** Base64 of the signature of `rotationText`. */
export function signRotation(privateKey: KeyObject, claim: RotationClaim): string {
  return sign(null, Buffer.from(rotationText(claim)), privateKey).toString("base64");
}

/** A new key pair: the private half as PKCS #8 PEM for a file of mode 0600, the public half as it is enrolled. */
export function generateIdentityKey(): { privatePem: string; publicKey: string } {
  const { privateKey } = generateKeyPairSync("ed25519");
  return {
    privatePem: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    publicKey: publicKeyText(privateKey),
  };
}

/** The private key of a PEM text. Throws when it is none, or not Ed25519. */
export function readIdentityKey(privatePem: string): KeyObject {
  const key = createPrivateKey(privatePem);
  if (key.asymmetricKeyType !== "ed25519") throw new TypeError(`the key is ${key.asymmetricKeyType}, not ed25519`);
  return key;
}

/** The public half as the coordinator keeps it: SPKI in DER, base64. */
export function publicKeyText(privateKey: KeyObject): string {
  return createPublicKey(privateKey).export({ type: "spki", format: "der" }).toString("base64");
}

/** The proof of a hello: base64 of the signature of `helloProofText`. */
export function signHello(privateKey: KeyObject, claim: HelloClaim): string {
  const text = helloProofText(claim.nonce, claim.timeline, claim.agent, claim.name);
  return sign(null, Buffer.from(text), privateKey).toString("base64");
}
