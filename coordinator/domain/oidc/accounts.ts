/** The accounts and sessions of this installation, as logins by an OpenID provider ask for them. */
import { AiravataError } from "../../../shared/error/error.ts";
import { SYSTEM_ACTOR } from "../../../shared/model/ids.ts";
import type { By } from "../access/by.ts";
import { createAccount } from "../account/accounts.ts";
import { type Login, type LoginSources, openSession } from "../account/logins.ts";
import type { LoginOrigin, OidcAccounts } from "./ports.ts";

export function createOidcAccounts(sources: LoginSources): OidcAccounts<Login> {
  return {
    find: (issuer, subject) => sources.accounts.byOidc(issuer, subject),
    async create({ issuer, subject, username, displayName, email }, origin) {
      const user = { username, displayName, email, password: null, oidc: { issuer, subject } };
      try {
        return (await createAccount(sources, user, byOf(origin))).account;
      } catch (error) {
        if (error instanceof AiravataError && error.code === "username_taken") return undefined;
        throw error;
      }
    },
    openSession: (account, form, origin) => {
      return openSession(sources, account, { how: "oidc", client: `${form} login` }, byOf(origin));
    },
  };
}

/** Until there is a session nobody is anybody: the provider's word is what made the account. */
function byOf({ address, request }: LoginOrigin): By {
  return { actor: SYSTEM_ACTOR, via: "oidc", address, request };
}
