/**
 * Which refusals the audit keeps: that somebody is not known, may not, may not yet again, or asked for what is not there
 * for him. A request that is only wrong is no business of it.
 */
import type { IncomingMessage } from "node:http";
import type { RouteId } from "../../../shared/api/routes.ts";
import type { AiravataError } from "../../../shared/error/error.ts";
import { SYSTEM_ACTOR } from "../../../shared/model/ids.ts";
import type { Refusal } from "../../domain/audit/refusals.ts";
import { clientAddress } from "../edge/client.ts";
import { byOf, type Caller } from "./access.ts";

/** Known, may; the rate. */
const STATUSES = [401, 403, 429];
/** A path that is no route. */
const NO_ROUTE = "none";

/** What was asked for, of a refusal that the guard made; it is not the answer's business. */
const about = new WeakMap<AiravataError, NonNullable<Refusal["resource"]>>();

/** Remembers what the refusal is about: then the audit keeps it, also when it says that there is no such thing. */
export function refusedAbout(error: AiravataError, type: string, id: string): AiravataError {
  about.set(error, { type, id: id.slice(0, 200) });
  return error;
}

/** Undefined when it is no refusal of access. */
export function refusalFor(
  error: AiravataError,
  request: { raw: IncomingMessage; id: string; route: RouteId | undefined; caller: Caller | undefined },
): Refusal | undefined {
  const resource = about.get(error) ?? null;
  if (resource === null && !STATUSES.includes(error.status) && error.code !== "token_in_query") return undefined;
  const { raw, id, caller, route = NO_ROUTE } = request;
  const stranger = { actor: SYSTEM_ACTOR, via: "nobody", address: clientAddress(raw), request: id };
  return { by: caller ? byOf(caller) : stranger, route, resource, code: error.code };
}
