/** The routes of login by an OpenID provider: decode, one domain call, encode; and the cookie that binds it to a browser. */
import type { RouteId } from "../../../shared/api/routes.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { OIDC_LOGIN_MS } from "../../../shared/model/constants.ts";
import type { Login } from "../../domain/account/logins.ts";
import type { OidcLogins } from "../../domain/oidc/login.ts";
import type { LoginOrigin } from "../../domain/oidc/ports.ts";
import type { Caller } from "./access.ts";
import { aboutAccount, encodeLogin } from "./accounts.ts";
import { cookieOf, loginCookie } from "./cookie.ts";
import { type Handlers, ok } from "./register.ts";

type OidcRoutes = Extract<RouteId, "oidcLogin" | "oidcCallback" | "oidcToken" | "oidcDevice" | "oidcDevicePoll">;

export interface OidcSources {
  /** Undefined: none is configured. */
  oidc: OidcLogins<Login> | undefined;
  /** The address that browsers have for us, without a slash at its end; undefined when nobody said. */
  publicUrl(): string | undefined;
}

export function oidcHandlers(sources: OidcSources): Handlers<OidcRoutes> {
  const logins = (): OidcLogins<Login> => {
    if (sources.oidc) return sources.oidc;
    throw new AiravataError(
      "oidc_not_configured",
      "no OpenID provider is configured here; log in with a password, or set OIDC_ISSUER and OIDC_CLIENT_ID",
    );
  };
  // Without a public URL no login begins, so that nothing depends on what is said here then.
  const isSecure = (): boolean => sources.publicUrl()?.startsWith("https:") ?? false;
  const redirect = (location: string, cookie?: string) => {
    const headers: Record<string, string> = cookie === undefined ? { location } : { location, "set-cookie": cookie };
    return { status: 303, body: { location }, headers };
  };
  return {
    oidcLogin: async ({ query, caller }) => {
      const { url, cookie } = await logins().begin(query.return_to, originOf(caller));
      return redirect(url, loginCookie(cookie, isSecure(), OIDC_LOGIN_MS));
    },
    oidcCallback: async ({ query, caller, cookie }) => {
      const answer = new URLSearchParams();
      for (const [name, value] of Object.entries(query)) if (value !== undefined) answer.set(name, value);
      const { returnTo, ticket } = await logins().finish(answer, cookieOf(cookie, isSecure()), originOf(caller));
      return redirect(`${sources.publicUrl() ?? ""}${returnTo}#login_ticket=${ticket}`);
    },
    oidcToken: async ({ body, caller, cookie }) => {
      const trade = logins().trade(body.ticket, cookieOf(cookie, isSecure()), originOf(caller));
      return ok(encodeLogin(await aboutAccount(trade)), { "set-cookie": loginCookie("", isSecure(), 0) });
    },
    oidcDevice: async ({ caller }) => {
      const login = await logins().beginDevice(originOf(caller));
      return ok({
        handle: login.handle,
        user_code: login.userCode,
        verification_uri: login.verificationUri,
        verification_uri_complete: login.verificationUriComplete ?? null,
        interval_seconds: login.intervalMs / 1_000,
        expires_in_seconds: Math.floor(login.expiresInMs / 1_000),
      });
    },
    oidcDevicePoll: async ({ body, caller }) => {
      const login = await aboutAccount(logins().pollDevice(body.handle, originOf(caller)));
      return ok(login ? { status: "done", session: encodeLogin(login) } : { status: "pending", session: null });
    },
  };
}

function originOf({ address, request }: Caller): LoginOrigin {
  return { address, request };
}
