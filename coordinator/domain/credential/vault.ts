/**
 * The port of the vault: where secrets lie, and nothing else of a credential. A path names one version of one secret, is
 * written once and never again, and is bound to what lies there: bytes that were moved to another path are refused.
 */

/** How a vault is, by its own word. */
export const VaultState = {
  /** It answers, and lets us read and write. */
  READY: "ready",
  /** It runs and keeps its secrets shut until a person unseals it, as after every restart. */
  SEALED: "sealed",
  /** No answer, or none that can be used: it does not run, the network is cut, it is frozen. */
  UNREACHABLE: "unreachable",
  /** It answers and does not let us in: token, policy or the mode of a file. Only a person can mend that. */
  DENIED: "denied",
} as const;
export type VaultState = (typeof VaultState)[keyof typeof VaultState];

/** `sealed_file` is the directory of this machine. */
export type VaultKind = "openbao" | "sealed_file";

export interface VaultStatus {
  state: VaultState;
  /** For people: what is, and what to do. */
  sentence: string;
}

/**
 * Every call ends within a bound of the adapter. What fails is an `AiravataError`: `vault_sealed`, `vault_unreachable`,
 * `vault_denied`, `vault_failed`; no error holds a secret, a token or what was sent.
 */
export interface Vault {
  readonly kind: VaultKind;
  /** For people: the address or the directory. */
  readonly place: string;
  /** What tells this vault from any other; with `create` it is given one when it has none. Undefined: none. */
  identify(create: boolean): Promise<string | undefined>;
  /** Durable when it resolves. Refuses a path that is taken. */
  put(path: string, secret: Buffer): Promise<void>;
  /** The caller wipes it. Throws `secret_missing` and, when what lies there was changed, `secret_damaged`. */
  get(path: string): Promise<Buffer>;
  /** Also of a path where nothing lies. */
  destroy(path: string): Promise<void>;
  /** Never throws. */
  status(): Promise<VaultStatus>;
  /** Encrypts everything under a new key and forgets the old one. Resolves with the new key's number. */
  rotateKey(): Promise<number>;
  close(): void;
}

/** What a path may look like; it becomes a file's name and a part of a URL. */
export const SECRET_PATH = /^[a-z0-9][a-z0-9.-]{0,126}$/;
