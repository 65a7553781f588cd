/** Liveness, the database, readiness, and who the caller is. */
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

export const CurrentUser = z
  .object({ id: z.int().min(0), name: z.string(), kind: z.enum(["operator_token"]) })
  .meta({ id: "CurrentUser" });
export type CurrentUser = z.infer<typeof CurrentUser>;
