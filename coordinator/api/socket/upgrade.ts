/**
 * Opens WebSockets: path, access, origin and room are checked before the upgrade is answered, and a refusal is an
 * ordinary problem document. Compression is off (it costs memory per connection and buys nothing for packed frames).
 */
import { randomUUID } from "node:crypto";
import type { IncomingMessage, Server } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import { ACCESS } from "../../../shared/api/access.ts";
import { EVENTS_SUBPROTOCOL } from "../../../shared/api/event.ts";
import { PROBLEM_CONTENT_TYPE } from "../../../shared/api/problem.ts";
import { routes } from "../../../shared/api/routes.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { FRAME_BYTES_MAX, SMALL_BODY_BYTES_MAX } from "../../../shared/model/constants.ts";
import type { RefusalLog } from "../../domain/audit/refusals.ts";
import type { Edge } from "../edge/edge.ts";
import { type Tickets, ticketOf } from "../edge/tickets.ts";
import type { Forwarder } from "../forward/forwarder.ts";
import { NOT_LEADING_HEADER } from "../forward/headers.ts";
import { leave } from "../forward/splice.ts";
import type { Caller, Gate } from "../http/access.ts";
import { checkScope } from "../http/guard.ts";
import { problemOf, refusalOf } from "../http/problem.ts";
import { refusalFor } from "../http/refused.ts";
import type { AgentSockets } from "./agents.ts";
import type { WatcherSockets } from "./watchers.ts";

interface UpgradeRooms {
  gate: Gate;
  forwarder: Forwarder;
  edge: Edge;
  tickets: Tickets;
  agents: AgentSockets;
  watchers: WatcherSockets;
  refusals: RefusalLog;
}

export function acceptUpgrades(
  server: Server,
  { gate, forwarder, edge, tickets, agents, watchers, refusals }: UpgradeRooms,
): void {
  const base = { noServer: true, perMessageDeflate: false, clientTracking: false } as const;
  const agentServer = new WebSocketServer({ ...base, maxPayload: FRAME_BYTES_MAX, handleProtocols: () => false });
  const watcherServer = new WebSocketServer({
    ...base,
    maxPayload: SMALL_BODY_BYTES_MAX,
    // Never the one that carries the token.
    handleProtocols: (offered) => (offered.has(EVENTS_SUBPROTOCOL) ? EVENTS_SUBPROTOCOL : false),
  });
  const open = async (
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    id: string,
    known: (caller: Caller) => void,
  ): Promise<void> => {
    const path = (request.url ?? "").split("?", 1)[0];
    const isAgent = path === routes.agentSession.path;
    const stated = await forwarder.stated(request).catch((error: unknown) => {
      edge.doubted(request);
      throw error;
    });
    edge.arrived(request, undefined, stated);
    const ticket = isAgent ? undefined : ticketOf(request);
    // Tickets are known to the dispatcher alone: until they get there nobody is known.
    const need = isAgent || ticket !== undefined ? ACCESS.agentSession : ACCESS.events;
    const admitted = await gate.admit(need, request, id, stated);
    if (!isAgent && ticket === undefined) known(admitted);
    edge.checkSocket(request, isAgent, stated);
    if (!isAgent && path !== routes.events.path) {
      throw new AiravataError("route_not_found", "there is no WebSocket here");
    }
    if (!isAgent) checkScope("events", need, admitted);
    if (!stated && forwarder.isNeeded && (await forwarder.upgrade(request, { socket, head }, admitted, id))) {
      // Also one whose upgrade was refused, whose answer ends it.
      edge.upgraded(socket);
      return;
    }
    const caller = ticket === undefined ? admitted : { ...admitted, ...tickets.redeem(ticket) };
    if (!isAgent) checkScope("events", ACCESS.events, caller);
    edge.admitted(request, caller.actor, stated);
    if (socket.destroyed) return;
    if (isAgent) {
      agents.admit();
      agentServer.handleUpgrade(request, socket, head, (webSocket) => {
        edge.upgraded(socket);
        agents.accept(webSocket, socket, caller.address);
      });
    } else {
      watchers.admit();
      watcherServer.handleUpgrade(request, socket, head, (webSocket) => {
        edge.upgraded(socket);
        watchers.accept(webSocket, caller);
      });
    }
  };
  server.on("upgrade", (request, socket, head) => {
    // Until it is upgraded nobody else listens.
    const ignore = (): void => void socket.destroy();
    socket.on("error", ignore);
    const id = randomUUID();
    let caller: Caller | undefined;
    const known = (admitted: Caller): void => {
      caller = admitted;
    };
    open(request, socket, head, id, known).then(
      () => socket.off("error", ignore),
      (error: unknown) => {
        const refused = refusalOf(error);
        const isAgent = request.url?.split("?", 1)[0] === routes.agentSession.path;
        const route = isAgent ? "agentSession" : "events";
        const refusal = refusalFor(refused, { raw: request, id, route, caller });
        if (refusal) refusals.record(refusal);
        refuse(socket, refused, id);
      },
    );
  });
}

function refuse(socket: Duplex, error: AiravataError, id: string): void {
  const { problem, retryAfter } = problemOf(error, id);
  const body = JSON.stringify(problem);
  const head = [
    `HTTP/1.1 ${problem.status} ${problem.title}`,
    `content-type: ${PROBLEM_CONTENT_TYPE}`,
    `content-length: ${Buffer.byteLength(body)}`,
    "connection: close",
    ...(problem.status === 401 ? ["www-authenticate: Bearer"] : []),
    ...(retryAfter === undefined ? [] : [`retry-after: ${retryAfter}`]),
    // Nothing of an upgrade is done before it is answered.
    ...(problem.code === "not_leading" ? [`${NOT_LEADING_HEADER}: true`] : []),
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
  leave(socket);
}
