/** The room of accounts put together: what the API calls, who is recognized, and what is to be closed. */
import type { Logger } from "../../../shared/log/log.ts";
import { ACCESS_TOKEN_TTL_MS, REFRESH_TOKEN_TTL_MS } from "../../../shared/model/constants.ts";
import type { Dispatcher } from "../../dispatch/contract.ts";
import type { AccountStore } from "../../store/accounts.ts";
import type { LoginStore } from "../../store/logins.ts";
import type { TokenStore } from "../../store/personal-tokens.ts";
import type { AccessControl } from "../access/access.ts";
import { createAccessTokens, type SigningKeys } from "./access-token.ts";
import type { LoginSources } from "./logins.ts";
import { type TokenSources, TokenUse } from "./personal-tokens.ts";
import { Recognition } from "./recognize.ts";
import { LoginThrottle } from "./throttle.ts";

interface RoomOptions {
  store: {
    accounts: AccountStore;
    logins: LoginStore;
    tokens: TokenStore;
  };
  dispatcher: Pick<Dispatcher, "leadership" | "onLeadership" | "projects">;
  access: AccessControl;
  keys: SigningKeys;
  settings: { accessTokenTtlMs?: number; refreshTokenTtlMs?: number };
  log: Logger;
}

export interface AccountRoom extends LoginSources, TokenSources {
  /** Writes what is still counted. */
  close(): Promise<void>;
}

export function openAccounts({ store, dispatcher, access, keys, settings, log }: RoomOptions): AccountRoom {
  const {
    accessTokenTtlMs: accessTtlMs = ACCESS_TOKEN_TTL_MS,
    refreshTokenTtlMs: refreshTtlMs = REFRESH_TOKEN_TTL_MS,
  } = settings;
  const { accounts, logins, tokens } = store;
  const accessTokens = createAccessTokens(keys, accessTtlMs);
  const use = new TokenUse(tokens, (error) => log.warn("when tokens were used could not be written", { error }));
  const recognition = new Recognition({
    logins,
    tokens,
    accessTokens,
    leads: () => dispatcher.leadership().leading,
    used: (token) => use.note(token),
  });
  // What another one changed while it led is not known here.
  const unfollow = dispatcher.onLeadership(() => recognition.clear());
  return {
    access,
    accessTtlMs,
    refreshTtlMs,
    accounts,
    logins,
    tokens,
    accessTokens,
    recognition,
    throttle: new LoginThrottle(),
    log,
    checkLeads: () => void dispatcher.projects(),
    close: async () => {
      unfollow();
      await use.flush().catch((error: unknown) => log.warn("when tokens were used could not be written", { error }));
    },
  };
}
