/** The routes of agents and their enrolment: decode, one domain call, encode. */
import type { CreatedEnrolmentToken } from "../../../shared/api/agent.ts";
import type { RouteId } from "../../../shared/api/routes.ts";
import type { AgentId } from "../../../shared/model/ids.ts";
import type { AccessControl } from "../../domain/access/access.ts";
import { type AgentSources, agentHistory, drainAgent, findAgent, listAgents } from "../../domain/agent/agents.ts";
import {
  createEnrolmentToken,
  type EnrolmentSources,
  enrolAgent,
  listEnrolmentTokens,
  revokeEnrolmentToken,
} from "../../domain/agent/enrolment.ts";
import type { AuditLog } from "../../domain/audit/query.ts";
import type { ProjectSources } from "../../domain/project/projects.ts";
import { encodeAgent, encodeEnrolmentToken } from "../encode.ts";
import { encodeHistory } from "../encode-figures.ts";
import { byOf } from "./access.ts";
import { RememberedAnswers } from "./idempotency.ts";
import { type Handlers, ok } from "./register.ts";

type AgentRoutes = Extract<
  RouteId,
  | "listAgents"
  | "getAgent"
  | "getAgentMetrics"
  | "drainAgent"
  | "enrolAgent"
  | "createEnrolmentToken"
  | "listEnrolmentTokens"
  | "revokeEnrolmentToken"
>;

export function agentHandlers(
  sources: AgentSources & EnrolmentSources & ProjectSources & { access: AccessControl; audit: AuditLog },
): Handlers<AgentRoutes> {
  const { enrolment } = sources;
  const created = new RememberedAnswers<CreatedEnrolmentToken>();
  return {
    listAgents: async ({ query, permit }) => {
      const visible = await permit.visible();
      const page = await listAgents(sources, { limit: query.limit, cursor: query.cursor, visible });
      return ok({ items: page.items.map(encodeAgent), next_cursor: page.nextCursor });
    },

    getAgent: async ({ params }) => ok(encodeAgent(await findAgent(sources, params.agent as AgentId))),

    getAgentMetrics: async ({ params, query }) => {
      const sinceMs = query.since === undefined ? 0 : Date.parse(query.since);
      const rows = await agentHistory(sources, params.agent as AgentId, sinceMs);
      return ok({ agent: params.agent, items: rows.map(encodeHistory) });
    },

    drainAgent: async ({ params, body, caller }) => {
      const reason = body.reason ?? "drained by request";
      return ok(encodeAgent(await drainAgent(sources, params.agent as AgentId, reason, byOf(caller))));
    },

    enrolAgent: async ({ body }) => {
      const request = { token: body.token, name: body.name, publicKey: body.public_key };
      return { status: 201, body: await enrolAgent(sources, request) };
    },

    createEnrolmentToken: async ({ body, caller, idempotency, permit }) => {
      if (body.any_project) await permit.require("platform", "main", "operate");
      const request = {
        note: body.note,
        lifetimeMs: body.expires_in_seconds * 1000,
        by: byOf(caller),
        project: body.any_project ? null : await permit.project(body.project, "operate"),
      };
      const { answer, replayed } = await created.once(idempotency, async () => {
        const { record, token } = await createEnrolmentToken(sources, request);
        return { ...encodeEnrolmentToken(record), token };
      });
      return { status: replayed ? 200 : 201, body: answer, ...(replayed ? { headers: REPLAYED } : {}) };
    },

    listEnrolmentTokens: async ({ query, permit }) => {
      const visible = await permit.visible();
      const page = await listEnrolmentTokens(enrolment, { limit: query.limit, cursor: query.cursor, visible });
      return ok({ items: page.items.map(encodeEnrolmentToken), next_cursor: page.nextCursor });
    },

    revokeEnrolmentToken: async ({ params }) => {
      return ok(encodeEnrolmentToken(await revokeEnrolmentToken(enrolment, params.id)));
    },
  };
}

const REPLAYED = { "idempotency-replayed": "true" };
