/**
 * Seals the audit, and anchors the head of its chain. Apart from each other: a full disk under the anchors must not keep
 * entries unsealed.
 */

import { AUDIT_SEAL_MS } from "../../shared/model/constants.ts";
import { createAnchor } from "../domain/audit/anchor.ts";
import type { AuditLog } from "../domain/audit/query.ts";
import { sealAudit } from "../domain/audit/seal.ts";
import type { Reconciler } from "./reconcilers.ts";

interface AuditSettings {
  auditSealMs?: number | undefined;
  /** Undefined: heads are anchored nowhere. */
  auditAnchor?: string | undefined;
}

export function auditReconcilers(log: AuditLog, settings: AuditSettings): Reconciler[] {
  const { auditSealMs: periodMs = AUDIT_SEAL_MS, auditAnchor: anchorPath } = settings;
  const sealing: Reconciler = { name: "sealing the audit", periodMs, run: () => sealAudit(log) };
  if (anchorPath === undefined) return [sealing];
  const anchor = createAnchor(anchorPath, log);
  const anchoring: Reconciler = {
    name: "anchoring the audit",
    periodMs,
    run: async () => {
      await anchor.keep();
      return false;
    },
  };
  return [sealing, anchoring];
}
