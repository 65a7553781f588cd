/** Entries of an audit for tests, and the whole check of its chain. */
import { type CheckedSlice, checkAudit } from "../../coordinator/domain/audit/check.ts";
import type { AuditEntry } from "../../coordinator/store/audit.ts";
import type { AuditLog } from "../../coordinator/store/audit-log.ts";
import { OPERATOR_ACTOR } from "../../shared/model/ids.ts";

export function auditEntry(n: number): AuditEntry {
  const by = { actor: OPERATOR_ACTOR, via: "operator_token", address: "127.0.0.1", request: `request-${n}` };
  return {
    by,
    action: "test.done",
    resource: { type: "test", id: n },
    before: { n: n - 1 },
    after: { n, 'ä"\\\n': "\u{1F600}" },
  };
}

/** All slices: the first fault, and what was looked at. */
export async function checkAll(log: AuditLog): Promise<Omit<CheckedSlice, "nextCursor">> {
  const all = { seals: 0, entries: 0, fault: null } as Omit<CheckedSlice, "nextCursor">;
  for (let cursor: string | undefined; ; ) {
    const slice = await checkAudit(log, cursor);
    all.seals += slice.seals;
    all.entries += slice.entries;
    all.fault = slice.fault;
    if (slice.nextCursor === null) return all;
    cursor = slice.nextCursor;
  }
}
