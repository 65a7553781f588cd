/** The audit: who did what, sealed as a chain. */
import { z } from "zod";
import { pageOf, pageQuery, Timestamp } from "./page.ts";

const Text = z.string().min(1).max(200);
const Hash = z.string().regex(/^[0-9a-f]{64}$/);

/** What is left out is not looked at. */
const filter = {
  actor: Text.optional().meta({ description: "Name or number of who did it." }),
  action: Text.optional().meta({ description: "`experiment.cancel`, or all of `experiment`." }),
  resource_type: Text.optional(),
  resource_id: Text.optional(),
  project: Text.optional().meta({ description: "Name of the project that it concerns." }),
  outcome: z.enum(["done", "refused"]).optional(),
  since: Timestamp.optional(),
  until: Timestamp.optional(),
  request: Text.optional().meta({ description: "Id of the request, as `X-Request-Id` had it." }),
};

export const AuditEntry = z
  .object({
    entry: z.int().min(1),
    at: Timestamp,
    actor: z.int().min(0).meta({ description: "0 is the system, or somebody who is not known." }),
    actor_name: z.string().nullable(),
    via: z.string().meta({ description: "By what he was known: `operator_token`, `session 17`, `journal`, …" }),
    address: z.string().nullable(),
    request: z.string().nullable(),
    action: z.string().meta({ description: "Noun and verb; of a refusal the operationId of the route." }),
    resource_type: z.string().nullable(),
    resource_id: z.string().nullable(),
    project: z.int().nullable(),
    project_name: z.string().nullable(),
    outcome: z.enum(["done", "refused"]),
    code: z.string().nullable().meta({ description: "Of a refusal." }),
    before: z.unknown(),
    after: z.unknown(),
  })
  .meta({ id: "AuditEntry" });
export type AuditEntry = z.infer<typeof AuditEntry>;
export const AuditPage = pageOf(AuditEntry).meta({ id: "AuditPage" });
export const AuditEntryDetail = AuditEntry.extend({
  seal: z.int().nullable().meta({ description: "Number of the seal that holds it; null while it waits for one." }),
}).meta({ id: "AuditEntryDetail" });
export type AuditEntryDetail = z.infer<typeof AuditEntryDetail>;

export const listAuditQuery = { ...pageQuery, ...filter };
export const auditEntryParams = { entry: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER) };
export const exportAuditQuery = {
  ...filter,
  sealed: z
    .enum(["true", "false"])
    .optional()
    .meta({ description: "`true`: all sealed entries in the order of the chain, with the seals; takes no filter." }),
};

export const AuditSeal = z
  .object({
    seal: z.int().min(1),
    at: z.string().meta({ description: "As it was hashed: RFC 3339 with microseconds." }),
    entries: z.int().min(1).meta({ description: "How many it holds." }),
    hash: Hash,
  })
  .meta({ id: "AuditSeal" });
export type AuditSeal = z.infer<typeof AuditSeal>;
export const AuditHead = z
  .object({
    head: AuditSeal.nullable().meta({ description: "Null before the first seal." }),
    waiting: z.int().min(0).meta({ description: "Entries that no seal holds yet." }),
  })
  .meta({ id: "AuditHead" });
export const listAuditSealsQuery = { ...pageQuery };
export const AuditSealPage = pageOf(AuditSeal).meta({ id: "AuditSealPage" });

export const checkAuditQuery = {
  cursor: z.string().max(200).optional().meta({ description: "`next_cursor` of the slice before." }),
};
export const AuditCheck = z
  .object({
    seals: z.int().min(0).meta({ description: "Looked at in this slice, as are `entries`." }),
    entries: z.int().min(0),
    fault: z
      .object({ entry: z.int().nullable(), seal: z.int().nullable(), sentence: z.string() })
      .nullable()
      .meta({ description: "The first thing that is wrong; nothing after it was looked at." }),
    next_cursor: z.string().nullable().meta({ description: "Null: all was looked at, or something is wrong." }),
  })
  .meta({ id: "AuditCheck" });
