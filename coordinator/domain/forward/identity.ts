/**
 * Who a coordinator is to the others: a key pair made anew at each start. Two of them share a secret for a term that
 * neither sent nor stored: derived from one's private key and the other's public one.
 */
import { createPublicKey, diffieHellman, generateKeyPairSync, hkdfSync, randomBytes } from "node:crypto";

/** What another one published. */
export interface PublishedKey {
  id: string;
  /** X25519, SPKI in DER. */
  publicKey: Buffer;
}

export interface Identity extends PublishedKey {
  /**
   * The key under which `from` speaks to `to` in a term; one of the two is this process, the other one is `other`. Throws
   * when the published key is none.
   */
  secretWith(other: PublishedKey, term: number, direction: "to" | "from"): Buffer;
}

const SECRET_BYTES = 32;

export function createIdentity(): Identity {
  const { publicKey, privateKey } = generateKeyPairSync("x25519");
  const id = randomBytes(16).toString("hex");
  return {
    id,
    publicKey: publicKey.export({ type: "spki", format: "der" }),
    secretWith(other, term, direction) {
      const theirs = createPublicKey({ key: other.publicKey, type: "spki", format: "der" });
      const shared = diffieHellman({ privateKey, publicKey: theirs });
      const [from, to] = direction === "to" ? [id, other.id] : [other.id, id];
      return Buffer.from(hkdfSync("sha256", shared, "", `airavata forward 1 ${term} ${from} ${to}`, SECRET_BYTES));
    },
  };
}
