/**
 * Which headers travel to the dispatcher and back: all of them, in their order, but those that concern one connection
 * only, and those that say who asks: the client's token stays here, the statement takes its place. Of cookies only the
 * one of a login under way goes on, which is no session.
 */
import type { IncomingMessage } from "node:http";
import { BEARER_SUBPROTOCOL_PREFIX } from "../../../shared/api/event.ts";
import { forwardedCookie } from "../http/cookie.ts";

/** Carries the statement of the coordinator that forwards. */
export const FORWARDED_HEADER = "airavata-forwarded";

/** With the refusal of a process that does not lead the term that was meant: nothing was done. */
export const NOT_LEADING_HEADER = "airavata-not-leading";

const OF_ONE_CONNECTION = [
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];
/** Answered here already. */
const EXPECT = "expect";

/** Name, value, name, value… of a request that goes on to the dispatcher. */
export function requestHeaders(request: IncomingMessage, statement: string): string[] {
  const dropped = new Set([
    ...namedByConnection(request),
    ...OF_ONE_CONNECTION,
    EXPECT,
    "authorization",
    "cookie",
    "content-length",
    "sec-websocket-protocol",
    FORWARDED_HEADER,
  ]);
  const headers = kept(request.rawHeaders, dropped);
  headers.push(FORWARDED_HEADER, statement);
  const cookie = forwardedCookie(request.headers.cookie);
  if (cookie !== undefined) headers.push("Cookie", cookie);
  const { "content-length": length, "transfer-encoding": coding } = request.headers;
  if (coding !== undefined) headers.push("Transfer-Encoding", "chunked");
  else if (length !== undefined) headers.push("Content-Length", length);
  // Said in so many words: without it an empty body would be sent as chunks of an unknown type.
  else if (request.method !== "GET" && request.method !== "HEAD") headers.push("Content-Length", "0");
  return headers;
}

/** The same for one that is to become a WebSocket. */
export function upgradeHeaders(request: IncomingMessage, statement: string): string[] {
  const headers = requestHeaders(request, statement);
  headers.push("Connection", "Upgrade", "Upgrade", "websocket");
  const offered = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((name) => name.trim());
  const others = offered.filter((name) => name !== "" && !name.startsWith(BEARER_SUBPROTOCOL_PREFIX));
  if (others.length > 0) headers.push("Sec-WebSocket-Protocol", others.join(", "));
  return headers;
}

/** Name, value… of the dispatcher's answer as the client gets it. */
export function answerHeaders(response: IncomingMessage): string[] {
  return kept(response.rawHeaders, new Set([...namedByConnection(response), ...OF_ONE_CONNECTION]));
}

/** An answer of 101 keeps what makes it one. */
export function switchingHeaders(response: IncomingMessage): string[] {
  return [...answerHeaders(response), "Connection", "Upgrade", "Upgrade", "websocket"];
}

export function hasBody({ headers }: IncomingMessage): boolean {
  return headers["content-length"] !== undefined || headers["transfer-encoding"] !== undefined;
}

/** A sender may name further headers of one connection; those that tell the length are not its to take away. */
function namedByConnection({ headers }: IncomingMessage): string[] {
  const names = (headers.connection ?? "").split(",").map((name) => name.trim().toLowerCase());
  return names.filter((name) => name !== "content-length" && name !== "host");
}

function kept(raw: string[], dropped: Set<string>): string[] {
  const headers: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const [name = "", value = ""] = [raw[i], raw[i + 1]];
    if (!dropped.has(name.toLowerCase())) headers.push(name, value);
  }
  return headers;
}
