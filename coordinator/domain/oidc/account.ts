/**
 * The account of somebody whom a provider vouches for. It is found by issuer and subject alone: an e-mail address or a
 * username proves nothing, so nobody gets another one's account by calling himself like him.
 */
import { createHash } from "node:crypto";
import { AiravataError } from "../../../shared/error/error.ts";
import type { LoginOrigin, OidcAccount, OidcAccounts, ProvenIdentity } from "./ports.ts";

/** Room for `-20` within the 100 characters of a username. */
const USERNAME_LENGTH_MAX = 90;
/** Namesakes; beyond them the name of last resort is taken. */
const NAMESAKES_MAX = 20;

/**
 * Finds it, or makes it where that is allowed; whether it is disabled is seen when its session is opened. Throws
 * `oidc_account_unknown`.
 */
export async function accountOf<T>(
  accounts: OidcAccounts<T>,
  identity: ProvenIdentity,
  { autoCreate, origin }: { autoCreate: boolean; origin: LoginOrigin },
): Promise<OidcAccount> {
  const known = await accounts.find(identity.issuer, identity.subject);
  if (known !== undefined) return known;
  if (!autoCreate) {
    throw new AiravataError(
      "oidc_account_unknown",
      "nobody with this identity has an account here; an administrator may make one, or let them be made at first login (OIDC_AUTO_CREATE)",
    );
  }
  for (const username of usernames(identity)) {
    const account = await accounts.create({ ...identity, username }, origin);
    if (account !== undefined) return account;
    // The same person in two windows: the other one has just made it.
    const twin = await accounts.find(identity.issuer, identity.subject);
    if (twin !== undefined) return twin;
  }
  throw new AiravataError("internal", "no username is left for a new account");
}

/** What to call him, the best first: what the claim says, the same with a number, a name of his identity's hash. Exported for tests. */
export function* usernames({ username, issuer, subject }: ProvenIdentity): Generator<string> {
  const wanted = asUsername(username ?? "");
  if (wanted !== "") {
    yield wanted;
    for (let n = 2; n <= NAMESAKES_MAX; n++) yield `${wanted}-${n}`;
  }
  const hash = createHash("sha256")
    .update(JSON.stringify([issuer, subject]))
    .digest("hex");
  yield `oidc-${hash.slice(0, 12)}`;
  yield `oidc-${hash.slice(0, 32)}`;
}

/** Letters, digits, dot, dash and underscore, lower case; of an e-mail address what stands before the @. */
function asUsername(claim: string): string {
  const [local = ""] = claim.normalize("NFKD").toLowerCase().split("@");
  const name = local
    .replace(/\p{M}/gu, "")
    .replace(/[^a-z0-9._-]+/g, "-")
    .replace(/^[^a-z0-9]+/, "")
    .slice(0, USERNAME_LENGTH_MAX)
    .replace(/[^a-z0-9]+$/, "");
  // A name of digits alone would be taken for a number.
  return /^[^a-z]+$/.test(name) ? `u${name}` : name;
}
