/** The audit: entries are appended in the transaction of the change that they tell of, and never change. */
import type { Connection } from "../../db/connection.ts";
import { redactValue } from "../../shared/log/redact.ts";
import type { ActorId, ProjectId } from "../../shared/model/ids.ts";
import { storable } from "./columns.ts";

/** Who does something, and how he came in. */
export interface By {
  actor: ActorId;
  /** `operator_token`, `session 17`, `token 4`, `system`: by what he was known. */
  via: string;
  /** The client's address. */
  address: string | null;
  /** Id of the request. */
  request: string | null;
}

export interface AuditEntry {
  by: By;
  /** Noun and verb: `project.create`. */
  action: string;
  resource: { type: string; id: string | number } | null;
  project?: ProjectId | null;
  outcome?: "done" | "refused";
  /** Of a refusal. */
  code?: string;
  /** What was and what is, without secrets. */
  before?: unknown;
  after?: unknown;
}

const TIMEOUT_MS = 10_000;

/** Within the caller's transaction. */
export async function writeAudit(connection: Connection, entries: readonly AuditEntry[]): Promise<void> {
  if (entries.length === 0) return;
  const column = <T>(pick: (entry: AuditEntry) => T): T[] => entries.map(pick);
  await connection.rows(
    `insert into audit (actor, via, address, request, action, resource_type, resource_id, project, outcome, code, before, after)
     select * from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[],
       $9::text[], $10::text[], $11::jsonb[], $12::jsonb[])`,
    [
      column(({ by }) => by.actor),
      column(({ by }) => by.via),
      column(({ by }) => by.address),
      column(({ by }) => by.request),
      column(({ action }) => action),
      column(({ resource }) => resource?.type ?? null),
      column(({ resource }) => (resource ? String(resource.id) : null)),
      column(({ project }) => project ?? null),
      column(({ outcome }) => outcome ?? "done"),
      column(({ code }) => code ?? null),
      column(({ before }) => json(before)),
      column(({ after }) => json(after)),
    ],
    TIMEOUT_MS,
  );
}

/** Whoever forgets that it holds a secret is not the last who looks; and text as PostgreSQL takes it. */
function json(value: unknown): string | null {
  if (value === undefined || value === null) return null;
  return JSON.stringify(redactValue(value), (_name, each) => (typeof each === "string" ? storable(each) : each));
}
