/**
 * `fetch` for addresses that users or configuration name: http and https only, every hop through the egress policy,
 * bounded in redirects, size and time. It uses no proxy, no cookie and no connection twice. What goes wrong is an
 * `AiravataError` with a sentence; a message names the host and never the path or query, which may hold secrets.
 */
import { request as httpRequest, type IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { AiravataError } from "../../shared/error/error.ts";
import type { Connect } from "./connect.ts";

export interface EgressRequest {
  method?: string;
  headers?: RequestInit["headers"];
  body?: RequestInit["body"];
  redirect?: RequestInit["redirect"];
  signal?: AbortSignal | null;
  /** Largest body of the answer. */
  sizeBytesMax?: number;
  /** From the first look-up to the last byte of the body, all redirects included. */
  timeoutMs?: number;
}

export type EgressFetch = (url: string | URL, init?: EgressRequest) => Promise<Response>;

/** A key set of a large provider has some 20 kB. */
const SIZE_BYTES_MAX = 1024 * 1024;
/** Long for a machine, short for a person who waits for a page. */
const TIMEOUT_MS = 10_000;
/** Providers move once or twice (a slash, https, a new host). */
const REDIRECTS_MAX = 5;
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];
/** The Fetch standard: answers that have no body, whatever follows. */
const NO_BODY: readonly number[] = [204, 205, 304];
/** Ours to say, or no business of who asks. */
const OWN_HEADERS = ["host", "connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer", "expect"];
/** Meant for the host that was asked, not for the one that it points to. */
const PRIVATE_HEADERS = ["authorization", "cookie", "proxy-authorization"];

interface Hop {
  url: URL;
  method: string;
  headers: Headers;
  body: Uint8Array | undefined;
}

export function createFetch(connect: Connect): EgressFetch {
  return async (input, init = {}) => {
    const { redirect = "follow", timeoutMs = TIMEOUT_MS, sizeBytesMax = SIZE_BYTES_MAX } = init;
    const limit = AbortSignal.timeout(timeoutMs);
    const signal = init.signal ? AbortSignal.any([init.signal, limit]) : limit;
    let hop = await firstHop(input, init);
    const inTime = (error: unknown): unknown =>
      limit.aborted && !init.signal?.aborted
        ? new AiravataError("egress_failed", `${hop.url.host} did not answer within ${timeoutMs / 1_000} s`)
        : error;
    try {
      for (let redirects = 0; ; redirects++) {
        signal.throwIfAborted();
        const port = Number(hop.url.port) || (hop.url.protocol === "https:" ? 443 : 80);
        const socket = await connect({ host: hop.url.hostname, port, tls: hop.url.protocol === "https:" }, signal);
        const answer = await ask(socket, hop, signal).catch((error: unknown) => {
          socket.destroy();
          throw error;
        });
        const location = REDIRECTS.includes(answer.statusCode ?? 0) ? answer.headers.location : undefined;
        if (location === undefined || redirect === "manual")
          return responseOf(answer, hop, { signal, sizeBytesMax, inTime });
        answer.destroy();
        if (redirect === "error")
          throw new AiravataError("egress_refused", `${hop.url.host} sends elsewhere, which is not followed here`);
        if (redirects === REDIRECTS_MAX) {
          throw new AiravataError(
            "egress_refused",
            `${hop.url.host} sends elsewhere for the ${REDIRECTS_MAX + 1}th time`,
          );
        }
        hop = nextHop(hop, answer.statusCode ?? 0, location);
      }
    } catch (error) {
      throw inTime(error);
    }
  };
}

async function firstHop(input: string | URL, init: EgressRequest): Promise<Hop> {
  const headers = new Headers(init.headers);
  for (const name of OWN_HEADERS) headers.delete(name);
  const carrier = new Response(init.body ?? null);
  const body = init.body == null ? undefined : new Uint8Array(await carrier.arrayBuffer());
  const type = carrier.headers.get("content-type");
  if (type !== null && !headers.has("content-type")) headers.set("content-type", type);
  return { url: checkedUrl(input), method: (init.method ?? "GET").toUpperCase(), headers, body };
}

function nextHop(hop: Hop, status: number, location: string): Hop {
  const url = checkedUrl(location, hop.url);
  if (hop.url.protocol === "https:" && url.protocol === "http:") {
    throw new AiravataError(
      "egress_refused",
      `${hop.url.host} sends from https to http at ${url.host}, which is not followed`,
    );
  }
  const headers = new Headers(hop.headers);
  if (url.origin !== hop.url.origin) for (const name of PRIVATE_HEADERS) headers.delete(name);
  const isAsked = hop.method === "GET" || hop.method === "HEAD";
  const becomesGet = (status === 303 && !isAsked) || (hop.method === "POST" && (status === 301 || status === 302));
  if (!becomesGet) return { ...hop, url, headers };
  headers.delete("content-type");
  return { url, method: "GET", headers, body: undefined };
}

function checkedUrl(input: string | URL, base?: URL): URL {
  const url = URL.parse(String(input), base?.href);
  if (url === null) throw new AiravataError("egress_refused", "what is to be called is no URL");
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new AiravataError("egress_refused", `only http and https are called, not ${url.protocol.slice(0, 20)}`);
  }
  if (url.username !== "" || url.password !== "") {
    throw new AiravataError("egress_refused", `a name and password do not belong in the URL of ${url.host}`);
  }
  return url;
}

function ask(socket: Socket, { url, method, headers, body }: Hop, signal: AbortSignal): Promise<IncomingMessage> {
  const sent: Record<string, string> = { ...Object.fromEntries(headers), host: url.host, connection: "close" };
  // What is not packed cannot unpack to more than was counted.
  sent["accept-encoding"] = "identity";
  if (body !== undefined) sent["content-length"] = String(body.byteLength);
  return new Promise((resolve, reject) => {
    const request = httpRequest({
      createConnection: () => socket,
      path: url.pathname + url.search,
      method,
      headers: sent,
      setHost: false,
    });
    const abort = (): void => void request.destroy(signal.reason as Error);
    signal.addEventListener("abort", abort, { once: true });
    request.once("response", (answer) => {
      answer.once("close", () => {
        signal.removeEventListener("abort", abort);
        socket.destroy();
      });
      resolve(answer);
    });
    request.on("error", (cause) => {
      signal.removeEventListener("abort", abort);
      if (signal.aborted) return reject(signal.reason);
      reject(new AiravataError("egress_failed", `${url.host} did not answer as HTTP servers do`, { cause }));
    });
    request.end(body);
  });
}

interface Reading {
  signal: AbortSignal;
  sizeBytesMax: number;
  inTime(error: unknown): unknown;
}

function responseOf(answer: IncomingMessage, { url, method }: Hop, reading: Reading): Response {
  const headers = new Headers();
  for (let i = 0; i + 1 < answer.rawHeaders.length; i += 2) {
    headers.append(answer.rawHeaders[i] ?? "", answer.rawHeaders[i + 1] ?? "");
  }
  const status = answer.statusCode ?? 0;
  if (status < 200 || status > 599) {
    answer.destroy();
    throw new AiravataError("egress_failed", `${url.host} answered with the status ${status}`);
  }
  if (NO_BODY.includes(status) || method === "HEAD") {
    answer.destroy();
    return new Response(null, { status, headers });
  }
  const coding = headers.get("content-encoding") ?? "identity";
  if (coding !== "identity") {
    answer.destroy();
    throw new AiravataError(
      "egress_failed",
      `${url.host} answered packed (${coding.slice(0, 40)}), which was not asked for`,
    );
  }
  if (Number(headers.get("content-length") ?? 0) > reading.sizeBytesMax) {
    answer.destroy();
    throw tooLarge(url, reading.sizeBytesMax);
  }
  return new Response(ReadableStream.from(counted(answer, url, reading)), { status, headers });
}

async function* counted(
  answer: IncomingMessage,
  url: URL,
  { signal, sizeBytesMax, inTime }: Reading,
): AsyncGenerator<Uint8Array> {
  let sizeBytes = 0;
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      sizeBytes += chunk.byteLength;
      if (sizeBytes > sizeBytesMax) throw tooLarge(url, sizeBytesMax);
      yield chunk;
    }
  } catch (error) {
    if (signal.aborted) throw inTime(signal.reason);
    if (error instanceof AiravataError) throw error;
    throw new AiravataError("egress_failed", `the answer of ${url.host} broke off`, { cause: error });
  } finally {
    answer.destroy();
  }
}

function tooLarge(url: URL, sizeBytesMax: number): AiravataError {
  return new AiravataError("egress_answer_too_large", `${url.host} answered with more than ${sizeBytesMax} bytes`);
}
