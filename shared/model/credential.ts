/** What a credential is of: its types, and what may be known of a secret without reading it. */

export const CREDENTIAL_TYPES = ["SSH_KEY", "PASSWORD", "API_KEY", "TOKEN", "CERTIFICATE"] as const;
export type CredentialType = (typeof CREDENTIAL_TYPES)[number];

/** What a credential may be bound to. */
export const BINDABLE_TYPES = ["compute_resource", "storage_resource"] as const;
export type BindableType = (typeof BINDABLE_TYPES)[number];

/** Public: found in the secret when it came, shown to whoever may see the credential. */
export interface CredentialFacts {
  /** `ssh-ed25519`, `ssh-rsa`, `ecdsa-sha2-nistp256`; of a certificate the algorithm of its key. */
  key_type?: string;
  bits?: number;
  /** `SHA256:…` as ssh-keygen -l prints it; of a certificate the SHA-256 of its DER, with colons. */
  fingerprint?: string;
  /** One line for an authorized_keys file. */
  public_key?: string;
  subject?: string;
  issuer?: string;
  serial?: string;
  /** RFC 3339. */
  not_before?: string;
  expires_at?: string;
  /** Of a certificate: its private key came with it, and fits. */
  has_private_key?: boolean;
}
