/**
 * One-time tickets for the events WebSocket: a page cannot set headers there, and its long-lived token should stand in
 * no subprotocol and no URL. The dispatcher keeps them in memory; after a takeover a page asks for another one.
 */
import { createHash, randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { TICKET_LIFETIME_SECONDS, TICKET_SUBPROTOCOL_PREFIX } from "../../../shared/api/event.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import type { Caller } from "../http/access.ts";

type Bearer = Pick<Caller, "actor" | "via" | "scopes">;

/** Unused ones: as many as watchers, ten times; 300 B each. */
const TICKETS_MAX = 10_000;

export class Tickets {
  /** By hash, the oldest first. */
  readonly #unused = new Map<string, { bearer: Bearer; untilMono: number }>();
  readonly #mono: () => number;
  readonly #max: number;

  constructor(mono: () => number = () => performance.now(), max = TICKETS_MAX) {
    this.#mono = mono;
    this.#max = max;
  }

  /** A ticket that is good once, for this caller, for `TICKET_LIFETIME_SECONDS`. */
  issue({ actor, via, scopes }: Bearer): string {
    const ticket = randomBytes(32).toString("base64url");
    const now = this.#mono();
    for (const [key, { untilMono }] of this.#unused) {
      if (untilMono > now && this.#unused.size < this.#max) break;
      this.#unused.delete(key);
    }
    this.#unused.set(hashOf(ticket), {
      bearer: { actor, via, scopes },
      untilMono: now + TICKET_LIFETIME_SECONDS * 1_000,
    });
    return ticket;
  }

  /** What was asked for with a session or token that ended is good no more. */
  end(isOver: (bearer: Pick<Bearer, "actor" | "via">) => boolean): void {
    for (const [key, { bearer }] of this.#unused) if (isOver(bearer)) this.#unused.delete(key);
  }

  /** Whose it is; it is used up. Throws `unauthorized`. */
  redeem(ticket: string): Bearer {
    const key = hashOf(ticket);
    const found = this.#unused.get(key);
    this.#unused.delete(key);
    if (found !== undefined && found.untilMono > this.#mono()) return found.bearer;
    throw new AiravataError(
      "unauthorized",
      `the ticket is not good, or not any more: it opens one socket within ${TICKET_LIFETIME_SECONDS} s; ask for another one`,
    );
  }
}

/** The ticket that a WebSocket is asked for with. */
export function ticketOf(request: IncomingMessage): string | undefined {
  const offered = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((name) => name.trim());
  return offered.find((name) => name.startsWith(TICKET_SUBPROTOCOL_PREFIX))?.slice(TICKET_SUBPROTOCOL_PREFIX.length);
}

/** By its hash alone, so that looking it up tells nothing about what it is. */
function hashOf(ticket: string): string {
  return createHash("sha256").update(ticket).digest("base64url");
}
