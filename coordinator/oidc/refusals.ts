/** What goes wrong at the provider, or in what it says, as one of our errors with a sentence. */
import * as client from "openid-client";
import { AiravataError } from "../../shared/error/error.ts";

/** Answers of providers that are not well: overload and what stands before them. */
const PASSING = new Set(["temporarily_unavailable", "server_error"]);
/** Which of the promises an answer breaks. */
const BROKEN: Record<string, string> = {
  OAUTH_JWT_CLAIM_COMPARISON_FAILED: "a claim of its ID token is not what was asked for",
  OAUTH_JWT_TIMESTAMP_CHECK_FAILED: "its ID token is out of its time; compare the clocks",
  OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED: "it gives itself another name than OIDC_ISSUER",
  OAUTH_KEY_SELECTION_FAILED: "its ID token is signed by a key that it does not publish",
  OAUTH_RESPONSE_IS_NOT_JSON: "it is no JSON",
  OAUTH_PARSE_ERROR: "it cannot be read",
  OAUTH_HTTP_REQUEST_FORBIDDEN: "it names an address without TLS",
};

export function refusalOf(error: unknown, host: string): AiravataError {
  if (error instanceof AiravataError && !error.code.startsWith("egress_")) return error;
  const egress = linkOf(error, (link) => link instanceof AiravataError) as AiravataError | undefined;
  if (egress?.code === "egress_refused") return new AiravataError("egress_refused", egress.message, { cause: error });
  if (egress?.code === "egress_failed") return unavailable(host, error);
  if (error instanceof client.AuthorizationResponseError) return refusedByProvider(error.error, host, error);
  if (error instanceof client.ResponseBodyError) return refusedByProvider(error.error, host, error);
  if (error instanceof client.WWWAuthenticateChallengeError) return notAccepted(host, error);
  const code = codeOf(error);
  if (code === "OAUTH_TIMEOUT" || code === "OAUTH_ABORT") return unavailable(host, error);
  const response = linkOf(error, (link) => link instanceof Response) as Response | undefined;
  if (response !== undefined && (response.status >= 500 || response.status === 429)) return unavailable(host, error);
  if (response?.status === 401) return notAccepted(host, error);
  const why = egress === undefined ? (BROKEN[code] ?? "it does not hold") : "it is too large";
  return new AiravataError("oidc_answer_invalid", `the answer of the OpenID provider ${host} is not accepted: ${why}`, {
    cause: error,
  });
}

/** An error that the provider itself names (RFC 6749). */
function refusedByProvider(name: string, host: string, cause: unknown): AiravataError {
  if (PASSING.has(name)) return unavailable(host, cause);
  if (name === "invalid_grant" || name === "expired_token") {
    return new AiravataError(
      "oidc_login_expired",
      `this login cannot be finished: to the OpenID provider ${host} its code is used or too old; begin it again`,
      { cause },
    );
  }
  if (name === "invalid_client" || name === "unauthorized_client") return notAccepted(host, cause);
  const said = name.replace(/[^a-z_]/gi, "").slice(0, 60);
  return new AiravataError(
    "oidc_denied",
    `the OpenID provider ${host} refused this login: ${said || "no reason given"}`,
    {
      cause,
    },
  );
}

function notAccepted(host: string, cause: unknown): AiravataError {
  return new AiravataError(
    "oidc_answer_invalid",
    `the OpenID provider ${host} does not accept this coordinator; its operator should look at OIDC_CLIENT_ID and OIDC_CLIENT_SECRET`,
    { cause },
  );
}

function unavailable(host: string, cause: unknown): AiravataError {
  return new AiravataError(
    "oidc_unavailable",
    `the OpenID provider ${host} does not answer now; try again in a moment`,
    {
      cause,
    },
  );
}

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === "string" ? code : "";
}

/** The first of the chain of causes that is such a one. */
function linkOf(error: unknown, matches: (link: unknown) => boolean): unknown {
  let link = error;
  for (let depth = 0; depth < 10 && link !== undefined && link !== null; depth++) {
    if (matches(link)) return link;
    link = (link as { cause?: unknown }).cause;
  }
  return undefined;
}
