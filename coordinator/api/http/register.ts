/**
 * Registers the table of routes: decodes parameters, query and body by their schemas, calls the one handler of a route
 * and encodes its answer. A route without a handler does not compile; a handler never sees an undecoded value.
 */
import { createHash } from "node:crypto";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { ACCESS } from "../../../shared/api/access.ts";
import type { AnswerOf } from "../../../shared/api/client.ts";
import type { FieldProblem } from "../../../shared/api/problem.ts";
import { type Route, type RouteId, routes } from "../../../shared/api/routes.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { IDEMPOTENCY_KEY_BYTES_MAX, SMALL_BODY_BYTES_MAX } from "../../../shared/model/constants.ts";
import type { Caller } from "./access.ts";
import { type BytesAnswer, sendBytes } from "./bytes.ts";
import type { Guard, Permit } from "./guard.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    routeId?: RouteId;
  }
  interface FastifyRequest {
    caller: Caller;
    /** SHA-256 of the body as it came, hex; empty without one. */
    bodyHash: string;
  }
}

type Table = typeof routes;
type Decoded<T> = T extends Record<string, z.ZodType> ? { [P in keyof T]: z.output<T[P]> } : Record<never, never>;

/** A decoded request. */
export interface Call<K extends RouteId> {
  params: Table[K] extends { params: infer P } ? Decoded<P> : Record<never, never>;
  query: Table[K] extends { query: infer Q } ? Decoded<Q> : Record<never, never>;
  /** An optional body that was left out is `{}` with its defaults. */
  body: Table[K] extends { body: infer B extends z.ZodType } ? z.output<B> : undefined;
  caller: Caller;
  /** What he may: of what a list holds, or a body names. */
  permit: Permit;
  idempotency: { key: string; bodyHash: string } | null;
  range: string | undefined;
  /** The header as it came; only logins read it. */
  cookie: string | undefined;
  /** Aborted when the client goes away. */
  signal: AbortSignal;
}

export interface JsonAnswer<T> {
  status: number;
  body: T;
  headers?: Record<string, string>;
}

/** Answers JSON by the schema of the route, or bytes. */
export type Handler<K extends RouteId> = (call: Call<K>) => Promise<JsonAnswer<AnswerOf<K>> | BytesAnswer>;
export type Handlers<K extends RouteId> = { [I in K]: Handler<I> };
/** Sockets are opened by the upgrade handler, not by a request. */
export type HttpRouteId = { [K in RouteId]: Table[K] extends { webSocket: true } ? never : K }[RouteId];

export function ok<T>(body: T, headers?: Record<string, string>): JsonAnswer<T> {
  return headers === undefined ? { status: 200, body } : { status: 200, body, headers };
}

/**
 * Registers every route that is not a socket. `elsewhere` may answer in place of a handler that refused: true when it did.
 */
export function registerRoutes(
  server: FastifyInstance,
  handlers: Handlers<HttpRouteId>,
  guard: Guard,
  elsewhere: (refusal: unknown, request: FastifyRequest, reply: FastifyReply) => Promise<boolean>,
): void {
  for (const [id, handler] of Object.entries(handlers) as [HttpRouteId, Handler<HttpRouteId>][]) {
    const route: Route = routes[id];
    const decode = decoderOf(route);
    server.route({
      method: route.method,
      url: route.path.replace("{path}", "*").replace(/\{(\w+)\}/g, ":$1"),
      config: { routeId: id },
      ...(ACCESS[id].kind === "open" ? { bodyLimit: SMALL_BODY_BYTES_MAX } : {}),
      handler: async (request, reply) => {
        const call = decode(request, reply) as Call<HttpRouteId>;
        let answer: Awaited<ReturnType<typeof handler>>;
        try {
          const permit = await guard.admit(id, request.caller, call.params);
          call.permit = permit;
          answer = await handler(call);
          if (!permit.asked) throw new Error(`${id} answered without asking what its caller may see`);
        } catch (error) {
          if (await elsewhere(error, request, reply)) return reply;
          throw error;
        }
        if ("body" in answer) {
          return reply
            .code(answer.status)
            .headers(answer.headers ?? {})
            .type("application/json; charset=utf-8")
            .send(JSON.stringify(answer.body));
        }
        return sendBytes(request, reply, answer);
      },
    });
  }
}

/** Keeps the hash of what came before it becomes an object: the same bytes are the same request. */
export function parseBodies(server: FastifyInstance): void {
  const parse = server.getDefaultJsonParser("error", "error");
  server.decorateRequest("bodyHash", "");
  // JSON only: fastify's own parser for text/plain would let a form of another origin in without a preflight.
  server.removeAllContentTypeParsers();
  server.addContentTypeParser("application/json", { parseAs: "buffer" }, (request, body, done) => {
    if (request.headers["idempotency-key"] !== undefined) {
      request.bodyHash = createHash("sha256").update(body).digest("hex");
    }
    // Some clients send the type without a body; whether one may be left out is the route's business.
    if (body.length === 0) done(null, undefined);
    else parse(request, body.toString("utf8"), done);
  });
}

type Decode = (request: FastifyRequest, reply: FastifyReply) => Omit<Call<RouteId>, "body"> & { body: unknown };

function decoderOf(route: Route): Decode {
  const params = z.strictObject(route.params ?? {});
  const query = (route.looseQuery ? z.object : z.strictObject)(route.query ?? {});
  return (request, reply) => {
    const given = { ...(request.params as Record<string, string>) };
    if ("*" in given) {
      given.path = given["*"] ?? "";
      delete given["*"];
    }
    return {
      params: decodePart("", params, plain(given)),
      query: decodePart("query", query, plain(request.query as Record<string, unknown>)),
      body: route.body ? decodePart("body", route.body, bodyOf(route, request)) : undefined,
      caller: request.caller,
      idempotency: route.idempotent ? idempotencyOf(request) : null,
      range: request.headers.range,
      cookie: request.headers.cookie,
      // Made when it is asked for: most answers are done before a client can go away.
      get signal() {
        return goneSignal(reply);
      },
    } as ReturnType<Decode>;
  };
}

function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  const abort = (): void => gone.abort(new Error("the client went away"));
  if (reply.raw.destroyed) abort();
  else reply.raw.once("close", abort);
  return gone.signal;
}

function bodyOf(route: Route, request: FastifyRequest): unknown {
  if (request.body !== undefined && request.body !== null) return request.body;
  if (route.bodyOptional) return {};
  throw new AiravataError("body_invalid", "this needs a body: JSON with Content-Type: application/json");
}

/** Text of a URL ends up in messages and logs: control characters have no business there. */
function plain<T extends Record<string, unknown>>(values: T): T {
  for (const [name, value] of Object.entries(values)) {
    if (typeof value === "string" && /\p{Cc}/u.test(value)) {
      throw new AiravataError("request_invalid", `${name} holds a control character`, {
        data: { errors: [{ field: name, message: "control characters are not allowed" }] },
      });
    }
  }
  return values;
}

function decodePart(part: string, schema: z.ZodType, value: unknown): unknown {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const errors: FieldProblem[] = result.error.issues.slice(0, 20).map((issue) => ({
    field: issue.path.map(String).join(".").slice(0, 200),
    message: issue.message.slice(0, 500),
  }));
  const first = errors[0];
  const where = [part === "body" ? "" : part, first?.field].filter(Boolean).join(" ");
  throw new AiravataError(
    "request_invalid",
    `${where || "the body"}: ${first?.message ?? "not what this route takes"}`,
    {
      data: { errors },
    },
  );
}

function idempotencyOf(request: FastifyRequest): { key: string; bodyHash: string } | null {
  const key = request.headers["idempotency-key"];
  if (key === undefined) return null;
  if (typeof key === "string" && /^[\x21-\x7e]+$/.test(key) && key.length <= IDEMPOTENCY_KEY_BYTES_MAX) {
    return { key, bodyHash: request.bodyHash };
  }
  throw new AiravataError(
    "request_invalid",
    `Idempotency-Key must be 1 to ${IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters`,
  );
}
