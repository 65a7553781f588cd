/**
 * What a login by OpenID Connect asks of the outside: a provider that proves who somebody is, and the accounts here.
 */
import type { ActorId } from "../../../shared/model/ids.ts";

/** Proven by the provider's signature. Issuer and subject name a person for ever; the rest is what he calls himself. */
export interface ProvenIdentity {
  issuer: string;
  subject: string;
  username: string | undefined;
  displayName: string | undefined;
  email: string | undefined;
}

/** What of a login in a browser must come back as it was sent. */
export interface BrowserLogin {
  state: string;
  nonce: string;
  verifier: string;
}

export interface DeviceLogin {
  deviceCode: string;
  userCode: string;
  verificationUri: string;
  verificationUriComplete: string | undefined;
  intervalMs: number;
  expiresInMs: number;
}

/**
 * All of them throw `oidc_unavailable`, `oidc_answer_invalid` or `egress_refused`; those that learn of a login's outcome
 * also `oidc_denied` and `oidc_login_expired`.
 */
export interface IdentityProvider {
  /** Where to send the browser. */
  begin(redirectUri: string): Promise<BrowserLogin & { url: string }>;
  /** `callback`: the redirect URI with the query that the browser brought. */
  finish(callback: URL, login: BrowserLogin): Promise<ProvenIdentity>;
  beginDevice(): Promise<DeviceLogin>;
  /** Asks once. */
  pollDevice(deviceCode: string): Promise<ProvenIdentity | "pending" | "slow_down">;
}

/** From where somebody logs in, for audit and for the list of his sessions. */
export interface LoginOrigin {
  address: string | null;
  request: string | null;
}

export interface OidcAccount {
  actor: ActorId;
  username: string;
  passwordMustChange: boolean;
}

/** The accounts, and the sessions `T` that are opened for them. */
export interface OidcAccounts<T> {
  /** Undefined: nobody of this issuer and subject was here before. */
  find(issuer: string, subject: string): Promise<OidcAccount | undefined>;
  /** Undefined when the username, or the identity, has an account by now. */
  create(identity: ProvenIdentity & { username: string }, origin: LoginOrigin): Promise<OidcAccount | undefined>;
  /** Throws `account_disabled`. */
  openSession(account: OidcAccount, form: "browser" | "device", origin: LoginOrigin): Promise<T>;
}
