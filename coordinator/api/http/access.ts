/**
 * Closed by default: every route asks for the bearer token unless the table of routes says that it is open. Only the
 * token's hash is kept in memory, and hashes are compared in constant time. A token in a URL is refused even if it is right.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import { BEARER_SUBPROTOCOL_PREFIX } from "../../../shared/api/event.ts";
import type { Access } from "../../../shared/api/routes.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { type ActorId, OPERATOR_ACTOR, SYSTEM_ACTOR } from "../../../shared/model/ids.ts";
import type { Statement } from "../../domain/forward/statement.ts";

export interface Caller {
  /** The holder of the token; the system's own number for a caller of an open route. */
  actor: ActorId;
  /** What the coordinator that forwarded the request stated about it; absent when the client itself is at the other end. */
  stated?: Statement;
}

/** SHA-256 of a token: tokens are 256 random bits, so a plain hash is not worth guessing at. */
export function tokenHash(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

/** Names under which tokens are commonly put into URLs. */
const TOKEN_PARAMETERS = ["token", "access_token", "bearer", "authorization", "api_key"];

export interface Gate {
  /**
   * Who calls: what another coordinator has proven to state, or who holds the token. Throws `unauthorized` when the route
   * is closed to them, `token_in_query` when the URL carries a token.
   */
  admit(access: Access, request: IncomingMessage, stated?: Statement): Caller;
}

export function createGate(operatorTokenHash: Buffer): Gate {
  return {
    admit(access, request, stated) {
      refuseTokenInQuery(request.url ?? "");
      if (stated) {
        if (access === "open" || stated.actor === OPERATOR_ACTOR) return { actor: stated.actor, stated };
        throw new AiravataError("unauthorized", "the coordinator that forwarded this admitted nobody who may ask it");
      }
      if (access === "open") return { actor: SYSTEM_ACTOR };
      const token = bearerOf(request);
      if (token !== undefined) {
        if (timingSafeEqual(tokenHash(token), operatorTokenHash)) return { actor: OPERATOR_ACTOR };
        throw new AiravataError("unauthorized", "the token is not valid here; see the data directory's file `token`");
      }
      if (access === "token_or_loopback" && isLoopback(request)) return { actor: SYSTEM_ACTOR };
      throw new AiravataError("unauthorized", "this needs a token: send `Authorization: Bearer …`");
    },
  };
}

/**
 * Refuses a WebSocket that a web page of another origin opens: browsers send Origin and let no page forge it, programs
 * send none. Throws `origin_refused`.
 */
export function checkOrigin(request: IncomingMessage): void {
  const origin = request.headers.origin;
  if (origin === undefined) return;
  const host = request.headers.host;
  if (host !== undefined && URL.parse(origin)?.host === URL.parse(`http://${host}`)?.host) return;
  throw new AiravataError(
    "origin_refused",
    `a page of ${origin.slice(0, 200)} may not open a socket to this coordinator`,
  );
}

function refuseTokenInQuery(url: string): void {
  const at = url.indexOf("?");
  if (at < 0) return;
  const query = new URLSearchParams(url.slice(at + 1));
  if (!TOKEN_PARAMETERS.some((name) => query.has(name))) return;
  throw new AiravataError("token_in_query", "a token does not belong in a URL: send it as `Authorization: Bearer …`");
}

function bearerOf(request: IncomingMessage): string | undefined {
  const header = /^bearer ([\x21-\x7e]{1,500})$/i.exec(request.headers.authorization ?? "")?.[1];
  if (header !== undefined || request.headers.upgrade === undefined) return header;
  // Only for sockets: a browser's WebSocket cannot set headers.
  const offered = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((name) => name.trim());
  return offered.find((name) => name.startsWith(BEARER_SUBPROTOCOL_PREFIX))?.slice(BEARER_SUBPROTOCOL_PREFIX.length);
}

/** A proxy on this machine also comes from loopback, but says for whom it asks. */
function isLoopback(request: IncomingMessage): boolean {
  if (request.headers["x-forwarded-for"] !== undefined || request.headers.forwarded !== undefined) return false;
  const address = (request.socket.remoteAddress ?? "").replace(/^::ffff:/, "");
  return isIP(address) === 4 ? address.startsWith("127.") : address === "::1";
}
