/**
 * Seals the audit, and anchors the head of its chain. Apart from each other: a full disk under the anchors must not keep
 * entries unsealed. Until an entry is sealed nobody would notice that it was changed, so the period is short.
 */

import { createAnchor } from "../domain/audit/anchor.ts";
import type { AuditLog } from "../domain/audit/query.ts";
import { sealAudit } from "../domain/audit/seal.ts";
import type { Reconciler } from "./reconcilers.ts";

/** One look at an empty table while nothing happens; at most 17,280 seals, and lines of anchors, a day. */
const PERIOD_MS = 5_000;

/** `anchorPath` undefined: heads are anchored nowhere. */
export function auditReconcilers(log: AuditLog, anchorPath: string | undefined): Reconciler[] {
  const sealing: Reconciler = { name: "sealing the audit", periodMs: PERIOD_MS, run: () => sealAudit(log) };
  if (anchorPath === undefined) return [sealing];
  const anchor = createAnchor(anchorPath, log);
  const anchoring: Reconciler = {
    name: "anchoring the audit",
    periodMs: PERIOD_MS,
    run: async () => {
      await anchor.keep();
      return false;
    },
  };
  return [sealing, anchoring];
}
