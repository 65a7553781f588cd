/**
 * Opens WebSockets: path, access, origin and room are checked before the upgrade is answered, and a refusal is an
 * ordinary problem document. Compression is off (it costs memory per connection and buys nothing for packed frames).
 */
import { randomUUID } from "node:crypto";
import type { IncomingMessage, Server } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import { EVENTS_SUBPROTOCOL } from "../../../shared/api/event.ts";
import { PROBLEM_CONTENT_TYPE } from "../../../shared/api/problem.ts";
import { routes } from "../../../shared/api/routes.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { FRAME_BYTES_MAX, SMALL_BODY_BYTES_MAX } from "../../../shared/model/constants.ts";
import { checkOrigin, type Gate } from "../http/access.ts";
import { problemOf, refusalOf } from "../http/problem.ts";
import type { AgentSockets } from "./agents.ts";
import type { WatcherSockets } from "./watchers.ts";

export function acceptUpgrades(
  server: Server,
  { gate, agents, watchers }: { gate: Gate; agents: AgentSockets; watchers: WatcherSockets },
): void {
  const base = { noServer: true, perMessageDeflate: false, clientTracking: false } as const;
  const agentServer = new WebSocketServer({ ...base, maxPayload: FRAME_BYTES_MAX, handleProtocols: () => false });
  const watcherServer = new WebSocketServer({
    ...base,
    maxPayload: SMALL_BODY_BYTES_MAX,
    // Never the one that carries the token.
    handleProtocols: (offered) => (offered.has(EVENTS_SUBPROTOCOL) ? EVENTS_SUBPROTOCOL : false),
  });
  const open = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const path = (request.url ?? "").split("?", 1)[0];
    if (path === routes.agentSession.path) {
      gate.admit(routes.agentSession.access, request);
      checkOrigin(request);
      agents.admit();
      agentServer.handleUpgrade(request, socket, head, (webSocket) => agents.accept(webSocket));
      return;
    }
    gate.admit(routes.events.access, request);
    checkOrigin(request);
    if (path !== routes.events.path) throw new AiravataError("route_not_found", "there is no WebSocket here");
    watchers.admit();
    watcherServer.handleUpgrade(request, socket, head, (webSocket) => watchers.accept(webSocket));
  };
  server.on("upgrade", (request, socket, head) => {
    // Until it is upgraded nobody else listens.
    const ignore = (): void => void socket.destroy();
    socket.on("error", ignore);
    try {
      open(request, socket, head);
      socket.off("error", ignore);
    } catch (error) {
      refuse(socket, error);
    }
  });
}

function refuse(socket: Duplex, error: unknown): void {
  const { problem, retryable } = problemOf(refusalOf(error), randomUUID());
  const body = JSON.stringify(problem);
  const head = [
    `HTTP/1.1 ${problem.status} ${problem.title}`,
    `content-type: ${PROBLEM_CONTENT_TYPE}`,
    `content-length: ${Buffer.byteLength(body)}`,
    "connection: close",
    ...(problem.status === 401 ? ["www-authenticate: Bearer"] : []),
    ...(retryable ? ["retry-after: 1"] : []),
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}
