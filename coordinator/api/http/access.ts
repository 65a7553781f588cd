/**
 * Closed by default: every route asks for the bearer token unless the table of routes says that it is open. Only the
 * token's hash is kept in memory, and hashes are compared in constant time. A token in a URL is refused even if it is right.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Need, Scope } from "../../../shared/api/access.ts";
import { BEARER_SUBPROTOCOL_PREFIX } from "../../../shared/api/event.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { type ActorId, OPERATOR_ACTOR, SYSTEM_ACTOR } from "../../../shared/model/ids.ts";
import type { By } from "../../domain/access/by.ts";
import { OPERATOR_VIA, type Statement } from "../../domain/forward/statement.ts";
import { clientAddress, isLocal } from "../edge/client.ts";

export interface Caller {
  /** A person, or the holder of the operator's token; the system's own number for a caller of an open route. */
  actor: ActorId;
  /** By what he is known: `operator_token`, `session 17`, `token 4`, `nobody`. */
  via: string;
  /** What his token is limited to; null: to what he may do himself. */
  scopes: ReadonlySet<Scope> | null;
  /** The client's. */
  address: string | null;
  /** Id of the request, in every log line and audit entry about it. */
  request: string;
  /** What the coordinator that forwarded the request stated about it; absent when the client itself is at the other end. */
  stated?: Statement;
}

/** For the audit of what the journal makes durable. */
export function originOf({ via, address, request }: Caller) {
  return { via, address, request };
}

/** For the audit. */
export function byOf({ actor, via, address, request }: Caller): By {
  return { actor, via, address, request };
}

/** Knows tokens other than the operator's. Undefined: it is none of ours, or not valid any more. */
export type Recognize = (token: string) => Promise<Pick<Caller, "actor" | "via" | "scopes"> | undefined>;

/** SHA-256 of a token: tokens are 256 random bits, so a plain hash is not worth guessing at. */
export function tokenHash(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

/** Names under which tokens are commonly put into URLs. */
const TOKEN_PARAMETERS = ["token", "access_token", "bearer", "authorization", "api_key"];

export interface Gate {
  /**
   * Who calls: what another coordinator has proven to state, or who holds the token. Throws `unauthorized` when the route
   * is closed to strangers, `token_in_query` when the URL carries a token.
   */
  admit(need: Need, request: IncomingMessage, id: string, stated?: Statement): Promise<Caller>;
}

export function createGate(operatorTokenHash: Buffer, recognize: Recognize): Gate {
  const nobody = { actor: SYSTEM_ACTOR, via: "nobody", scopes: null };
  return {
    async admit(need, request, id, stated) {
      refuseTokenInQuery(request.url ?? "");
      if (stated) {
        const { actor, via, client: address } = stated;
        const scopes = stated.scopes === null ? null : new Set(stated.scopes);
        if (need.kind === "open" || actor !== SYSTEM_ACTOR) return { actor, via, scopes, address, request: id, stated };
        throw new AiravataError("unauthorized", "the coordinator that forwarded this admitted nobody who may ask it");
      }
      const client = { address: clientAddress(request), request: id };
      if (need.kind === "open") return { ...nobody, ...client };
      const token = bearerOf(request);
      if (token !== undefined) {
        if (timingSafeEqual(tokenHash(token), operatorTokenHash)) {
          return { actor: OPERATOR_ACTOR, via: OPERATOR_VIA, scopes: null, ...client };
        }
        const known = await recognize(token);
        if (known) return { ...known, ...client };
        throw new AiravataError("unauthorized", "the token is not valid here, or not any more; log in again");
      }
      if (need.kind === "platform" && need.loopback && isLocal(request)) return { ...nobody, ...client };
      throw new AiravataError("unauthorized", "this needs a token: send `Authorization: Bearer …`");
    },
  };
}

function refuseTokenInQuery(url: string): void {
  const at = url.indexOf("?");
  if (at < 0) return;
  const query = new URLSearchParams(url.slice(at + 1));
  if (!TOKEN_PARAMETERS.some((name) => query.has(name))) return;
  throw new AiravataError("token_in_query", "a token does not belong in a URL: send it as `Authorization: Bearer …`");
}

function bearerOf(request: IncomingMessage): string | undefined {
  const header = /^bearer ([\x21-\x7e]{1,4096})$/i.exec(request.headers.authorization ?? "")?.[1];
  if (header !== undefined || request.headers.upgrade === undefined) return header;
  // Only for sockets: a browser's WebSocket cannot set headers.
  const offered = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((name) => name.trim());
  return offered.find((name) => name.startsWith(BEARER_SUBPROTOCOL_PREFIX))?.slice(BEARER_SUBPROTOCOL_PREFIX.length);
}
