/**
 * The typed client: `call` speaks JSON, `open` gives the bytes of a log or file as a stream. Types come from the table
 * of routes. A refusal is an `ApiError` with the server's code and sentence; no answer at all is `server_unreachable`.
 */
import type { z } from "zod";
import { AiravataError } from "../error/error.ts";
import { tlsSentence } from "../error/tls.ts";
import { PROBLEM_CONTENT_TYPE, Problem } from "./problem.ts";
import { type Route, type RouteId, routes } from "./routes.ts";

type Table = typeof routes;
type Shape<T> = T extends Record<string, z.ZodType> ? { [P in keyof T]: z.output<T[P]> } : never;
type JsonAnswers<A> = { [S in keyof A]: A[S] extends { schema: infer T extends z.ZodType } ? z.output<T> : never };

/** The JSON that a route answers with. */
export type AnswerOf<K extends RouteId> = JsonAnswers<Table[K]["answers"]>[keyof Table[K]["answers"]];

/** What a call may carry; what the route has no use for does not type-check. */
export type RequestOf<K extends RouteId> = (Table[K] extends { params: infer P } ? { params: Shape<P> } : unknown) &
  (Table[K] extends { query: infer Q } ? { query?: Partial<Shape<Q>> } : unknown) &
  (Table[K] extends { bodyOptional: true; body: infer B extends z.ZodType }
    ? { body?: z.input<B> }
    : Table[K] extends { body: infer B extends z.ZodType }
      ? { body: z.input<B> }
      : unknown) &
  (Table[K] extends { idempotent: true } ? { idempotencyKey?: string } : unknown) &
  (Table[K] extends { ranges: true } ? { range?: string } : unknown) & {
    signal?: AbortSignal;
  };

export interface ClientOptions {
  /** `http://host:port`, without `/api/v1`. */
  server: string;
  token?: string;
  /** For an answer's head, not for a stream's body. */
  timeoutMs?: number;
  fetch?: typeof fetch;
}

export interface Client {
  readonly server: string;
  readonly token: string | undefined;
  /** Of a client that renews its token: one that is good for a while. */
  currentToken?(): Promise<string | undefined>;
  call<K extends RouteId>(id: K, request: RequestOf<K>): Promise<AnswerOf<K>>;
  /** The answer with its body unread; the caller reads or cancels it. */
  open<K extends RouteId>(id: K, request: RequestOf<K>): Promise<Response>;
}

/** The server refused. `message` is its sentence. */
export class ApiError extends Error {
  override name = "ApiError";
  readonly status: number;
  readonly code: string;
  readonly problem: Problem;
  /** From `Retry-After`; undefined when the server did not say. */
  readonly retryAfterSeconds: number | undefined;

  constructor(problem: Problem, retryAfterSeconds: number | undefined) {
    super(problem.detail);
    this.status = problem.status;
    this.code = problem.code;
    this.problem = problem;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

const DEFAULT_TIMEOUT_MS = 30_000;
/** Who asks more often than the server takes is told to wait a second or two; it is waited for up to a minute in all. */
const RATE_WAIT_MS = 5_000;
const RATE_WAITS_MS = 60_000;

/** A client of one server. It keeps no state but its options. */
export function createClient(options: ClientOptions): Client {
  const server = options.server.replace(/\/+$/, "");
  const send = options.fetch ?? fetch;

  const ask = async (url: string, init: RequestInit, signal: AbortSignal | undefined): Promise<Response> => {
    const timeout = new AbortController();
    const timer = setTimeout(
      () => timeout.abort(new Error("no answer in time")),
      options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    );
    try {
      return await send(url, { ...init, signal: signal ? AbortSignal.any([timeout.signal, signal]) : timeout.signal });
    } catch (cause) {
      if (signal?.aborted) throw signal.reason;
      const why = tlsSentence(cause);
      if (why !== undefined) throw new AiravataError("certificate_not_trusted", `${server}: ${why}`, { cause });
      throw new AiravataError("server_unreachable", `the server at ${server} does not answer`, { cause });
    } finally {
      clearTimeout(timer);
    }
  };

  const open: Client["open"] = async (id, request) => {
    const route: Route = routes[id];
    const given: LooseRequest = request;
    const headers: Record<string, string> = { accept: "application/json, */*" };
    if (options.token !== undefined) headers.authorization = `Bearer ${options.token}`;
    if (given.body !== undefined) headers["content-type"] = "application/json";
    if (given.idempotencyKey !== undefined) headers["idempotency-key"] = given.idempotencyKey;
    if (given.range !== undefined) headers.range = given.range;
    const url = server + urlOf(route, given);
    const body = given.body === undefined ? undefined : JSON.stringify(given.body);
    const init = { method: route.method, headers, body, redirect: "error" } as const;
    let response = await ask(url, init, given.signal);
    for (let waitedMs = 0; response.status === 429; ) {
      const waitMs = Number(response.headers.get("retry-after") ?? Number.NaN) * 1_000;
      // A turned-away request did nothing. Longer waits are somebody's decision, not ours.
      if (!(waitMs <= RATE_WAIT_MS) || waitedMs + waitMs > RATE_WAITS_MS) break;
      await response.body?.cancel();
      await sleep(waitMs * (1 + Math.random()), given.signal);
      waitedMs += waitMs;
      response = await ask(url, init, given.signal);
    }
    if (!response.ok) throw await refusal(response, server);
    return response;
  };

  return {
    server,
    token: options.token,
    open,
    async call(id, request) {
      const response = await open(id, request);
      try {
        return (await response.json()) as AnswerOf<typeof id>;
      } catch (cause) {
        throw new AiravataError("server_unreachable", `the answer of ${server} broke off`, { cause });
      }
    },
  };
}

interface LooseRequest {
  params?: Record<string, unknown>;
  query?: Record<string, unknown>;
  body?: unknown;
  idempotencyKey?: string;
  range?: string;
  signal?: AbortSignal;
}

function urlOf(route: Route, request: LooseRequest): string {
  const path = route.path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = String(request.params?.[name]);
    // The rest of a path keeps its slashes; everything else in it is quoted.
    return name === "path" ? value.split("/").map(encodeURIComponent).join("/") : encodeURIComponent(value);
  });
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(request.query ?? {})) {
    if (value !== undefined) query.set(name, String(value));
  }
  return query.size > 0 ? `${path}?${query}` : path;
}

async function refusal(response: Response, server: string): Promise<Error> {
  const retryAfter = Number(response.headers.get("retry-after") ?? Number.NaN);
  const text = await response.text().catch(() => "");
  if (response.headers.get("content-type")?.startsWith(PROBLEM_CONTENT_TYPE)) {
    const problem = Problem.safeParse(parseJson(text));
    if (problem.success) return new ApiError(problem.data, Number.isFinite(retryAfter) ? retryAfter : undefined);
  }
  return new AiravataError(
    "server_unreachable",
    `${server} answered ${response.status} but not as the coordinator does; is the address right, or a proxy in between?`,
    { data: { status: response.status } },
  );
}

function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", abort, { once: true });
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
