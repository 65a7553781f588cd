/**
 * The reconcilers of retention: archive what is due, drop partitions in which everything is archived, remove rows of the
 * other tables that nothing needs any more. Each stands for itself; what one leaves the next run of another finds.
 */
import type { Logger } from "../../shared/log/log.ts";
import type { Archive } from "../domain/retention/archive.ts";
import type { Reconciler } from "./reconcilers.ts";

/** What can be dropped and removed, told by the store. */
export interface Remains {
  dropPartitions(signal: AbortSignal): Promise<{ tables: number; held: boolean }>;
  trim(signal: AbortSignal): Promise<{ rows: number; more: boolean }>;
}

/** A minute late is nothing to a retention of days; one of seconds is looked at twice within it. */
const PERIOD_MS = 60_000;
const PERIOD_MS_MIN = 500;

export function createRetention(archive: Archive, remains: Remains, retentionMs: number, log: Logger): Reconciler[] {
  const periodMs = retentionMs === 0 ? PERIOD_MS : Math.max(PERIOD_MS_MIN, Math.min(PERIOD_MS, retentionMs / 2));
  return [
    { name: "archiving ended experiments", periodMs, run: (signal) => archive.due(signal) },
    {
      name: "dropping partitions",
      periodMs,
      run: async (signal) => {
        const { tables, held } = await remains.dropPartitions(signal);
        if (tables > 0) log.info("partitions of archived experiments were dropped", { tables });
        if (held) log.info("a partition is being read for long; it is dropped later");
        return false;
      },
    },
    { name: "trimming the journal", periodMs, run: async (signal) => (await remains.trim(signal)).more },
  ];
}
