/** The routes of the audit: decode, one domain call, encode. */
import type { AuditEntry } from "../../../shared/api/audit.ts";
import type { RouteId } from "../../../shared/api/routes.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { checkAudit } from "../../domain/audit/check.ts";
import type { StoredAuditEntry } from "../../domain/audit/query.ts";
import { type AuditLog, exportAudit, exportSealed, findAuditEntry, listAudit } from "../../domain/audit/query.ts";
import { timestamp } from "../encode.ts";
import { type Handlers, ok } from "./register.ts";

type AuditRoutes = Extract<
  RouteId,
  "listAudit" | "exportAudit" | "auditHead" | "listAuditSeals" | "checkAudit" | "getAuditEntry"
>;

export function auditHandlers({ audit }: { audit: AuditLog }): Handlers<AuditRoutes> {
  return {
    listAudit: async ({ query: { limit, cursor, ...asked }, permit }) => {
      const page = await listAudit(audit, decodeFilter(asked), { limit, cursor, visible: await permit.visible() });
      return ok({ items: page.items.map(encodeEntry), next_cursor: page.nextCursor });
    },

    getAuditEntry: async ({ params, permit }) => {
      const found = await findAuditEntry(audit, params.entry, await permit.visible());
      return ok({ ...encodeEntry(found), seal: found.seal });
    },

    exportAudit: async ({ query: { sealed, ...asked }, permit }) => {
      const visible = await permit.visible();
      const answer = { contentType: "application/x-ndjson; charset=utf-8", filename: "audit.jsonl" };
      if (sealed !== "true") return { ...answer, stream: exportAudit(audit, decodeFilter(asked), visible) };
      // A chain with links left out is none.
      await permit.require("platform", "main", "administer");
      if (Object.values(asked).some((value) => value !== undefined)) {
        throw new AiravataError("request_invalid", "sealed=true is the whole chain and takes no filter");
      }
      return { ...answer, stream: exportSealed(audit) };
    },

    auditHead: async () => {
      const { head, waiting } = await audit.head();
      return ok({ head: head ?? null, waiting });
    },

    listAuditSeals: async ({ query: { limit, cursor = "0" } }) => {
      if (!/^\d{1,15}$/.test(cursor)) {
        throw new AiravataError("cursor_invalid", "the cursor is not one of this list; leave it out to begin anew");
      }
      const found = await audit.heads(Number(cursor), limit + 1);
      const items = found.slice(0, limit);
      return ok({ items, next_cursor: found.length > limit ? String(items.at(-1)?.seal) : null });
    },

    checkAudit: async ({ query }) => {
      const { nextCursor, ...slice } = await checkAudit(audit, query.cursor);
      return ok({ ...slice, next_cursor: nextCursor });
    },
  };
}

interface AskedFilter {
  actor?: string | undefined;
  action?: string | undefined;
  resource_type?: string | undefined;
  resource_id?: string | undefined;
  project?: string | undefined;
  outcome?: "done" | "refused" | undefined;
  since?: string | undefined;
  until?: string | undefined;
  request?: string | undefined;
}

function decodeFilter({ resource_type: resourceType, resource_id: resourceId, ...same }: AskedFilter) {
  return { ...same, resourceType, resourceId };
}

function encodeEntry(entry: StoredAuditEntry): AuditEntry {
  return {
    entry: entry.entry,
    at: timestamp(entry.atMs),
    actor: entry.actor,
    actor_name: entry.actorName,
    via: entry.via,
    address: entry.address,
    request: entry.request,
    action: entry.action,
    resource_type: entry.resourceType,
    resource_id: entry.resourceId,
    project: entry.project,
    project_name: entry.projectName,
    outcome: entry.outcome,
    code: entry.code,
    before: entry.before,
    after: entry.after,
  };
}
