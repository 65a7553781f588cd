/**
 * Login by an OpenID provider. A page opens `login`, comes back to its own path with `#login_ticket=…`, and trades that
 * ticket, with the cookie it was given, for a session. A program starts a device login, shows its user the code and
 * where to enter it, and polls.
 */
import { z } from "zod";
import { Login } from "./account.ts";

/** A path of this very origin: `//host` and `/\host` would be another one's. */
const OwnPath = z
  .string()
  .max(500)
  .regex(/^\/(?![/\\])[^\\#\s]*$/, "a path that begins with one slash, without # and backslash");

export const oidcLoginQuery = {
  return_to: OwnPath.default("/").meta({ description: "Where the browser is sent in the end." }),
};

/** What the provider sends the browser back with; it may add what it likes. */
export const oidcCallbackQuery = {
  state: z.string().min(1).max(200),
  code: z.string().max(4_000).optional(),
  iss: z.string().max(1_000).optional(),
  error: z.string().max(200).optional(),
  error_description: z.string().max(2_000).optional(),
};

export const OidcRedirect = z
  .object({ location: z.string().meta({ description: "The same as the header Location." }) })
  .meta({ id: "OidcRedirect" });

export const TradeOidcTicket = z
  .strictObject({
    ticket: z.string().min(1).max(100).meta({ description: "From the fragment of the path returned to." }),
  })
  .meta({ id: "TradeOidcTicket" });

export const OidcDeviceLogin = z
  .object({
    handle: z.string().meta({ description: "For polling. Whoever has it gets the session: keep it." }),
    user_code: z.string(),
    verification_uri: z.string(),
    verification_uri_complete: z
      .string()
      .nullable()
      .meta({ description: "The same with the code in it, if there is one." }),
    interval_seconds: z.number().min(0).meta({ description: "Poll no oftener." }),
    expires_in_seconds: z.number().min(0),
  })
  .meta({ id: "OidcDeviceLogin" });
export type OidcDeviceLogin = z.infer<typeof OidcDeviceLogin>;

export const PollOidcDevice = z.strictObject({ handle: z.string().min(1).max(100) }).meta({ id: "PollOidcDevice" });

export const OidcDevicePoll = z
  .object({
    status: z.enum(["pending", "done"]),
    session: Login.nullable().meta({ description: "null while the person has not decided." }),
  })
  .meta({ id: "OidcDevicePoll" });
