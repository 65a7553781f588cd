/** People, logins and personal tokens. A secret stands in one answer only: that of the call that made it. */
import { z } from "zod";
import { PASSWORD_LENGTH_MAX, PERSONAL_TOKEN_LIFE_DEFAULT_MS, PERSONAL_TOKEN_LIFE_MAX_MS } from "../model/constants.ts";
import { pageOf, Timestamp } from "./page.ts";
import { SCOPES } from "./scopes.ts";

const Password = z.string().min(1).max(PASSWORD_LENGTH_MAX);
const DisplayName = z
  .string()
  .max(200)
  .regex(/^\P{Cc}*$/u, "no control characters");
const Email = z.email().max(320).nullable();
const PlatformRole = z
  .enum(["administrator", "operator"])
  .nullable()
  .meta({ description: "Over the whole installation; null: what projects and groups give." });
const Scopes = z.array(z.enum(SCOPES));

export const userParams = { user: z.string().min(1).max(100).meta({ description: "Number or username." }) };
export const sessionParams = { session: z.coerce.number().int().min(1) };
export const tokenParams = { token: z.coerce.number().int().min(1) };

export const LogIn = z
  .strictObject({
    username: z.string().min(1).max(100),
    password: Password,
    client: DisplayName.default("").meta({ description: "What the person will know this login by." }),
  })
  .meta({ id: "LogIn" });

export const RefreshLogin = z.strictObject({ refresh_token: z.string().min(1).max(200) }).meta({ id: "RefreshLogin" });

export const Login = z
  .object({
    session: z.int().min(1),
    username: z.string(),
    token_type: z.literal("Bearer"),
    access_token: z.string(),
    access_expires_at: Timestamp,
    refresh_token: z.string().meta({ description: "Good for one use; the answer holds the next one." }),
    refresh_expires_at: Timestamp,
    password_must_change: z.boolean().meta({ description: "Until then the login is good for nothing else." }),
  })
  .meta({ id: "Login" });
export type Login = z.infer<typeof Login>;

export const LogOut = z
  .strictObject({ everywhere: z.boolean().default(false).meta({ description: "All logins of the caller." }) })
  .meta({ id: "LogOut" });

export const LoggedOut = z.object({ ended: z.int().min(0) }).meta({ id: "LoggedOut" });

export const ChangePassword = z
  .strictObject({
    current_password: Password,
    new_password: Password,
    end_tokens: z.boolean().default(false).meta({ description: "The caller's personal tokens end too." }),
  })
  .meta({ id: "ChangePassword" });

export const PasswordChanged = z.object({ changed: z.literal(true) }).meta({ id: "PasswordChanged" });

export const Session = z
  .object({
    id: z.int().min(1),
    how: z.enum(["password", "oidc"]),
    client: z.string(),
    address: z.string().nullable(),
    created_at: Timestamp,
    refreshed_at: Timestamp,
    expires_at: Timestamp,
    current: z.boolean().meta({ description: "The one that asks." }),
  })
  .meta({ id: "Session" });
export type Session = z.infer<typeof Session>;

export const SessionList = z.object({ items: z.array(Session) }).meta({ id: "SessionList" });

export const CreateToken = z
  .strictObject({
    name: z
      .string()
      .min(1)
      .max(100)
      .regex(/^\P{Cc}+$/u, "no control characters"),
    scopes: Scopes.min(1),
    expires_in_seconds: z
      .int()
      .min(60)
      .max(PERSONAL_TOKEN_LIFE_MAX_MS / 1000)
      .default(PERSONAL_TOKEN_LIFE_DEFAULT_MS / 1000),
  })
  .meta({ id: "CreateToken" });

const tokenShape = {
  id: z.int().min(1),
  name: z.string(),
  scopes: Scopes,
  created_at: Timestamp,
  expires_at: Timestamp,
  last_used_at: Timestamp.nullable().meta({ description: "To the hour." }),
  revoked_at: Timestamp.nullable(),
};
export const PersonalToken = z.object(tokenShape).meta({ id: "PersonalToken" });
export type PersonalToken = z.infer<typeof PersonalToken>;

export const CreatedToken = z.object({ ...tokenShape, token: z.string() }).meta({ id: "CreatedToken" });
export type CreatedToken = z.infer<typeof CreatedToken>;

export const PersonalTokenList = z.object({ items: z.array(PersonalToken) }).meta({ id: "PersonalTokenList" });

export const CreateUser = z
  .strictObject({
    username: z
      .string()
      .max(100)
      .regex(
        /^(?=.*[a-z])[a-z0-9][a-z0-9._@+-]*$/,
        "small letters, digits and . _ @ + -, at least one letter, beginning with a letter or digit",
      ),
    display_name: DisplayName.optional(),
    email: Email.optional(),
    platform_role: PlatformRole.optional(),
    password: Password.nullable().optional().meta({
      description:
        "Left out: one is made, or none for who has `oidc`. null: none. It must be changed at the first login.",
    }),
    oidc: z
      .strictObject({
        issuer: z.url().max(1_000),
        subject: z
          .string()
          .max(255)
          .regex(/^[\x20-\x7e]+$/, "ASCII"),
      })
      .optional()
      .meta({ description: "Whom the OpenID provider vouches for: who comes with it gets this account." }),
  })
  .meta({ id: "CreateUser" });

export const ChangeUser = z
  .strictObject({
    display_name: DisplayName.optional(),
    email: Email.optional(),
    platform_role: PlatformRole.optional(),
    version: z.int().min(0).optional().meta({ description: "Only when the user still has this version." }),
  })
  .meta({ id: "ChangeUser" });

const userShape = {
  id: z.int().min(1),
  username: z.string(),
  display_name: z.string(),
  email: z.string().nullable(),
  platform_role: PlatformRole,
  has_password: z.boolean(),
  password_must_change: z.boolean(),
  identity_provider: z.string().nullable(),
  disabled_at: Timestamp.nullable(),
  created_at: Timestamp,
  version: z.int().min(0),
};
export const User = z.object(userShape).meta({ id: "User" });
export type User = z.infer<typeof User>;

export const UserWithPassword = z
  .object({ ...userShape, one_time_password: z.string().nullable() })
  .meta({ id: "UserWithPassword" });
export type UserWithPassword = z.infer<typeof UserWithPassword>;

export const UserList = pageOf(User).meta({ id: "UserList" });

export const CurrentUser = z
  .object({
    id: z.int().min(0),
    name: z.string(),
    kind: z.enum(["operator_token", "user"]),
    display_name: z.string(),
    email: z.string().nullable(),
    via: z.string().meta({ description: "`operator_token`, `session 17` or `token 4`." }),
    scopes: Scopes.nullable().meta({ description: "What the token is limited to; null: nothing." }),
    platform_role: PlatformRole,
    password_must_change: z.boolean(),
  })
  .meta({ id: "CurrentUser" });
export type CurrentUser = z.infer<typeof CurrentUser>;
