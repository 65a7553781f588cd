/**
 * Which web pages of other origins may use the API: none, but those that the operator lists, each by its exact origin.
 * Cookies and the like are never asked for; a page shows a token as every other client does.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { AiravataError } from "../../../shared/error/error.ts";

export interface CrossOrigin {
  /** Headers for the answer to a request with an Origin. */
  headers(request: IncomingMessage): Record<string, string>;
  /** Answers a preflight; false when the request is none. Throws `origin_refused`. */
  preflight(request: IncomingMessage, response: ServerResponse): boolean;
  /** Refuses a WebSocket that a page of another origin opens. Throws `origin_refused`. */
  checkSocket(request: IncomingMessage): void;
}

const METHODS = "GET, POST, PUT, PATCH, DELETE";
const REQUEST_HEADERS = "authorization, content-type, idempotency-key, if-match, if-none-match, range";
const ANSWER_HEADERS = "accept-ranges, content-disposition, content-range, etag, location, retry-after, x-request-id";
/** How long a browser may remember it: an origin that is taken off the list is out ten minutes later at most. */
const PREFLIGHT_SECONDS = "600";

/** `listed`: origins like `https://portal.example.org`. Throws `setting_invalid`. */
export function createCrossOrigin(listed: readonly string[]): CrossOrigin {
  const origins = new Set(listed.map(checkedOrigin));
  const isListed = (origin: string | undefined): origin is string => origin !== undefined && origins.has(origin);
  return {
    headers(request) {
      const { origin } = request.headers;
      // Also for those that are not listed: what a cache keeps for one must not be shown to another.
      const vary: Record<string, string> = origins.size > 0 ? { vary: "origin" } : {};
      if (!isListed(origin)) return vary;
      return { ...vary, "access-control-allow-origin": origin, "access-control-expose-headers": ANSWER_HEADERS };
    },
    preflight(request, response) {
      const { origin, "access-control-request-method": asked } = request.headers;
      if (request.method !== "OPTIONS" || origin === undefined || asked === undefined) return false;
      if (!isListed(origin)) throw refused(origin, "use this API");
      response.writeHead(204, {
        vary: "origin",
        "access-control-allow-origin": origin,
        "access-control-allow-methods": METHODS,
        "access-control-allow-headers": REQUEST_HEADERS,
        "access-control-max-age": PREFLIGHT_SECONDS,
      });
      response.end();
      return true;
    },
    checkSocket(request) {
      // Browsers send it and let no page forge it, programs send none.
      const { origin, host } = request.headers;
      if (origin === undefined || isListed(origin)) return;
      if (host !== undefined && URL.parse(origin)?.host === URL.parse(`http://${host}`)?.host) return;
      throw refused(origin, "open a socket to this coordinator");
    },
  };
}

function refused(origin: string, what: string): AiravataError {
  return new AiravataError(
    "origin_refused",
    `a page of ${origin.slice(0, 200)} may not ${what}; its operator lists allowed ones by AIRAVATA_CORS_ORIGINS`,
  );
}

function checkedOrigin(text: string): string {
  const url = URL.parse(text);
  if (url !== null && url.origin === text && /^https?:$/.test(url.protocol)) return text;
  throw new AiravataError(
    "setting_invalid",
    `--cors-origins (AIRAVATA_CORS_ORIGINS) takes origins like https://portal.example.org, without a path or a final slash, not "${text}"`,
  );
}
