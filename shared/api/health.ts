/** Liveness, the database, readiness. */
import { z } from "zod";
import { Timestamp } from "./page.ts";

export const Health = z
  .object({ status: z.literal("ok"), version: z.string(), started_at: Timestamp, leading: z.boolean() })
  .meta({ id: "Health" });
export type Health = z.infer<typeof Health>;

export const HealthDatabase = z
  .object({ status: z.literal("ok"), latency_seconds: z.number().min(0) })
  .meta({ id: "HealthDatabase" });

export const HealthReady = z
  .object({
    status: z.literal("ok"),
    term: z.int().min(0),
    timeline: z.int().min(0),
    seq: z.int().min(0),
    detail: z.string(),
  })
  .meta({ id: "HealthReady" });
export type HealthReady = z.infer<typeof HealthReady>;
