/**
 * The OpenID provider by `openid-client`: discovery, code flow with PKCE, device flow. The library verifies issuer,
 * audience, nonce, expiry and, told to, the signature; every request goes through the egress policy's `fetch`.
 */
import * as client from "openid-client";
import { AiravataError } from "../../shared/error/error.ts";
import type { IdentityProvider, ProvenIdentity } from "../domain/oidc/ports.ts";
import { refusalOf } from "./refusals.ts";

/** What the library asks with: small bodies, no stream. */
export interface ProviderRequest {
  method?: string;
  headers?: RequestInit["headers"];
  body?: RequestInit["body"];
  redirect?: RequestInit["redirect"];
  signal?: AbortSignal | null;
}

export interface ProviderOptions {
  issuer: string;
  clientId: string;
  /** Undefined: a public client, which proves itself by PKCE alone. */
  clientSecret: string | undefined;
  scopes: readonly string[];
  usernameClaim: string;
  fetch(url: string, init: ProviderRequest): Promise<Response>;
  mono(): number;
}

/** Endpoints move rarely and keys are fetched anew by themselves. */
const DISCOVERY_MS = 3_600_000;
/** The egress policy's own limit is shorter and has the better sentence. */
const TIMEOUT_SECONDS = 15;
const DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code";
/** RFC 8628 says what holds when the provider does not. */
const DEVICE_INTERVAL_SECONDS = 5;

/** Asks nothing yet: a provider that is away keeps nobody from starting. Throws `setting_invalid`. */
export function createIdentityProvider(options: ProviderOptions): IdentityProvider {
  const issuer = checkedIssuer(options.issuer);
  // Also as OAuth writes them, in one text.
  const scope = [...new Set(["openid", ...options.scopes.flatMap((text) => text.split(/\s+/))])].join(" ").trim();
  const configuration = discovered(issuer, options);
  /** Every failure becomes a sentence about this provider. */
  const asked = async <R>(ask: (configuration: client.Configuration) => Promise<R>): Promise<R> => {
    try {
      return await ask(await configuration());
    } catch (error) {
      throw refusalOf(error, issuer.host);
    }
  };

  return {
    begin: (redirectUri) =>
      asked(async (found) => {
        const login = {
          state: client.randomState(),
          nonce: client.randomNonce(),
          verifier: client.randomPKCECodeVerifier(),
        };
        const url = client.buildAuthorizationUrl(found, {
          redirect_uri: redirectUri,
          scope,
          state: login.state,
          nonce: login.nonce,
          code_challenge: await client.calculatePKCECodeChallenge(login.verifier),
          code_challenge_method: "S256",
        });
        return { ...login, url: url.href };
      }),
    finish: (callback, login) =>
      asked(async (found) => {
        const checks = { expectedState: login.state, expectedNonce: login.nonce, pkceCodeVerifier: login.verifier };
        return identityOf(found, await client.authorizationCodeGrant(found, callback, checks), options);
      }),
    beginDevice: () =>
      asked(async (found) => {
        if (found.serverMetadata().device_authorization_endpoint === undefined) {
          throw new AiravataError(
            "oidc_not_configured",
            `the OpenID provider ${issuer.host} has no device flow; log in by the browser or with a password`,
          );
        }
        const device = await client.initiateDeviceAuthorization(found, { scope });
        return {
          deviceCode: device.device_code,
          userCode: device.user_code,
          verificationUri: device.verification_uri,
          verificationUriComplete: device.verification_uri_complete,
          intervalMs: (device.interval ?? DEVICE_INTERVAL_SECONDS) * 1_000,
          expiresInMs: device.expires_in * 1_000,
        };
      }),
    pollDevice: (deviceCode) =>
      asked(async (found) => {
        // The library's own poll waits and asks until it is done; our client does the waiting.
        const answer = await client
          .genericGrantRequest(found, DEVICE_GRANT, { device_code: deviceCode })
          .catch(undecided);
        return typeof answer === "string" ? answer : identityOf(found, answer, options);
      }),
  };
}

/** The provider's metadata, asked for when first needed and then once an hour; all who wait share one request. */
function discovered(issuer: URL, options: ProviderOptions): () => Promise<client.Configuration> {
  let held: { found: Promise<client.Configuration>; untilMono: number } | undefined;
  return () => {
    if (held !== undefined && options.mono() < held.untilMono) return held.found;
    const found = discover(issuer, options);
    const mine = { found, untilMono: options.mono() + DISCOVERY_MS };
    held = mine;
    found.catch(() => {
      if (held === mine) held = undefined;
    });
    return found;
  };
}

async function discover(issuer: URL, options: ProviderOptions): Promise<client.Configuration> {
  const execute = [client.enableNonRepudiationChecks];
  // Only ever on loopback, see `checkedIssuer`.
  if (issuer.protocol === "http:") execute.push(client.allowInsecureRequests);
  const send: client.CustomFetch = (url, init) => options.fetch(url, init as ProviderRequest);
  const discovery = { execute, timeout: TIMEOUT_SECONDS, [client.customFetch]: send };
  const first = await client.discovery(issuer, options.clientId, {}, client.None(), discovery);
  const metadata = first.serverMetadata();
  const found = new client.Configuration(
    metadata,
    options.clientId,
    {},
    authentication(metadata, options.clientSecret),
  );
  found[client.customFetch] = send;
  found.timeout = TIMEOUT_SECONDS;
  for (const extension of execute) extension(found);
  return found;
}

/** The default of the standard where the provider takes it, else the form that the older ones want. */
function authentication(metadata: client.ServerMetadata, secret: string | undefined): client.ClientAuth {
  if (secret === undefined) return client.None();
  const methods = metadata.token_endpoint_auth_methods_supported ?? ["client_secret_basic"];
  return methods.includes("client_secret_basic") ? client.ClientSecretBasic(secret) : client.ClientSecretPost(secret);
}

async function identityOf(
  found: client.Configuration,
  answer: client.TokenEndpointResponse & client.TokenEndpointResponseHelpers,
  { usernameClaim }: ProviderOptions,
): Promise<ProvenIdentity> {
  const claims = answer.claims();
  if (claims === undefined) {
    throw new AiravataError(
      "oidc_answer_invalid",
      "the OpenID provider gave no ID token; see that the scope openid is granted",
    );
  }
  const { iss: issuer, sub: subject } = claims;
  // The standard's own bound; and nothing that a database or a log would not take as it is.
  if (subject.length > 255 || !/^[\x20-\x7e]+$/.test(subject)) {
    throw new AiravataError(
      "oidc_answer_invalid",
      "the OpenID provider names a subject that is not at most 255 ASCII characters",
    );
  }
  // Some put into the ID token only who it is, and the rest where it is asked for.
  const isComplete =
    typeof claims[usernameClaim] === "string" || found.serverMetadata().userinfo_endpoint === undefined;
  const all = isComplete ? claims : { ...claims, ...(await client.fetchUserInfo(found, answer.access_token, subject)) };
  return { issuer, subject, username: text(all[usernameClaim]), displayName: text(all.name), email: text(all.email) };
}

/** What a provider says of a person: one line without control characters, of a bounded length. */
function text(claim: unknown): string | undefined {
  if (typeof claim !== "string") return undefined;
  const line = claim
    .replace(/\p{Cc}/gu, "")
    .trim()
    .slice(0, 200);
  return line === "" ? undefined : line;
}

function undecided(error: unknown): "pending" | "slow_down" {
  if (error instanceof client.ResponseBodyError) {
    if (error.error === "authorization_pending") return "pending";
    if (error.error === "slow_down") return "slow_down";
  }
  throw error;
}

function checkedIssuer(text: string): URL {
  const issuer = URL.parse(text);
  const isLoopback = issuer !== null && /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(issuer.hostname);
  if (issuer !== null && (issuer.protocol === "https:" || (issuer.protocol === "http:" && isLoopback))) return issuer;
  throw new AiravataError(
    "setting_invalid",
    `OIDC_ISSUER is "${text.slice(0, 200)}" but must be the provider's https address (http only on loopback)`,
  );
}
