/** Whether the database answers and whether this process takes work. */
import { AiravataError } from "../../shared/error/error.ts";
import type { Dispatcher, Leadership } from "../dispatch/contract.ts";

export interface HealthSources {
  dispatcher: Dispatcher;
  /** Milliseconds of a round trip; rejects with `database_unavailable` or its kin. */
  pingDatabase(): Promise<number>;
}

/** Seconds that the database took. Throws as `pingDatabase` does. */
export async function checkDatabase({ pingDatabase }: HealthSources): Promise<number> {
  return (await pingDatabase()) / 1000;
}

/** Throws `not_leading` with what it waits for. */
export function checkReady({ dispatcher }: HealthSources): Leadership {
  const leadership = dispatcher.leadership();
  if (leadership.leading) return leadership;
  throw new AiravataError("not_leading", `this coordinator does not lead: ${leadership.detail}`);
}
