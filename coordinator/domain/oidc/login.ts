/**
 * Login by OpenID Connect in its two forms. A browser is sent to the provider and comes back with a code; it is the same
 * browser only if it brings the cookie it was given, so nobody can log another one in as himself. A program shows a code
 * that its user enters elsewhere, and asks until he has. Whoever leads keeps both in memory: a new dispatcher knows
 * nothing of logins under way, and they are begun again.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { AiravataError } from "../../../shared/error/error.ts";
import { OIDC_DEVICE_LOGIN_MS, OIDC_LOGIN_MS, OIDC_TICKET_MS } from "../../../shared/model/constants.ts";
import { accountOf } from "./account.ts";
import { Asking } from "./asking.ts";
import { PendingLogins } from "./pending.ts";
import type { BrowserLogin, IdentityProvider, LoginOrigin, OidcAccount, OidcAccounts } from "./ports.ts";

export interface OidcLogins<T> {
  /** Throws what `IdentityProvider` throws, `oidc_not_configured` without a public URL, `oidc_busy`. */
  begin(returnTo: string, origin: LoginOrigin): Promise<{ url: string; cookie: string }>;
  /** The ticket is traded for a session by `trade`. Throws `oidc_login_expired`, `oidc_denied`, `account_disabled` … */
  finish(
    query: URLSearchParams,
    cookie: string | undefined,
    origin: LoginOrigin,
  ): Promise<{ returnTo: string; ticket: string }>;
  /** Throws `oidc_login_expired`, and what opening a session throws. */
  trade(ticket: string, cookie: string | undefined, origin: LoginOrigin): Promise<T>;
  /** Throws what `IdentityProvider` throws, `oidc_busy`. */
  beginDevice(origin: LoginOrigin): Promise<StartedDeviceLogin>;
  /** Undefined while the person has not decided. Throws `oidc_login_expired`, `oidc_denied` … */
  pollDevice(handle: string, origin: LoginOrigin): Promise<T | undefined>;
}

export interface StartedDeviceLogin {
  /** Ours, for `pollDevice`; the provider's own code stays here. */
  handle: string;
  userCode: string;
  verificationUri: string;
  verificationUriComplete: string | undefined;
  intervalMs: number;
  expiresInMs: number;
}

export interface OidcLoginOptions<T> {
  provider: IdentityProvider;
  accounts: OidcAccounts<T>;
  autoCreate: boolean;
  /** Undefined: no login in a browser. */
  redirectUri: () => string | undefined;
  mono(): number;
}

interface Browser extends BrowserLogin {
  cookieHash: Buffer;
  returnTo: string;
  redirectUri: string;
}

interface Device {
  deviceCode: string;
  intervalMs: number;
  /** The provider is not asked before. */
  nextMono: number;
  isAsking: boolean;
}

/** RFC 8628: a client that was told to slow down adds so much. */
const SLOWER_MS = 5_000;

export function createOidcLogins<T>(options: OidcLoginOptions<T>): OidcLogins<T> {
  const { provider, accounts, autoCreate, mono } = options;
  const browsers = new PendingLogins<Browser>(mono, OIDC_LOGIN_MS);
  const tickets = new PendingLogins<{ account: OidcAccount; cookieHash: Buffer }>(mono, OIDC_TICKET_MS);
  const asking = new Asking();
  const devices = new PendingLogins<Device>(mono, OIDC_DEVICE_LOGIN_MS);

  return {
    async begin(returnTo, origin) {
      const redirectUri = options.redirectUri();
      if (redirectUri === undefined) {
        throw new AiravataError(
          "oidc_not_configured",
          "a login in the browser needs the address that browsers have for this coordinator; its operator sets AIRAVATA_PUBLIC_URL",
        );
      }
      const { url, ...login } = await provider.begin(redirectUri);
      const cookie = secret();
      browsers.put(login.state, { ...login, cookieHash: hash(cookie), returnTo, redirectUri }, origin.address);
      return { url, cookie };
    },

    async finish(query, cookie, origin) {
      const login = browsers.take(query.get("state") ?? "");
      if (login === undefined) throw expired("it took too long, was finished before, or began at another coordinator");
      if (!isSame(cookie, login.cookieHash))
        throw expired("it was begun in another browser, or by a later login in this one");
      const callback = new URL(login.redirectUri);
      callback.search = query.toString();
      const identity = await provider.finish(callback, login);
      const account = await accountOf(accounts, identity, { autoCreate, origin });
      const ticket = secret();
      tickets.put(hash(ticket).toString("hex"), { account, cookieHash: login.cookieHash }, origin.address);
      return { returnTo: login.returnTo, ticket };
    },

    async trade(ticket, cookie, origin) {
      const held = tickets.take(hash(ticket).toString("hex"));
      if (held === undefined) throw expired("its last step took too long, or was done before");
      if (!isSame(cookie, held.cookieHash)) throw expired("it was begun in another browser");
      return accounts.openSession(held.account, "browser", origin);
    },

    async beginDevice(origin) {
      const handle = secret();
      // Its place first: where there is none the provider hears nothing of it.
      const device = { deviceCode: "", intervalMs: 0, nextMono: Number.POSITIVE_INFINITY, isAsking: false };
      const { deviceCode, ...login } = await asking.ask(origin.address, () => {
        devices.put(handle, device, origin.address);
        return provider.beginDevice().finally(() => devices.delete(handle));
      });
      const { intervalMs } = login;
      const expiresInMs = Math.min(login.expiresInMs, OIDC_DEVICE_LOGIN_MS);
      Object.assign(device, { deviceCode, intervalMs, nextMono: mono() + intervalMs });
      devices.put(handle, device, origin.address, expiresInMs);
      return { ...login, handle, expiresInMs };
    },

    async pollDevice(handle, origin) {
      const device = devices.get(handle);
      if (device === undefined) throw expired("the code was not entered in time, or was used");
      // Who asks too often hears the same without the provider's knowing.
      if (device.isAsking || mono() < device.nextMono) return undefined;
      device.isAsking = true;
      try {
        const found = await provider.pollDevice(device.deviceCode);
        if (found === "slow_down") device.intervalMs += SLOWER_MS;
        if (found === "slow_down" || found === "pending") return undefined;
        devices.delete(handle);
        const account = await accountOf(accounts, found, { autoCreate, origin });
        return await accounts.openSession(account, "device", origin);
      } catch (error) {
        // What may pass is asked again; anything else is this login's end.
        if (!(error instanceof AiravataError && error.retryable)) devices.delete(handle);
        throw error;
      } finally {
        device.isAsking = false;
        device.nextMono = mono() + device.intervalMs;
      }
    },
  };
}

/** 256 bits. */
function secret(): string {
  return randomBytes(32).toString("base64url");
}

function hash(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

function isSame(cookie: string | undefined, expected: Buffer): boolean {
  return cookie !== undefined && timingSafeEqual(hash(cookie), expected);
}

function expired(why: string): AiravataError {
  return new AiravataError("oidc_login_expired", `this login cannot be finished: ${why}; begin it again`);
}
