/** The routes of the service itself: health, tickets for its events, the contract, metrics, the first page. */
import { TICKET_LIFETIME_SECONDS } from "../../../shared/api/event.ts";
import { openApiDocument } from "../../../shared/api/openapi.ts";
import { API_PREFIX, type RouteId } from "../../../shared/api/routes.ts";
import { checkDatabase, checkReady, type HealthSources } from "../../domain/health.ts";
import type { Tickets } from "../edge/tickets.ts";
import { timestamp } from "../encode.ts";
import type { Metrics } from "./metrics.ts";
import { type Handlers, ok } from "./register.ts";

type ServiceRoutes = Extract<
  RouteId,
  "createEventsTicket" | "health" | "healthDatabase" | "healthReady" | "openapi" | "metrics" | "index"
>;

interface ServiceSources extends HealthSources {
  version: string;
  startedAtMs: number;
  metrics: Metrics;
  tickets: Tickets;
}

export function serviceHandlers(sources: ServiceSources): Handlers<ServiceRoutes> {
  // Rendered once, when first asked for: it takes some milliseconds and never changes.
  let document: string | undefined;
  return {
    createEventsTicket: async ({ caller }) => {
      const body = { ticket: sources.tickets.issue(caller), expires_in_seconds: TICKET_LIFETIME_SECONDS };
      return { status: 201, body };
    },
    health: async () => {
      const { leading } = sources.dispatcher.leadership();
      return ok({ status: "ok", version: sources.version, started_at: timestamp(sources.startedAtMs), leading });
    },
    healthDatabase: async () => ok({ status: "ok", latency_seconds: await checkDatabase(sources) }),
    healthReady: async () => {
      const { term, timeline, seq, detail } = checkReady(sources);
      return ok({ status: "ok", term, timeline, seq, detail });
    },
    openapi: async () => {
      document ??= JSON.stringify(openApiDocument(sources.version));
      return { contentType: "application/json; charset=utf-8", text: document };
    },
    metrics: async () => ({
      contentType: "text/plain; version=0.0.4; charset=utf-8",
      text: await sources.metrics.render(),
    }),
    index: async () => ({ contentType: "text/plain; charset=utf-8", text: firstPage(sources.version) }),
  };
}

function firstPage(version: string): string {
  return `Airavata Scheduler ${version}

This is the coordinator's API. There is no dashboard in this version; use the command line:

  airavata run FILE            submit an experiment file and watch it
  airavata experiment list     what was submitted
  airavata agent list          who does the work

  ${API_PREFIX}/health        answers without a token
  ${API_PREFIX}/openapi.json  describes every route; needs the token, as all others do
`;
}
