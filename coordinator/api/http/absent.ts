/**
 * What is asked for and is not a route: another method of a known path, a name of the interface that this version does
 * not have, or nothing that was ever meant. Each gets its own sentence.
 */
import type { FastifyReply, FastifyRequest } from "fastify";
import { API_PREFIX, type Route, routes } from "../../../shared/api/routes.ts";
import { AiravataError } from "../../../shared/error/error.ts";

const NO_RESOURCES = "agents are started by hand and read the files of their own machine";

/** Beginnings of paths under the prefix, with what to do meanwhile. */
const NOT_YET: [RegExp, string][] = [
  [/^experiments\/[^/]+\/derive$/, "submit the file again with other parameters"],
  [/^experiments\/[^/]+\/archive$/, "fetch the files one by one from …/outputs"],
  [/^agent\/download(\/|$)/, "copy dist/airavata of the build to the site"],
  [/^agents\/[^/]+\/update$/, "replace the program at the site and start the agent again; its tasks go on"],
  [/^allocations(\/|$)/, NO_RESOURCES],
  [
    /^(compute|storage)-resources\/[^/]+\/test$/,
    "nothing provisions or stages yet, so there is nothing to try it with",
  ],
  [/^(compute|storage)-resources\/[^/]+\/bindings(\/|$)/, "a credential is bound at credentials/{id}/bindings"],
];

const PATTERNS = Object.values<Route>(routes).map((route) => ({
  method: route.method,
  webSocket: route.webSocket === true,
  pattern: new RegExp(`^${route.path.replace("{path}", ".+").replace(/\{\w+\}/g, "[^/]+")}$`),
}));

/** Answers OPTIONS; throws `method_not_allowed`, `not_supported_yet` or `route_not_found` for everything else. */
export function answerAbsent(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const path = request.url.split("?", 1)[0] ?? "";
  const here = PATTERNS.filter(({ pattern }) => pattern.test(path));
  if (here.length > 0) {
    const methods = new Set(["OPTIONS", ...here.map(({ method }) => method)]);
    if (methods.has("GET")) methods.add("HEAD");
    reply.header("allow", [...methods].sort().join(", "));
    if (request.method === "OPTIONS") return reply.code(204).send();
    if (here.some(({ webSocket }) => webSocket) && request.method === "GET") {
      throw new AiravataError("request_invalid", `${path} is a WebSocket: connect with Upgrade: websocket`);
    }
    throw new AiravataError(
      "method_not_allowed",
      `${path} takes ${[...methods].sort().join(", ")}, not ${request.method}`,
    );
  }
  const name = path.startsWith(`${API_PREFIX}/`) ? path.slice(API_PREFIX.length + 1) : undefined;
  const absent = name === undefined ? undefined : NOT_YET.find(([pattern]) => pattern.test(name));
  if (absent) {
    throw new AiravataError("not_supported_yet", `${name} is not supported in this version: ${absent[1]}`);
  }
  throw new AiravataError("route_not_found", `there is nothing at ${path.slice(0, 200)}`);
}
