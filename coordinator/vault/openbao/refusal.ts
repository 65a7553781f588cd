/**
 * What OpenBao answered, or did not, as one of our errors with a sentence. Many causes share a status code, so the body's
 * words decide; nothing of what was sent or of a secret is taken over, only OpenBao's own short message.
 */
import { AiravataError } from "../../../shared/error/error.ts";
import { type FailureKind, TransportFailure } from "./transport.ts";

/** The fields of node-vault's error that we read. */
interface Answered {
  response?: { statusCode?: unknown; body?: unknown };
}

export interface Where {
  address: string;
  timeoutMs: number;
  /** True when it went away since it answered last: then sealed means restarted. */
  wasGone: boolean;
}

const AWAY: Record<FailureKind, (where: Where, code: string) => string> = {
  refused: ({ address }) => `nothing listens at ${address}: OpenBao does not run there; start and unseal it`,
  unresolved: ({ address }) =>
    `the name in OPENBAO_ADDR (${address}) cannot be resolved: correct it, or look at the DNS`,
  no_route: ({ address }) => `no connection to OpenBao at ${address} comes about: the network in between is cut`,
  frozen: ({ address, timeoutMs }) =>
    `OpenBao at ${address} took the connection and did not answer within ${timeoutMs / 1000} s: it is frozen or overloaded`,
  cut: ({ address }) => `OpenBao at ${address} broke the connection off before it answered: it is being restarted`,
  untrusted: ({ address }, code) =>
    `the certificate of OpenBao at ${address} is not trusted (${code}): give its CA to the coordinator with NODE_EXTRA_CA_CERTS`,
  not_tls: ({ address }) => `${address} does not speak TLS: is OPENBAO_ADDR to begin with http:// ?`,
  nonsense: ({ address }, code) => `what answers at ${address} is not OpenBao (${code}): correct OPENBAO_ADDR`,
  other: ({ address }, code) => `OpenBao at ${address} cannot be reached (${code})`,
};

/** The HTTP status of an answer; undefined when there was none. */
export function statusOf(error: unknown): number | undefined {
  const status = (error as Answered).response?.statusCode;
  return typeof status === "number" ? status : undefined;
}

/** OpenBao's own words, without line ends and cut: it repeats paths and names, never values. */
export function wordsOf(error: unknown): string {
  const { errors } = ((error as Answered).response?.body ?? {}) as { errors?: unknown };
  const words = Array.isArray(errors) ? errors.filter((text) => typeof text === "string").join("; ") : "";
  return words.replace(/\s+/g, " ").trim().slice(0, 200);
}

/** Everything but a refusal for want of rights (403), which its caller looks into. `what`: what was being done. */
export function refusalOf(error: unknown, where: Where, what: string): AiravataError {
  if (error instanceof AiravataError) return error;
  if (error instanceof TransportFailure) {
    return new AiravataError("vault_unreachable", AWAY[error.kind](where, error.code));
  }
  const { address } = where;
  const status = statusOf(error);
  const words = wordsOf(error);
  if (status === undefined) return new AiravataError("vault_failed", `OpenBao at ${address} failed at ${what}`);
  if (/not initialized/i.test(words)) {
    return failed(`OpenBao at ${address} was never initialised: run bao operator init there`);
  }
  if (status === 503 && /sealed/i.test(words)) return new AiravataError("vault_sealed", sealedSentence(where));
  if (/no handler for route|route entry not found/i.test(words)) {
    return failed(
      `OpenBao at ${address} has no engine where ${what} needs it: enable it, or correct the path (${words})`,
    );
  }
  if (/encryption key not found/i.test(words)) {
    return failed(`OpenBao at ${address} has no such transit key: make it, or correct OPENBAO_TRANSIT_KEY`);
  }
  if (status >= 300 && status < 400) {
    return failed(`OpenBao at ${address} sends us elsewhere (${status}): let OPENBAO_ADDR name the active server`);
  }
  if (status >= 500 || status === 429) {
    const why = words === "" ? `HTTP ${status}` : words;
    return new AiravataError("vault_unreachable", `OpenBao at ${address} answers, but not now: ${why}`);
  }
  return failed(`OpenBao at ${address} refused ${what} with ${status}${words === "" ? "" : `: ${words}`}`);
}

function sealedSentence({ address, wasGone }: Where): string {
  const since = wasGone ? "was restarted and is sealed since" : "is sealed";
  return `OpenBao at ${address} ${since}: run bao operator unseal there`;
}

function failed(message: string): AiravataError {
  return new AiravataError("vault_failed", message);
}
