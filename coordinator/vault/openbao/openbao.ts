/**
 * OpenBao as the vault, by node-vault: each secret is encrypted by the transit engine, with its path bound in, and what
 * comes out lies in KV version 2 under a path that is written once. Every call has a deadline; errors carry OpenBao's
 * words and nothing that was sent.
 */
import { randomUUID } from "node:crypto";
import nodeVault from "node-vault";
import { AiravataError } from "../../../shared/error/error.ts";
import type { Logger } from "../../../shared/log/log.ts";
import { VAULT_CALL_TIMEOUT_MS } from "../../../shared/model/constants.ts";
import { SECRET_PATH, type Vault, VaultState, type VaultStatus } from "../../domain/credential/vault.ts";
import { refusalOf, statusOf, type Where, wordsOf } from "./refusal.ts";
import { type OpenBaoLogin, OpenBaoToken } from "./token.ts";
import { sendRequest, type TransportRequest } from "./transport.ts";

export interface OpenBaoOptions {
  address: string;
  login: OpenBaoLogin;
  credentialsPath: string;
  transitPath: string;
  transitKey: string;
  log: Logger;
  timeoutMs?: number;
}

/** Where this vault's own name lies, beside the secrets. */
const IDENTITY_PATH = "airavata-vault";

/** Nothing is asked before the first call. */
export function createOpenBao(options: OpenBaoOptions): Vault {
  return new OpenBao(options);
}

class OpenBao implements Vault {
  readonly kind = "openbao";
  readonly place: string;
  readonly #options: OpenBaoOptions;
  readonly #timeoutMs: number;
  readonly #client: nodeVault.client;
  readonly #token: OpenBaoToken;
  #wasGone = false;
  #toldSoftDeletion = false;

  constructor(options: OpenBaoOptions) {
    this.#options = options;
    this.#timeoutMs = options.timeoutMs ?? VAULT_CALL_TIMEOUT_MS;
    this.place = options.address;
    this.#client = nodeVault({
      endpoint: options.address,
      // Its default prints what is written whenever DEBUG is set.
      debug: () => {},
      "request-promise": { defaults: () => (request: TransportRequest) => sendRequest(request, this.#timeoutMs) },
    });
    // The environment's VAULT_… variables are for other programs.
    Object.assign(this.#client, { token: "", namespace: undefined, pathPrefix: "" });
    const where = (): Where => this.#where();
    this.#token = new OpenBaoToken({ client: this.#client, login: options.login, where, log: options.log });
  }

  async identify(create: boolean): Promise<string | undefined> {
    const found = await this.#read(IDENTITY_PATH, "read credentials");
    if (typeof found?.id === "string") return found.id;
    if (!create) return undefined;
    // Of two that come first one wins, and both read the winner's.
    await this.#write(IDENTITY_PATH, { id: randomUUID() }, "write credentials").catch((error) => {
      if (!isTaken(error)) throw error;
    });
    return this.identify(false);
  }

  async put(path: string, secret: Buffer): Promise<void> {
    checkPath(path);
    const { transitPath, transitKey } = this.#options;
    const encrypt = `${transitPath}/encrypt/${transitKey}`;
    const sealed = await this.#call("encrypt", () =>
      this.#client.write(encrypt, { plaintext: secret.toString("base64"), associated_data: contextOf(path) }),
    );
    await this.#write(path, { ciphertext: sealed.data.ciphertext }, "write credentials");
  }

  async get(path: string): Promise<Buffer> {
    checkPath(path);
    const found = await this.#read(path, "read credentials");
    if (found === undefined) {
      throw new AiravataError(
        "secret_missing",
        `there is no secret at ${path} in OpenBao (${this.place}): somebody deleted it there`,
      );
    }
    const { transitPath, transitKey } = this.#options;
    const decrypt = `${transitPath}/decrypt/${transitKey}`;
    const opened = await this.#call("decrypt", async () => {
      try {
        return await this.#client.write(decrypt, { ciphertext: found.ciphertext, associated_data: contextOf(path) });
      } catch (error) {
        if (statusOf(error) !== 400 || /key not found/i.test(wordsOf(error))) throw error;
        throw new AiravataError(
          "secret_damaged",
          `the secret at ${path} in OpenBao (${this.place}) does not open: it was changed, brought here from another path, or encrypted with a key that is gone`,
        );
      }
    });
    return Buffer.from(opened.data.plaintext, "base64");
  }

  /**
   * With the right to it the path goes with everything under it. The guide's policy has only the right to delete, after
   * which an administrator of OpenBao could still undelete; then that is done and told.
   */
  async destroy(path: string): Promise<void> {
    checkPath(path);
    const { credentialsPath, log } = this.#options;
    await this.#call("delete credentials", async () => {
      try {
        await this.#client.delete(`${credentialsPath}/metadata/${path}`);
      } catch (error) {
        if (statusOf(error) !== 403) throw error;
        await this.#client.delete(`${credentialsPath}/data/${path}`);
        if (this.#toldSoftDeletion) return;
        this.#toldSoftDeletion = true;
        log.warn("secrets are deleted at OpenBao but not destroyed: the policy lacks delete on the path's metadata", {
          path: `${credentialsPath}/metadata/*`,
        });
      }
    });
  }

  async status(): Promise<VaultStatus> {
    try {
      // Also proves the token: a server that is well and does not let us in is of no use.
      await this.identify(false);
      return { state: VaultState.READY, sentence: `OpenBao at ${this.place} answers and lets us in` };
    } catch (error) {
      const { code, message } = error as AiravataError;
      if (code === "vault_sealed") return { state: VaultState.SEALED, sentence: message };
      const state = code === "vault_unreachable" ? VaultState.UNREACHABLE : VaultState.DENIED;
      return { state, sentence: message };
    }
  }

  rotateKey(): Promise<number> {
    const { transitPath, transitKey } = this.#options;
    return Promise.reject(
      new AiravataError(
        "vault_failed",
        `keys of OpenBao are rotated there: run bao write -f ${transitPath}/keys/${transitKey}/rotate; what was encrypted before still opens`,
      ),
    );
  }

  close(): void {
    this.#token.close();
  }

  async #read(path: string, what: string): Promise<Record<string, unknown> | undefined> {
    return this.#call(what, async () => {
      try {
        // Version 1 and no other: a path is written once, and what somebody wrote over it is not ours.
        return (await this.#client.read(`${this.#options.credentialsPath}/data/${path}?version=1`)).data.data;
      } catch (error) {
        if (statusOf(error) === 404 && wordsOf(error) === "") return undefined;
        throw error;
      }
    });
  }

  async #write(path: string, data: Record<string, unknown>, what: string): Promise<void> {
    const url = `${this.#options.credentialsPath}/data/${path}`;
    await this.#call(what, async () => {
      try {
        // cas 0: only when nothing is there.
        await this.#client.write(url, { data, options: { cas: 0 } });
      } catch (error) {
        // Writing over something is another right in OpenBao, which our policy lacks on purpose.
        const isTaken = statusOf(error) === 403 ? await this.#isThere(url) : /check-and-set/.test(wordsOf(error));
        if (!isTaken) throw error;
        throw new AiravataError("vault_failed", `there is a secret at ${path} in OpenBao (${this.place}) already`, {
          data: { taken: true },
        });
      }
    });
  }

  #isThere(url: string): Promise<boolean> {
    return this.#client.read(url).then(
      () => true,
      () => false,
    );
  }

  /** Runs it with a token, once more with a fresh one where AppRole gives it, and turns what fails into our errors. */
  async #call<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      await this.#token.ready();
      let answer: T;
      try {
        answer = await work();
      } catch (error) {
        if (statusOf(error) !== 403 || !(await this.#token.replace())) throw error;
        answer = await work();
      }
      this.#token.worked();
      this.#wasGone = false;
      return answer;
    } catch (error) {
      const refusal = statusOf(error) === 403 ? await this.#token.refusal(what) : refusalOf(error, this.#where(), what);
      if (refusal.code === "vault_unreachable") this.#wasGone = true;
      throw refusal;
    }
  }

  #where(): Where {
    return { address: this.place, timeoutMs: this.#timeoutMs, wasGone: this.#wasGone };
  }
}

function isTaken(error: unknown): boolean {
  return error instanceof AiravataError && error.data.taken === true;
}

/** Authenticated with the ciphertext: one that was moved to another path does not open. */
function contextOf(path: string): string {
  return Buffer.from(`airavata vault secret\n${path}`).toString("base64");
}

function checkPath(path: string): void {
  if (!SECRET_PATH.test(path)) throw new AiravataError("internal", `"${path}" is no path of a secret`);
}
