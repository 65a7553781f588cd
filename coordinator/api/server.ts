/**
 * The coordinator's one listener: REST, the agents' and the watchers' WebSockets, metrics. It decodes, asks the domain,
 * encodes; it decides nothing.
 */
import { randomUUID } from "node:crypto";
import type { AddressInfo } from "node:net";
import fastify, { type FastifyInstance } from "fastify";
import { ACCESS } from "../../shared/api/access.ts";
import { AiravataError } from "../../shared/error/error.ts";
import type { Logger } from "../../shared/log/log.ts";

import { LISTEN_BACKLOG } from "../../shared/model/constants.ts";
import type { AccessControl } from "../domain/access/access.ts";
import type { AccountRoom } from "../domain/account/room.ts";
import { type AgentSources, measuredAgents } from "../domain/agent/agents.ts";
import type { EnrolmentSources } from "../domain/agent/enrolment.ts";
import type { AgentSessions } from "../domain/agent/session.ts";
import type { AuditLog } from "../domain/audit/query.ts";
import type { RefusalLog } from "../domain/audit/refusals.ts";
import type { CredentialSources } from "../domain/credential/credentials.ts";
import type { EventHub } from "../domain/event/hub.ts";
import { experimentFacts } from "../domain/experiment/facts.ts";
import type { Sources } from "../domain/experiment/find.ts";
import type { WorkFigures } from "../domain/figures.ts";
import type { LeaderWatch } from "../domain/forward/leader.ts";
import type { StatementReader, StatementWriter } from "../domain/forward/statement.ts";
import type { GroupSources } from "../domain/group/groups.ts";
import type { ProjectSources } from "../domain/project/projects.ts";
import type { AgentPrograms } from "../domain/release/programs.ts";
import { type RolloutSources, reportUpdate } from "../domain/release/rollouts.ts";
import type { ResourceSources } from "../domain/resource/resources.ts";
import type { Archive } from "../domain/retention/archive.ts";
import type { Edge } from "./edge/edge.ts";
import { Tickets } from "./edge/tickets.ts";
import { Forwarder } from "./forward/forwarder.ts";
import { NOT_LEADING_HEADER } from "./forward/headers.ts";
import { SERVED } from "./forward/served.ts";
import { answerAbsent } from "./http/absent.ts";
import { createGate } from "./http/access.ts";
import { accountHandlers } from "./http/accounts.ts";
import { agentHandlers } from "./http/agents.ts";
import { auditHandlers } from "./http/audit.ts";
import { credentialHandlers } from "./http/credentials.ts";
import { experimentHandlers } from "./http/experiments.ts";
import { groupHandlers } from "./http/groups.ts";
import { createGuard } from "./http/guard.ts";
import { createMetrics } from "./http/metrics.ts";
import { type OidcSources, oidcHandlers } from "./http/oidc.ts";
import { refusalOf, sendProblem } from "./http/problem.ts";
import { projectHandlers } from "./http/projects.ts";
import { refusalFor } from "./http/refused.ts";
import { parseBodies, registerRoutes } from "./http/register.ts";
import { releaseHandlers } from "./http/releases.ts";
import { resourceHandlers } from "./http/resources.ts";
import { serviceHandlers } from "./http/service.ts";
import { shareHandlers } from "./http/shares.ts";
import { taskHandlers } from "./http/tasks.ts";
import { createAgentSockets } from "./socket/agents.ts";
import { acceptUpgrades } from "./socket/upgrade.ts";
import { watcherRights } from "./socket/watcher-rights.ts";
import { createWatcherSockets } from "./socket/watchers.ts";

export interface ApiOptions {
  sources: Sources &
    AgentSources &
    EnrolmentSources &
    RolloutSources &
    ProjectSources &
    Omit<GroupSources & ResourceSources, "access"> & { audit: AuditLog };
  refusals: RefusalLog;
  /** A rollout began, or an agent told how far it is. */
  rolloutChanged(): void;
  sessions: AgentSessions;
  hub: EventHub;
  work: WorkFigures;
  archive: Archive;
  /** How it speaks with the other coordinators. */
  forward: { watch: LeaderWatch; reader: StatementReader; writer: StatementWriter };
  pingDatabase(): Promise<number>;
  /** SHA-256 of the operator's token. */
  tokenHash: Buffer;
  accounts: AccountRoom;
  access: AccessControl;
  credentials: CredentialSources;
  login: OidcSources;
  bodyBytesMax: number;
  edge: Edge;
  version: string;
  log: Logger;
}

export interface ApiServer {
  programs: AgentPrograms;
  /** Resolves with where it listens. Throws `address_refused`. */
  listen(address: { host: string; port: number }): Promise<AddressInfo>;
  /** Whether a client (agents are none) is being served, and when the last one was; monotonic ms. */
  activity(): { clients: number; lastMono: number };
  /** Ends all connections; resolves when the last one is gone. */
  close(): Promise<void>;
}

/** A path that is none: nobody unknown is told which there are. */
const UNKNOWN = { kind: "known" } as const;
/** Longer than the usual minute of a proxy, so that it is never we who close first under a request. */
const KEEP_ALIVE_MS = 72_000;
/** An output's path is the longest parameter. */
const PARAMETER_LENGTH_MAX = 5_000;

const HEADERS = {
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cache-control": "no-store",
};

export function createApiServer(options: ApiOptions): ApiServer {
  const { sources, log, version, edge } = options;
  const { rolloutChanged } = options;
  const agents = createAgentSockets({
    sessions: options.sessions,
    figures: sources.figures,
    notices: sources.notices,
    refusals: options.refusals,
    log,
    reportUpdate: async (agent, state) => {
      if (await reportUpdate(sources, agent, state)) rolloutChanged();
    },
  });
  const facts = experimentFacts(sources);
  const { recognition } = options.accounts;
  const watchers = createWatcherSockets({
    hub: options.hub,
    ...watcherRights(options.access, sources, facts),
    over: (vias) => recognition.over(vias),
    log,
  });
  const unlisten = [options.access.onChange(() => watchers.recheck()), recognition.onEnd((is) => watchers.end(is))];
  const gate = createGate(options.tokenHash, (token) => recognition.recognize(token));
  const metrics = createMetrics({
    work: options.work,
    agents: () => measuredAgents(sources),
    projects: () => (sources.dispatcher.leadership().leading ? sources.dispatcher.projects() : []),
    gauges: () => ({
      agent_sessions: agents.sessions(),
      ...sources.figures.counts(),
      watchers: options.hub.watchers(),
      ...forwarder.figures(),
      ...edge.figures(),
    }),
  });
  const forwarder = new Forwarder({ ...options.forward, edge, log, bodyBytesMax: options.bodyBytesMax });
  const tickets = new Tickets();
  const forgetEnded = options.accounts.recognition.onEnd((isOver) => tickets.end(isOver));
  const activity = { clients: 0, lastMono: performance.now() };

  const server = fastify({
    logger: false,
    bodyLimit: options.bodyBytesMax,
    ...edge.listener,
    requestTimeout: edge.patience.requestMs,
    keepAliveTimeout: KEEP_ALIVE_MS,
    forceCloseConnections: true,
    genReqId: () => randomUUID(),
    routerOptions: { maxParamLength: PARAMETER_LENGTH_MAX },
    frameworkErrors: (error, _request, reply) => void sendProblem(reply.headers(HEADERS), error, log),
  });
  server.decorateRequest("caller");
  parseBodies(server);
  server.addHook("onRequest", async (request, reply) => {
    reply.headers(HEADERS).header("x-request-id", request.id);
    const stated = await forwarder.stated(request.raw).catch((error: unknown) => {
      edge.doubted(request.raw);
      if (isNotLeading(error)) reply.header(NOT_LEADING_HEADER, "true");
      throw error;
    });
    if (stated) {
      request.id = stated.request;
      reply.header("x-request-id", request.id);
    }
    reply.headers(edge.headers(request.raw));
    if (edge.arrived(request.raw, reply.raw, stated)) return reply.hijack();
    const { routeId } = request.routeOptions.config;
    request.caller = await gate.admit(routeId ? ACCESS[routeId] : UNKNOWN, request.raw, request.id, stated);
    edge.admitted(request.raw, request.caller.actor, stated);
  });
  countRequests(server, activity, metrics.countRequest);
  // Before the body is touched, so that it can be streamed.
  server.addHook("onRequest", async (request, reply) => {
    const { routeId } = request.routeOptions.config;
    const isForwarded = request.caller.stated !== undefined;
    if (routeId === undefined || SERVED[routeId] !== "dispatcher" || isForwarded || !forwarder.isNeeded) return;
    await forwarder.http(request, reply);
  });
  server.setErrorHandler((thrown, request, reply) => {
    const error = refusalOf(thrown);
    const { raw, id, caller, routeOptions } = request;
    const refusal = refusalFor(error, { raw, id, caller, route: routeOptions.config.routeId });
    if (refusal) options.refusals.record(refusal);
    edge.refused(error.status, reply.raw);
    return sendProblem(reply, error, log);
  });
  server.setNotFoundHandler(answerAbsent);

  const { access } = options;
  const { groups, resources } = sources;
  const guard = createGuard({
    access,
    experiment: facts,
    numberOf: {
      project: (name) => sources.history.project(name),
      group: groups.numberOf,
      compute_resource: resources.compute_resource.numberOf,
      storage_resource: resources.storage_resource.numberOf,
    },
    projects: sources.projects,
  });
  registerRoutes(
    server,
    {
      ...experimentHandlers(sources, agents.files, options.archive),
      ...taskHandlers(sources, agents.files),
      ...projectHandlers({ ...sources, access }),
      ...groupHandlers({ ...sources, access }),
      ...resourceHandlers({ ...sources, access }),
      ...shareHandlers({ ...sources, access, facts }),
      ...agentHandlers({ ...sources, access, sessions: options.sessions }),
      ...accountHandlers(options.accounts),
      ...releaseHandlers(sources, rolloutChanged),
      ...auditHandlers(sources),
      ...credentialHandlers({
        ...options.credentials,
        audit: sources.audit,
        projectNumber: (name) => sources.history.project(name),
      }),
      ...oidcHandlers(options.login),
      ...serviceHandlers({
        dispatcher: sources.dispatcher,
        pingDatabase: options.pingDatabase,
        version,
        startedAtMs: Date.now(),
        metrics,
        tickets,
      }),
    },
    guard,
    async (refusal, request, reply) => {
      const { routeId } = request.routeOptions.config;
      const mayAsk = routeId !== undefined && SERVED[routeId] === "history" && request.caller.stated === undefined;
      return mayAsk && isNotLeading(refusal) && forwarder.isNeeded && (await forwarder.http(request, reply));
    },
  );
  edge.guard(server.server);
  acceptUpgrades(server.server, { gate, forwarder, edge, tickets, agents, watchers, refusals: options.refusals });

  return {
    programs: agents.programs,
    async listen({ host, port }) {
      try {
        await server.listen({ host, port, backlog: LISTEN_BACKLOG });
      } catch (cause) {
        throw addressRefusal(host, port, cause);
      }
      return server.server.address() as AddressInfo;
    },
    activity: () => ({ clients: activity.clients + options.hub.watchers(), lastMono: activity.lastMono }),
    async close() {
      for (const stop of unlisten) stop();
      agents.close();
      watchers.close();
      forwarder.close();
      forgetEnded();
      await server.close();
      metrics.close();
    },
  };
}

/** Requests by route for metrics; and which of them are clients', so that an idle stack knows that it is idle. */
function countRequests(
  server: FastifyInstance,
  activity: { clients: number; lastMono: number },
  count: (method: string, route: string, status: number) => void,
): void {
  server.addHook("onRequest", async (request, reply) => {
    const { routeId } = request.routeOptions.config;
    const isClient = routeId !== undefined && ACCESS[routeId].kind !== "open" && routeId !== "metrics";
    if (!isClient) return;
    activity.clients++;
    activity.lastMono = performance.now();
    reply.raw.once("close", () => {
      activity.clients--;
      activity.lastMono = performance.now();
    });
  });
  server.addHook("onResponse", async (request, reply) => {
    count(request.method, request.routeOptions.url ?? "(none)", reply.statusCode);
  });
}

function isNotLeading(error: unknown): boolean {
  return error instanceof AiravataError && error.code === "not_leading";
}

function addressRefusal(host: string, port: number, cause: unknown): AiravataError {
  const code = (cause as NodeJS.ErrnoException).code;
  const why =
    code === "EADDRINUSE"
      ? "another process listens there; choose another --port (0 takes any free one)"
      : code === "EACCES"
        ? "this user may not listen there; choose a --port above 1023"
        : "this machine has no such address; see --bind";
  return new AiravataError("address_refused", `${host}:${port} cannot be listened on: ${why}`, { cause });
}
