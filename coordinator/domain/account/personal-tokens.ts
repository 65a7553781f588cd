/** Personal tokens: for programs that act for a person, limited in what they may and for how long. */
import type { Scope } from "../../../shared/api/access.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { PERSONAL_TOKENS_MAX } from "../../../shared/model/constants.ts";
import type { StoredToken, TokenStore } from "../../store/personal-tokens.ts";
import type { By } from "../access/by.ts";
import type { AccountSources } from "./accounts.ts";
import { requireSession } from "./logins.ts";
import { newPersonalToken, secretHash } from "./secret.ts";

export type { StoredToken };

export type TokenSources = Pick<AccountSources, "checkLeads" | "recognition"> & { tokens: TokenStore };

/** The secret is in this answer and nowhere else. Throws `too_many_tokens`. */
export async function createToken(
  sources: TokenSources,
  { name, scopes, lastsMs }: { name: string; scopes: readonly Scope[]; lastsMs: number },
  by: By,
): Promise<{ stored: StoredToken; token: string }> {
  sources.checkLeads();
  requireSession(by);
  const token = newPersonalToken();
  const wanted = { actor: by.actor, hash: secretHash(token), name, scopes, lastsMs };
  const stored = await sources.tokens.create(wanted, PERSONAL_TOKENS_MAX, by);
  if (stored) return { stored, token };
  throw new AiravataError(
    "too_many_tokens",
    `you have ${PERSONAL_TOKENS_MAX} personal tokens, the most there may be: revoke one that is not used any more`,
  );
}

/** The caller's own. */
export function listTokens({ tokens }: TokenSources, by: By): Promise<StoredToken[]> {
  return tokens.list(by.actor);
}

/** Throws `token_not_found`. */
export async function revokeToken(sources: TokenSources, token: number, by: By): Promise<StoredToken> {
  sources.checkLeads();
  const revoked = await sources.tokens.revoke(by.actor, token, by);
  if (!revoked) throw new AiravataError("token_not_found", `you have no personal token ${token}`);
  sources.recognition.forgetToken(token);
  return revoked;
}

/** Written at most so often for one token. */
const WRITTEN_EVERY_MS = 3_600_000;
const FLUSH_MS = 30_000;
/** Tokens in use within an hour; beyond, some are written more often than needed. */
const REMEMBERED_MAX = 10_000;

/** When tokens were last used: to the hour, many in one statement, never in the way of a request. */
export class TokenUse {
  readonly #tokens: TokenStore;
  readonly #failed: (error: unknown) => void;
  readonly #written = new Map<number, number>();
  #pending = new Map<number, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(tokens: TokenStore, failed: (error: unknown) => void) {
    this.#tokens = tokens;
    this.#failed = failed;
  }

  note(token: number): void {
    const now = Date.now();
    const written = this.#written.get(token);
    if (written !== undefined && now - written < WRITTEN_EVERY_MS) return;
    if (this.#written.size >= REMEMBERED_MAX) this.#written.clear();
    this.#written.set(token, now);
    this.#pending.set(token, now);
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => void this.flush().catch(this.#failed), FLUSH_MS);
    this.#timer.unref();
  }

  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const pending = this.#pending;
    this.#pending = new Map();
    if (pending.size > 0) await this.#tokens.used(pending);
  }
}
