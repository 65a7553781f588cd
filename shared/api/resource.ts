/** Compute and storage resources: what there is, how it is reached, and whose it is. */
import { z } from "zod";
import { pageOf, pageQuery, Timestamp } from "./page.ts";

/** By name or by number. */
export const resourceParams = { resource: z.string().min(1).max(63) };

export const COMPUTE_KINDS = ["slurm", "kubernetes", "baremetal"] as const;
export const STORAGE_KINDS = ["s3", "sftp", "nfs", "local"] as const;

const Description = z.string().max(1_000);
const Configuration = z
  .record(
    z.string().regex(/^[a-z][a-z0-9_]{0,62}$/, "lower-case letters, digits and underscore"),
    z.union([z.string().max(1_000), z.number(), z.boolean(), z.array(z.string().max(1_000)).max(100)]),
  )
  .meta({ description: "How it is reached: plain values, never a secret. What is needed depends on the kind." });

const createShape = {
  name: z
    .string()
    .max(63)
    .regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/, "letters, digits, dot, dash and underscore, at most 63")
    .refine((name) => !/^\d+$/.test(name), "not digits alone: that would be taken for a number"),
  project: z.string().min(1).max(200).optional().meta({ description: "Whose it is; without: the installation's." }),
  description: Description.default(""),
  configuration: Configuration.default({}),
};
export const CreateComputeResource = z
  .strictObject({ ...createShape, kind: z.enum(COMPUTE_KINDS) })
  .meta({ id: "CreateComputeResource" });
export const CreateStorageResource = z
  .strictObject({ ...createShape, kind: z.enum(STORAGE_KINDS) })
  .meta({ id: "CreateStorageResource" });

export const ChangeResource = z
  .strictObject({
    description: Description.optional(),
    configuration: Configuration.optional().meta({ description: "In place of the present one, as a whole." }),
    version: z.int().min(0).optional().meta({ description: "Only when the resource still has this version." }),
  })
  .meta({ id: "ChangeResource" });

export const Resource = z
  .object({
    id: z.int().min(1),
    name: z.string(),
    kind: z.enum([...COMPUTE_KINDS, ...STORAGE_KINDS]),
    project: z.string().nullable(),
    description: z.string(),
    configuration: Configuration,
    version: z.int().min(0),
    created_at: Timestamp,
  })
  .meta({ id: "Resource" });
export type Resource = z.infer<typeof Resource>;

export const listResourcesQuery = { ...pageQuery };
export const ResourcePage = pageOf(Resource).meta({ id: "ResourcePage" });
