/** The routes of agents and their enrolment: decode, one domain call, encode. */
import type { CreatedEnrolmentToken } from "../../../shared/api/agent.ts";
import type { RouteId } from "../../../shared/api/routes.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import type { AgentId } from "../../../shared/model/ids.ts";
import { type AgentSources, agentHistory, drainAgent, findAgent, listAgents } from "../../domain/agent/agents.ts";
import {
  createEnrolmentToken,
  type EnrolmentSources,
  enrolAgent,
  findEnrolmentToken,
  listEnrolmentTokens,
  revokeEnrolmentToken,
} from "../../domain/agent/enrolment.ts";
import { type RevocationSources, revokeAgent, rotateAgentKey } from "../../domain/agent/revocation.ts";
import type { AuditLog } from "../../domain/audit/query.ts";
import type { ProjectSources } from "../../domain/project/projects.ts";
import { encodeAgent, encodeEnrolmentToken, timestamp } from "../encode.ts";
import { encodeHistory } from "../encode-figures.ts";
import { byOf } from "./access.ts";
import type { Permit } from "./guard.ts";
import { ownKey, RememberedAnswers } from "./idempotency.ts";
import { type Handlers, ok } from "./register.ts";

type AgentRoutes = Extract<
  RouteId,
  | "listAgents"
  | "getAgent"
  | "getAgentMetrics"
  | "drainAgent"
  | "revokeAgent"
  | "rotateAgentKey"
  | "enrolAgent"
  | "createEnrolmentToken"
  | "listEnrolmentTokens"
  | "getEnrolmentToken"
  | "revokeEnrolmentToken"
>;

export function agentHandlers(
  sources: AgentSources &
    EnrolmentSources &
    ProjectSources &
    RevocationSources & {
      audit: AuditLog;
      resources: { compute_resource: { numberOf(name: string): Promise<number | undefined> } };
    },
): Handlers<AgentRoutes> {
  const { enrolment } = sources;
  /** Whoever may change a compute resource may bring agents in there. */
  const mayPlace = async (name: string, permit: Permit): Promise<void> => {
    const id = await sources.resources.compute_resource.numberOf(name);
    if (id === undefined) throw new AiravataError("resource_not_found", unseen(name));
    await permit.require("compute_resource", id, "write", name);
  };
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

    revokeAgent: async ({ params, body, caller }) => {
      const id = params.agent as AgentId;
      // As it was: afterwards there is none of this number.
      const record = await findAgent(sources, id);
      await revokeAgent(sources, id, body.reason ?? "", byOf(caller));
      return ok(encodeAgent(record.view ? { ...record, view: { ...record.view, state: "GONE" } } : record));
    },

    rotateAgentKey: async ({ body, caller }) => {
      const { name, proof } = body;
      const agent = body.agent as AgentId;
      const keys = { previousKey: body.previous_key, publicKey: body.public_key, newProof: body.new_proof };
      return ok(
        await rotateAgentKey(sources, { agent, name, proof, ...keys }, { ...byOf(caller), via: `agent ${agent}` }),
      );
    },

    enrolAgent: async ({ body, caller }) => {
      const { token, name, public_key: publicKey, compute_resource: computeResource } = body;
      const enrolled = await enrolAgent(sources, { token, name, publicKey, computeResource }, byOf(caller));
      const { agent, computeResource: at, timeline } = enrolled;
      return { status: 201, body: { agent, name, compute_resource: at, timeline } };
    },

    createEnrolmentToken: async ({ body, caller, idempotency, permit }) => {
      if (body.any_project) await permit.require("platform", "main", "operate");
      if (body.compute_resource !== undefined) await mayPlace(body.compute_resource, permit);
      const request = {
        note: body.note,
        lifetimeMs: body.expires_in_seconds * 1000,
        computeResource: body.compute_resource ?? null,
        usesMax: body.uses,
        project: body.any_project ? null : await permit.project(body.project, "operate"),
      };
      const { answer, replayed } = await created.once(ownKey(idempotency, caller), async () => {
        const { record, token } = await createEnrolmentToken(sources, request, byOf(caller));
        return { ...encodeEnrolmentToken(record), token };
      });
      return { status: replayed ? 200 : 201, body: answer, ...(replayed ? { headers: REPLAYED } : {}) };
    },

    listEnrolmentTokens: async ({ query, permit }) => {
      const visible = await permit.visible();
      const page = await listEnrolmentTokens(enrolment, { limit: query.limit, cursor: query.cursor, visible });
      return ok({ items: page.items.map(encodeEnrolmentToken), next_cursor: page.nextCursor });
    },

    getEnrolmentToken: async ({ params }) => {
      const { record, uses } = await findEnrolmentToken(enrolment, params.id);
      const agents = uses.map(({ agent, name, atMs, address }) => ({ agent, name, at: timestamp(atMs), address }));
      return ok({ ...encodeEnrolmentToken(record), agents });
    },

    revokeEnrolmentToken: async ({ params, caller }) => {
      return ok(encodeEnrolmentToken(await revokeEnrolmentToken(enrolment, params.id, byOf(caller))));
    },
  };
}

/** In the words for one that may not be seen. */
function unseen(resource: string): string {
  return `there is no compute resource ${resource}, or you may not see it`;
}

const REPLAYED = { "idempotency-replayed": "true" };
