/** Login by an OpenID provider put together from the settings: the provider behind the egress policy, and the accounts. */
import { OIDC_CALLBACK_PATH } from "../shared/api/routes/oidc.ts";
import { AiravataError } from "../shared/error/error.ts";
import type { Clock } from "../shared/time/clock.ts";
import { createOidcLogins, type OidcLogins } from "./domain/oidc/login.ts";
import type { OidcAccounts } from "./domain/oidc/ports.ts";
import { createEgress } from "./egress/egress.ts";
import { createIdentityProvider } from "./oidc/provider.ts";
import { COORDINATOR_SETTINGS, type CoordinatorSettings } from "./settings.ts";

export type LoginSettings = Pick<
  CoordinatorSettings,
  | "publicUrl"
  | "egressAllow"
  | "oidcIssuer"
  | "oidcClientId"
  | "oidcClientSecret"
  | "oidcScopes"
  | "oidcUsernameClaim"
  | "oidcAutoCreate"
>;

interface LoginOptions {
  settings: Partial<LoginSettings> & Pick<CoordinatorSettings, "bind">;
  /** Where it listens, once it does. */
  url(): string | undefined;
  clock: Clock;
}

interface Logins<T> {
  oidc: OidcLogins<T> | undefined;
  publicUrl(): string | undefined;
}

/**
 * Looks at the settings, before anything is started; what it gives takes the accounts once there are some. Throws
 * `setting_invalid`. Asks the provider nothing yet.
 */
export function prepareLogins({ settings, url, clock }: LoginOptions): <T>(accounts: OidcAccounts<T>) => Logins<T> {
  const { oidcIssuer: issuer, oidcClientId: clientId } = settings;
  const stated = settings.publicUrl === undefined ? undefined : checkedPublicUrl(settings.publicUrl);
  const publicUrl = (): string | undefined => stated ?? (isLoopback(settings.bind) ? url() : undefined);
  const { fetch } = createEgress({ allow: settings.egressAllow ?? [] });
  if (issuer === undefined) return () => ({ oidc: undefined, publicUrl });
  if (clientId === undefined) {
    throw new AiravataError("setting_invalid", "OIDC_ISSUER is set and OIDC_CLIENT_ID is not: set both or neither");
  }
  const mono = (): number => clock.mono();
  const provider = createIdentityProvider({
    issuer,
    clientId,
    clientSecret: settings.oidcClientSecret,
    scopes: settings.oidcScopes ?? COORDINATOR_SETTINGS.oidcScopes.default,
    usernameClaim: settings.oidcUsernameClaim ?? COORDINATOR_SETTINGS.oidcUsernameClaim.default,
    fetch,
    mono,
  });
  const redirectUri = (): string | undefined => {
    const base = publicUrl();
    return base && base + OIDC_CALLBACK_PATH;
  };
  const autoCreate = settings.oidcAutoCreate ?? false;
  return (accounts) => ({
    oidc: createOidcLogins({ provider, accounts, autoCreate, redirectUri, mono }),
    publicUrl,
  });
}

/** On one machine the browser is here too. Elsewhere only an operator knows what the outside calls us. */
function isLoopback(bind: string): boolean {
  return /^(127\.|localhost$|::1$)/.test(bind);
}

function checkedPublicUrl(text: string): string {
  const url = URL.parse(text);
  const isBare = url !== null && url.pathname === "/" && url.search === "" && url.hash === "" && url.username === "";
  if (isBare && (url.protocol === "https:" || url.protocol === "http:")) return url.origin;
  throw new AiravataError(
    "setting_invalid",
    `AIRAVATA_PUBLIC_URL is "${text.slice(0, 200)}" but must be https://host or https://host:port, without a path`,
  );
}
