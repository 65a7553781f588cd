/** Seals what waits. The database makes each seal in one call, so that it does not matter where this one stops. */
import type { AuditLog } from "../../store/audit-log.ts";

/** Entries of one seal: some 40 KB of numbers and digests. */
const SEAL_ENTRIES_MAX = 1_000;

/** One seal; true when there is enough for another one. */
export async function sealAudit(log: AuditLog): Promise<boolean> {
  const made = await log.sealNext(SEAL_ENTRIES_MAX);
  return made !== undefined && made.entries >= SEAL_ENTRIES_MAX;
}
