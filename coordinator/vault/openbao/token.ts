/**
 * The coordinator's token at OpenBao: the given one, or one that AppRole gives. It is renewed at half of its life for as
 * long as OpenBao allows, and with AppRole fetched anew when it is gone; what became of a token that is refused is found
 * out, because OpenBao says the same 403 to all of it.
 */
import type NodeVault from "node-vault";
import { AiravataError } from "../../../shared/error/error.ts";
import type { Logger } from "../../../shared/log/log.ts";
import { refusalOf, statusOf, type Where } from "./refusal.ts";

export type OpenBaoLogin = { token: string } | { roleId: string; secretId: string };

export interface TokenOptions {
  client: NodeVault.client;
  login: OpenBaoLogin;
  where: () => Where;
  log: Logger;
}

/** After a renewal that failed, while the token lives: often enough to catch a short return of the network. */
const RETRY_MS_MAX = 5_000;
const RENEWAL_MS_MIN = 250;
/** OpenBao tells lives in whole seconds, so that an end is known to the second. */
const ROUNDING_MS = 1_000;
/** `setTimeout` takes no more; a token of that life is looked at again in the meantime. */
const RENEWAL_MS_MAX = 24 * 3_600_000;

export class OpenBaoToken {
  readonly #client: NodeVault.client;
  readonly #login: OpenBaoLogin;
  readonly #where: () => Where;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;
  #starting: Promise<void> | undefined;
  #hasWorked = false;
  /** Monotonic; null when it does not end or nobody told us. */
  #endsAtMs: number | null = null;
  #endedAt: string | undefined;
  #closed = false;

  constructor({ client, login, where, log }: TokenOptions) {
    this.#client = client;
    this.#login = login;
    this.#where = where;
    this.#log = log;
    if ("token" in login) client.token = login.token;
  }

  /** Resolves when there is a token to ask with. */
  async ready(): Promise<void> {
    this.#starting ??= this.#begin();
    try {
      await this.#starting;
    } catch (error) {
      this.#starting = undefined;
      throw error;
    }
  }

  worked(): void {
    this.#hasWorked = true;
  }

  /** After a refusal: true when there is another token now, to try once more with. */
  async replace(): Promise<boolean> {
    if ("token" in this.#login) return false;
    this.#starting = this.#logIn(this.#login);
    await this.ready();
    return true;
  }

  /** Why `what` was refused with 403. */
  async refusal(what: string): Promise<AiravataError> {
    const { address } = this.#where();
    try {
      await this.#client.tokenLookupSelf();
      return denied(
        `the coordinator's token may not ${what} at OpenBao (${address}): give its policy the rights of deploy/openbao/policy.hcl`,
      );
    } catch (error) {
      if (statusOf(error) !== 403) return refusalOf(error, this.#where(), what);
    }
    if (this.#endsAtMs !== null && performance.now() >= this.#endsAtMs - ROUNDING_MS) {
      return denied(
        `the coordinator's token at OpenBao (${address}) expired at ${this.#endedAt}: set a new OPENBAO_TOKEN and start again, or use OPENBAO_ROLE_ID`,
      );
    }
    if (this.#hasWorked) {
      return denied(
        `the coordinator's token at OpenBao (${address}) worked and was revoked since: set a new OPENBAO_TOKEN and start again`,
      );
    }
    return denied(`OpenBao at ${address} does not know the token in OPENBAO_TOKEN: it is wrong, expired or revoked`);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#client.token = "";
  }

  async #begin(): Promise<void> {
    if (!("token" in this.#login)) return this.#logIn(this.#login);
    try {
      const sentMs = performance.now();
      const { data } = await this.#client.tokenLookupSelf();
      this.#follow(data, sentMs);
    } catch (error) {
      // A policy without the default one may not look itself up; a wrong token is told by what it is used for.
      if (statusOf(error) !== 403) throw error;
    }
  }

  async #logIn({ roleId, secretId }: { roleId: string; secretId: string }): Promise<void> {
    try {
      this.#client.token = "";
      const sentMs = performance.now();
      const { auth } = await this.#client.approleLogin({ role_id: roleId, secret_id: secretId });
      this.#follow(auth, sentMs);
    } catch (error) {
      if (![400, 403].includes(statusOf(error) ?? 0)) throw error;
      throw denied(
        `OpenBao at ${this.#where().address} does not take OPENBAO_ROLE_ID and OPENBAO_SECRET_ID: one is wrong, or the secret id was used up or revoked`,
      );
    }
  }

  /**
   * Renews in time. `lease_duration` in an answer to a login or renewal, `ttl` in one to a look-up, both seconds; they are
   * counted from when it was asked, because nobody knows how long the answer took.
   */
  #follow(about: { ttl?: number; lease_duration?: number; renewable?: boolean }, sentMs: number): void {
    const lifeMs = (about.ttl ?? about.lease_duration ?? 0) * 1000;
    clearTimeout(this.#timer);
    if (lifeMs <= 0) {
      this.#endsAtMs = null;
      return;
    }
    this.#endsAtMs = sentMs + lifeMs;
    this.#endedAt = new Date(Date.now() + lifeMs).toISOString();
    this.#plan(lifeMs / 2, about.renewable !== false);
  }

  #plan(afterMs: number, renewable: boolean): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    const delayMs = Math.min(RENEWAL_MS_MAX, Math.max(RENEWAL_MS_MIN, afterMs));
    this.#timer = setTimeout(() => void this.#renew(renewable), delayMs);
    this.#timer.unref();
  }

  async #renew(renewable: boolean): Promise<void> {
    try {
      const sentMs = performance.now();
      if (renewable) this.#follow((await this.#client.tokenRenewSelf()).auth, sentMs);
      else if (!("token" in this.#login)) await this.#logIn(this.#login);
    } catch (error) {
      if (this.#closed) return;
      this.#log.warn("the token at OpenBao could not be renewed", {
        error: refusalOf(error, this.#where(), "renewing the token"),
      });
      const isRefused = statusOf(error) === 403 || statusOf(error) === 400;
      const leftMs = (this.#endsAtMs ?? 0) - performance.now();
      // A given token that is past its life is asked for no more: whoever uses it is told.
      if ("token" in this.#login && leftMs <= 0) return;
      this.#plan(Math.min(RETRY_MS_MAX, leftMs / 4), renewable && !isRefused);
    }
  }
}

function denied(message: string): AiravataError {
  return new AiravataError("vault_denied", message);
}
