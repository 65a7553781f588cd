/** Renders the table of routes as an OpenAPI 3.1 document. Schemas with an id become components, the rest stand inline. */
import { z } from "zod";
import { ACCESS, type Need, needText } from "./access.ts";
import { Subscribe, WatchMessage } from "./event.ts";
import { PROBLEM_CONTENT_TYPE, Problem } from "./problem.ts";
import { type Answer, type Route, type RouteId, routes } from "./routes.ts";

type Json = Record<string, unknown>;

/** `version` is the program's. */
export function openApiDocument(version: string): Json {
  const components: Json = {};
  const paths: Record<string, Json> = {};
  for (const [id, route] of Object.entries<Route>(routes)) {
    const item = paths[route.path] ?? {};
    item[route.method.toLowerCase()] = operation(id as RouteId, route, components);
    paths[route.path] = item;
  }
  // The messages of the events WebSocket: no operation refers to them, yet clients need them.
  render(Subscribe, "input", components);
  render(WatchMessage, "output", components);
  return {
    openapi: "3.1.0",
    info: { title: "Airavata Scheduler", version, license: { name: "Apache-2.0", identifier: "Apache-2.0" } },
    paths,
    components: {
      schemas: components,
      securitySchemes: { bearer: { type: "http", scheme: "bearer" } },
    },
  };
}

function operation(id: RouteId, route: Route, components: Json): Json {
  const need = ACCESS[id];
  const parameters = [
    ...parametersOf("path", route.params, components),
    ...parametersOf("query", route.query, components),
    ...(route.idempotent ? [header("Idempotency-Key", "The same key with the same body is answered again.")] : []),
    ...(route.ranges ? [header("Range", "One range of bytes.")] : []),
  ];
  const responses: Record<string, Json> = {};
  for (const [status, answer] of Object.entries(route.answers)) responses[status] = response(answer, components);
  responses.default = {
    description: "Refused",
    content: { [PROBLEM_CONTENT_TYPE]: { schema: render(Problem, "output", components) } },
  };
  return {
    operationId: id,
    summary: route.summary,
    tags: [route.tag],
    security: security(need),
    "x-permission": needText(need),
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(route.body
      ? {
          requestBody: {
            required: !route.bodyOptional,
            content: { "application/json": { schema: render(route.body, "input", components) } },
          },
        }
      : {}),
    responses,
  };
}

function security(need: Need): Json[] {
  if (need.kind === "open") return [];
  return need.kind === "platform" && need.loopback ? [{ bearer: [] }, {}] : [{ bearer: [] }];
}

function header(name: string, description: string): Json {
  return { name, in: "header", required: false, description, schema: { type: "string" } };
}

function parametersOf(place: "path" | "query", shape: Record<string, z.ZodType> | undefined, components: Json): Json[] {
  if (!shape) return [];
  const rendered = render(z.object(shape), "input", components) as { properties: Json; required?: string[] };
  return Object.entries(rendered.properties).map(([name, schema]) => ({
    name,
    in: place,
    required: place === "path" || (rendered.required ?? []).includes(name),
    schema,
  }));
}

function response(answer: Answer, components: Json): Json {
  if (answer.schema) {
    return {
      description: answer.description,
      content: { "application/json": { schema: render(answer.schema, "output", components) } },
    };
  }
  if (!answer.contentType) return { description: answer.description };
  return { description: answer.description, content: { [answer.contentType]: {} } };
}

/** JSON Schema of a zod schema; what has an id moves to `components` and is referred to. */
function render(schema: z.ZodType, io: "input" | "output", components: Json): Json {
  // Coerced query values are numbers to us; on the wire of a URL every value is text, so the number's bounds say enough.
  const rendered = z.toJSONSchema(schema, { io, unrepresentable: "any", override: coerced }) as Json;
  const { $schema: _dialect, $defs: definitions, ...root } = rendered;
  for (const [name, definition] of Object.entries((definitions ?? {}) as Json)) {
    components[name] = relink(withoutId(definition));
  }
  const id = typeof root.id === "string" ? root.id : undefined;
  if (id === undefined) return relink(root) as Json;
  components[id] = relink(withoutId(root));
  return { $ref: `#/components/schemas/${id}` };
}

/** zod calls the input of a coercion unknown; what it is coerced to is the better description. */
function coerced(context: { zodSchema: z.core.$ZodTypes; jsonSchema: z.core.JSONSchema.BaseSchema }): void {
  const definition = context.zodSchema._zod.def;
  if (definition.type === "number" && "coerce" in definition && definition.coerce) context.jsonSchema.type ??= "number";
}

function withoutId(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  const { id: _id, ...rest } = value as Json;
  return rest;
}

function relink(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(relink);
  if (typeof value !== "object" || value === null) return value;
  const copy: Json = {};
  for (const [key, inner] of Object.entries(value)) {
    copy[key] =
      key === "$ref" && typeof inner === "string" ? inner.replace("#/$defs/", "#/components/schemas/") : relink(inner);
  }
  return copy;
}
