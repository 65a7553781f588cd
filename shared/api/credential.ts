/** Credentials. A secret goes in and never comes out: no schema of an answer holds one. */
import { z } from "zod";
import { SECRET_BYTES_MAX } from "../model/constants.ts";
import { BINDABLE_TYPES, CREDENTIAL_TYPES } from "../model/credential.ts";
import { pageOf, pageQuery, Timestamp } from "./page.ts";

const Id = z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER);
export const credentialParams = { credential: Id };

const Name = z
  .string()
  .max(100)
  .regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/, "letters, digits, dot, dash and underscore, at most 100");
const Description = z.string().max(1_000);
const Username = z
  .string()
  .min(1)
  .max(200)
  .regex(/^\P{Cc}+$/u, "no control characters");
/** Base64 of the largest secret. */
const SECRET_TEXT_MAX = 4 * Math.ceil(SECRET_BYTES_MAX / 3);
const Secret = z
  .base64()
  .max(SECRET_TEXT_MAX)
  .meta({
    description: `The secret in base64, at most ${SECRET_BYTES_MAX} bytes; no route ever answers with it.`,
  });

export const CreateCredential = z
  .strictObject({
    name: Name.meta({ description: "Unique among its owner's." }),
    type: z.enum(CREDENTIAL_TYPES),
    secret: Secret,
    description: Description.default(""),
    username: Username.nullable()
      .default(null)
      .meta({ description: "Whom it logs in; or the id that belongs to a key." }),
    project: z
      .string()
      .min(1)
      .max(200)
      .optional()
      .meta({ description: "Then who manages the project manages it too." }),
  })
  .meta({ id: "CreateCredential" });

export const ChangeCredential = z
  .strictObject({
    name: Name.optional(),
    description: Description.optional(),
    username: Username.nullable().optional(),
    version: z.int().min(1).optional().meta({ description: "Only when the credential still has this version." }),
  })
  .meta({ id: "ChangeCredential" });

export const RotateCredential = z.strictObject({ secret: Secret }).meta({ id: "RotateCredential" });

const Facts = z
  .object({
    key_type: z.string().optional(),
    bits: z.int().optional(),
    fingerprint: z.string().optional(),
    public_key: z.string().optional(),
    subject: z.string().optional(),
    issuer: z.string().optional(),
    serial: z.string().optional(),
    not_before: Timestamp.optional(),
    expires_at: Timestamp.optional(),
    has_private_key: z.boolean().optional(),
  })
  .meta({ id: "CredentialFacts", description: "Found in the secret when it came; public." });

export const Credential = z
  .object({
    id: z.int().min(1),
    name: z.string(),
    type: z.enum(CREDENTIAL_TYPES),
    description: z.string(),
    username: z.string().nullable(),
    owner: z.object({ id: z.int(), name: z.string() }),
    project: z.string().nullable(),
    facts: Facts,
    secret_number: z.int().min(1).meta({ description: "Which of its secrets holds; grows with each rotation." }),
    version: z.int().min(1),
    created_at: Timestamp,
    rotated_at: Timestamp,
    last_used_at: Timestamp.nullable(),
    deleted_at: Timestamp.nullable(),
  })
  .meta({ id: "Credential" });
export type Credential = z.infer<typeof Credential>;
export const CredentialPage = pageOf(Credential).meta({ id: "CredentialPage" });

export const listCredentialsQuery = {
  ...pageQuery,
  name: Name.optional(),
  type: z.enum(CREDENTIAL_TYPES).optional(),
  deleted: z.enum(["true", "false"]).default("false").meta({ description: "Also the deleted ones." }),
};

export const CredentialTest = z
  .object({
    ok: z.boolean(),
    steps: z.array(z.object({ step: z.enum(["vault", "form", "time"]), ok: z.boolean(), detail: z.string() })),
  })
  .meta({ id: "CredentialTest" });
export type CredentialTest = z.infer<typeof CredentialTest>;

const Resource = z.object({ type: z.enum(BINDABLE_TYPES), id: z.int().min(1) });
const resourceShape = {
  compute_resource: z.string().min(1).max(63).optional().meta({ description: "Its name or number." }),
  storage_resource: z.string().min(1).max(63).optional().meta({ description: "Either this or `compute_resource`." }),
};
export const BindCredential = z.strictObject(resourceShape).meta({ id: "BindCredential" });
export const unbindQuery = resourceShape;
export const CredentialBindings = z
  .object({ items: z.array(z.object({ resource: Resource.extend({ name: z.string() }), created_at: Timestamp })) })
  .meta({ id: "CredentialBindings" });
export type CredentialBindings = z.infer<typeof CredentialBindings>;

export const CredentialUse = z
  .object({
    at: Timestamp.meta({ description: "Of the last of these uses." }),
    times: z.int().min(1),
    by: z.object({ id: z.int(), name: z.string() }),
    purpose: z.string(),
    resource: Resource.nullable(),
    secret_number: z.int().min(1),
  })
  .meta({ id: "CredentialUse" });
export type CredentialUse = z.infer<typeof CredentialUse>;
export const CredentialUsePage = pageOf(CredentialUse).meta({ id: "CredentialUsePage" });
export const usageQuery = pageQuery;

export const Vault = z
  .object({
    kind: z.enum(["openbao", "sealed_file"]),
    place: z.string(),
    state: z.enum(["ready", "sealed", "unreachable", "denied"]),
    detail: z.string(),
  })
  .meta({ id: "Vault" });
export const VaultKey = z.object({ key: z.int().min(1) }).meta({ id: "VaultKey" });
