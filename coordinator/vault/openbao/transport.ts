/**
 * One HTTP request to OpenBao, in the form that node-vault asks for. Ours, because its own sends the token after
 * redirects and through proxies of the environment, knows no overall deadline, and puts token and plaintext into its
 * errors. What fails here is a `TransportFailure` with a kind and nothing of what was sent.
 */
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";

/** What happened instead of an answer; each has its sentence in refusal.ts. */
export type FailureKind =
  | "refused"
  | "unresolved"
  | "no_route"
  | "frozen"
  | "cut"
  | "untrusted"
  | "not_tls"
  | "nonsense"
  | "other";

export class TransportFailure extends Error {
  override name = "TransportFailure";
  readonly kind: FailureKind;
  /** Node's or OpenSSL's code. */
  readonly code: string;

  constructor(kind: FailureKind, code: string) {
    super(`no answer: ${kind} (${code})`);
    this.kind = kind;
    this.code = code;
  }
}

/** As node-vault's `request-promise` option hands it over. */
export interface TransportRequest {
  method: string;
  uri: string;
  headers?: Record<string, string>;
  json?: unknown;
}

export interface TransportAnswer {
  statusCode: number;
  body: unknown;
  request: { path: string };
}

/** A secret of 64 KiB is some 120 kB after both encryptions. */
const ANSWER_BYTES_MAX = 1024 * 1024;

/** Resolves with whatever OpenBao answers within `timeoutMs`, a refusal too. Rejects with `TransportFailure`. */
export function sendRequest(options: TransportRequest, timeoutMs: number): Promise<TransportAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<TransportAnswer>();
  const url = new URL(options.uri);
  const isSent = options.json !== undefined && typeof options.json === "object";
  const body = isSent ? Buffer.from(JSON.stringify(options.json)) : undefined;
  const headers: Record<string, string | number> = { ...options.headers, "x-vault-request": "true" };
  if (body) {
    headers["content-type"] ??= "application/json";
    headers["content-length"] = body.length;
  }
  // A connection for each: calls are rare, and none is ever sent into one that died unnoticed.
  const send = url.protocol === "https:" ? httpsRequest : httpRequest;
  // Said, so that NODE_TLS_REJECT_UNAUTHORIZED cannot unsay it: the token goes along.
  const request = send(url, { method: options.method, headers, agent: false, rejectUnauthorized: true });
  let isConnected = false;
  const finish = (act: () => void): void => {
    clearTimeout(timer);
    body?.fill(0);
    act();
  };
  const timer = setTimeout(() => {
    request.destroy();
    finish(() => reject(new TransportFailure(isConnected ? "frozen" : "no_route", "ETIMEDOUT")));
  }, timeoutMs);
  request.once("socket", (socket) => socket.once("connect", () => (isConnected = true)));
  request.once("error", (error: NodeJS.ErrnoException) => finish(() => reject(failureOf(error))));
  request.once("response", (response) => {
    readAnswer(response).then(
      (answer) => finish(() => resolve({ ...answer, request: { path: url.pathname } })),
      (error) => finish(() => reject(failureOf(error))),
    );
  });
  request.end(body);
  return promise;
}

async function readAnswer(response: IncomingMessage): Promise<{ statusCode: number; body: unknown }> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > ANSWER_BYTES_MAX) throw new TransportFailure("nonsense", "EMSGSIZE");
    chunks.push(chunk);
  }
  const whole = Buffer.concat(chunks);
  for (const chunk of chunks) chunk.fill(0);
  const statusCode = response.statusCode ?? 0;
  try {
    return { statusCode, body: whole.length === 0 ? undefined : JSON.parse(whole.toString("utf8")) };
  } catch {
    // A proxy's page in HTML, say. What it holds is nobody's business.
    if (statusCode >= 500) return { statusCode, body: undefined };
    throw new TransportFailure("nonsense", `HTTP ${statusCode}`);
  } finally {
    whole.fill(0);
  }
}

const KINDS: Record<string, FailureKind> = {
  ECONNREFUSED: "refused",
  ENOTFOUND: "unresolved",
  EAI_AGAIN: "unresolved",
  EHOSTUNREACH: "no_route",
  ENETUNREACH: "no_route",
  ETIMEDOUT: "no_route",
  ECONNRESET: "cut",
  EPIPE: "cut",
  EPROTO: "not_tls",
  ERR_SSL_WRONG_VERSION_NUMBER: "not_tls",
  ERR_SSL_PACKET_LENGTH_TOO_LONG: "not_tls",
  HPE_INVALID_CONSTANT: "nonsense",
};

function failureOf(error: NodeJS.ErrnoException): TransportFailure {
  if (error instanceof TransportFailure) return error;
  // Of several addresses each had its error; they tell the same.
  const first = error instanceof AggregateError ? (error.errors[0] as NodeJS.ErrnoException) : error;
  const { code = "unknown" } = first;
  const isCertificate = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ERR_TLS/.test(code);
  return new TransportFailure(KINDS[code] ?? (isCertificate ? "untrusted" : "other"), code);
}
