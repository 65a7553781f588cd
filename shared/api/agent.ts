/** Agents, their enrolment and the tokens for it. */
import { z } from "zod";
import { SESSION_STATE_NAMES } from "../model/states.ts";
import { TARGET_STATES } from "../model/update.ts";
import { NodeFigures } from "./figures.ts";
import { pageOf, pageQuery, Timestamp } from "./page.ts";

export const agentParams = { agent: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER) };

const capacityShape = {
  cpus: z.number().min(0),
  memory_bytes: z.number().min(0),
  gpus: z.number().min(0),
  disk_bytes: z.number().min(0),
};

export const Agent = z
  .object({
    id: z.int().min(1),
    name: z.string(),
    enrolled_at: Timestamp,
    // Older coordinators leave out these five.
    project: z
      .string()
      .nullable()
      .optional()
      .meta({ description: "The one project that it serves; null: all of them." }),
    compute_resource: z.string().nullable().optional().meta({ description: "As its enrolment token said." }),
    key_changed_at: Timestamp.optional(),
    address: z.string().nullable().optional().meta({
      description: "Where its session comes from, or its last one came from; null when this coordinator has seen none.",
    }),
    notice: z
      .object({
        kind: z.enum(["identity_shared", "forged"]),
        message: z.string(),
        at: Timestamp,
        count: z.int().min(1),
      })
      .nullable()
      .optional()
      .meta({
        description:
          "What its operator should know: its identity was used twice at once, or it claimed what is not its own.",
      }),
    state: z.enum([...SESSION_STATE_NAMES, "OFFLINE"]).meta({
      description: "State of its session; OFFLINE when this dispatcher has seen none.",
    }),
    session: z
      .object({
        epoch: z.int().min(1),
        program: z.string(),
        hostname: z.string(),
        root: z.string(),
        capacity: z.object({
          ...capacityShape,
          vram_bytes: z.number().min(0),
          custom: z.record(z.string(), z.number()),
          labels: z.record(z.string(), z.string()),
        }),
        free: z.object(capacityShape),
        leases: z.int().min(0),
        ahead: z.int().min(-1).meta({ description: "Leases it takes beyond what fits; −1: none at all for now." }),
        lasts_seconds: z.number().nullable(),
        seen_at: Timestamp,
      })
      .nullable(),
    figures: NodeFigures.nullable().optional().meta({
      description: "What it measured last; null when nothing came in this reign. Older coordinators leave it out.",
    }),
    update: z
      .object({
        rollout: z.int().min(1),
        version: z.string(),
        state: z.enum(TARGET_STATES),
        message: z.string(),
        changed_at: Timestamp,
      })
      .nullable()
      .meta({ description: "Its part in the latest rollout that it belongs to." }),
    pinned_version: z.string().nullable(),
    updates_refused: z.boolean(),
  })
  .meta({ id: "Agent" });
export type Agent = z.infer<typeof Agent>;
export const listAgentsQuery = { ...pageQuery };
export const AgentPage = pageOf(Agent).meta({ id: "AgentPage" });

export const DrainAgent = z.strictObject({ reason: z.string().max(1000).optional() }).meta({ id: "DrainAgent" });

export const EnrolAgent = z
  .strictObject({
    token: z.string().min(1).max(500),
    name: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, "letters, digits, dot, dash and underscore, at most 128"),
    public_key: z.base64().max(200).meta({ description: "Ed25519 public key: SPKI in DER, base64." }),
    compute_resource: z.string().min(1).max(200).optional().meta({
      description: "Where the agent believes to be (COMPUTE_ID): refused unless its token says the same.",
    }),
  })
  .meta({ id: "EnrolAgent" });
export type EnrolAgent = z.infer<typeof EnrolAgent>;
export const Enrolled = z
  .object({
    agent: z.int().min(1),
    name: z.string(),
    compute_resource: z.string().nullable(),
    timeline: z.int().min(0),
  })
  .meta({ id: "Enrolled" });
export type Enrolled = z.infer<typeof Enrolled>;

export const RevokeAgent = z.strictObject({ reason: z.string().max(1000).optional() }).meta({ id: "RevokeAgent" });

const Key = z.base64().max(200);
const Signature = z.base64().max(200);
export const RotateAgentKey = z
  .strictObject({
    agent: z.int().min(1),
    name: z.string().min(1).max(200),
    previous_key: Key.meta({ description: "The key that counts until now: SPKI in DER, base64." }),
    public_key: Key.meta({ description: "The new one." }),
    proof: Signature.meta({
      description:
        "Signature by the previous key of `airavata-rotate-1`, agent, name, previous and new key, a line each.",
    }),
    new_proof: Signature.meta({ description: "Signature of the same text by the new key." }),
  })
  .meta({ id: "RotateAgentKey" });
export const RotatedAgentKey = z.object({ agent: z.int().min(1), name: z.string() }).meta({ id: "RotatedAgentKey" });

export const enrolmentTokenParams = { id: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER) };
export const CreateEnrolmentToken = z
  .strictObject({
    note: z.string().max(200).default(""),
    project: z.string().min(1).max(200).default("default").meta({ description: "The one project its agent serves." }),
    compute_resource: z.string().min(1).max(200).optional().meta({
      description: "The compute resource at which its agents are; tasks ask for it by the label compute_resource.",
    }),
    uses: z.int().min(1).max(10_000).default(1).meta({ description: "Agents that may enrol with it." }),
    any_project: z.boolean().default(false).meta({
      description: "Its agent serves all projects: a task can read what others of the same user id left.",
    }),
    expires_in_seconds: z
      .int()
      .min(1)
      .max(30 * 86_400)
      .default(3_600),
  })
  .meta({ id: "CreateEnrolmentToken" });
export const EnrolmentToken = z
  .object({
    id: z.int().min(1),
    note: z.string(),
    // Older coordinators leave out these, and uses.
    project: z.string().nullable().optional().meta({
      description: "The one project that its agents serve; null: all of them.",
    }),
    compute_resource: z.string().nullable().optional(),
    created_at: Timestamp,
    expires_at: Timestamp,
    uses_max: z.int().min(1).optional(),
    uses: z.int().min(0).optional(),
    used_at: Timestamp.nullable().meta({ description: "When it was used up." }),
    revoked_at: Timestamp.nullable(),
    agent: z.int().nullable().meta({ description: "The agent that made its last use." }),
    agents: z
      .array(z.object({ agent: z.int().min(1), name: z.string(), at: Timestamp, address: z.string().nullable() }))
      .optional()
      .meta({ description: "Who came in by it, the first 500; only where one token is shown." }),
  })
  .meta({ id: "EnrolmentToken" });
export type EnrolmentToken = z.infer<typeof EnrolmentToken>;
export const CreatedEnrolmentToken = EnrolmentToken.extend({
  token: z.string().meta({ description: "Shown this once." }),
}).meta({ id: "CreatedEnrolmentToken" });
export type CreatedEnrolmentToken = z.infer<typeof CreatedEnrolmentToken>;
export const listEnrolmentTokensQuery = { ...pageQuery };
export const EnrolmentTokenPage = pageOf(EnrolmentToken).meta({ id: "EnrolmentTokenPage" });
