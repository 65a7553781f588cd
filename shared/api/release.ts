/** Releases of the agent program, and rollouts of them. */
import { z } from "zod";
import {
  PLATFORM_PATTERN,
  ROLLOUT_STATES,
  TARGET_STATES,
  VERSION_LENGTH_MAX,
  VERSION_PATTERN,
} from "../model/update.ts";
import { pageOf, pageQuery, Timestamp } from "./page.ts";

const Version = z.string().max(VERSION_LENGTH_MAX).regex(VERSION_PATTERN, "a version such as 1.2.0 or 1.2.0-rc.1");

export const downloadParams = { platform: z.string().regex(PLATFORM_PATTERN, "linux-x64 or linux-arm64") };
export const downloadQuery = {
  version: Version.optional().meta({ description: "The newest one when left out." }),
};

export const Release = z
  .object({
    version: z.string(),
    files: z.array(z.object({ platform: z.string(), sha256: z.string(), size_bytes: z.int().min(1) })),
  })
  .meta({ id: "Release" });
export type Release = z.infer<typeof Release>;
export const listReleasesQuery = { ...pageQuery };
export const ReleasePage = pageOf(Release).meta({ id: "ReleasePage" });

export const rolloutParams = { rollout: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER) };
/** Agents that one request names. */
const AGENTS_MAX = 10_000;
export const BeginRollout = z
  .strictObject({
    version: Version.optional().meta({ description: "The newest one when left out." }),
    agents: z
      .array(z.int().min(1).max(Number.MAX_SAFE_INTEGER))
      .min(1)
      .max(AGENTS_MAX)
      .optional()
      .meta({ description: "In this order; all that are connected when left out." }),
  })
  .meta({ id: "BeginRollout" });
export const StopRollout = z.strictObject({ reason: z.string().max(1000).optional() }).meta({ id: "StopRollout" });

const Rollout = z
  .object({
    id: z.int().min(1),
    version: z.string(),
    state: z.enum(ROLLOUT_STATES),
    reason: z.string().meta({ description: "Why it ended." }),
    created_at: Timestamp,
    ended_at: Timestamp.nullable(),
  })
  .meta({ id: "Rollout" });
export type Rollout = z.infer<typeof Rollout>;
export const RolloutDetail = Rollout.extend({
  agents: z.array(
    z.object({
      agent: z.int().min(1),
      name: z.string(),
      state: z.enum(TARGET_STATES),
      message: z.string(),
      changed_at: Timestamp,
    }),
  ),
}).meta({ id: "RolloutDetail" });
export type RolloutDetail = z.infer<typeof RolloutDetail>;
export const listRolloutsQuery = { ...pageQuery };
export const RolloutPage = pageOf(Rollout).meta({ id: "RolloutPage" });

export const UpdatePolicy = z
  .strictObject({
    pinned_version: Version.nullable().meta({ description: "The only version it is updated to; null: any." }),
    updates_refused: z.boolean(),
  })
  .meta({ id: "UpdatePolicy" });
export type UpdatePolicy = z.infer<typeof UpdatePolicy>;
