/** Whether the database answers and whether this process takes work. */
import { AiravataError } from "../../shared/error/error.ts";
import type { Dispatcher, Leadership } from "../dispatch/contract.ts";

export interface HealthSources {
  dispatcher: Dispatcher;
  /** Asks the database anything; rejects when it does not answer. */
  pingDatabase(): Promise<void>;
}

/** Seconds that the database took. Throws `database_unavailable`. */
export async function checkDatabase({ pingDatabase }: HealthSources): Promise<number> {
  const begun = performance.now();
  try {
    await pingDatabase();
  } catch (cause) {
    throw new AiravataError("database_unavailable", "the database does not answer", { cause });
  }
  return (performance.now() - begun) / 1000;
}

/** Throws `not_leading` with what it waits for. */
export function checkReady({ dispatcher }: HealthSources): Leadership {
  const leadership = dispatcher.leadership();
  if (leadership.leading) return leadership;
  throw new AiravataError("not_leading", `this coordinator does not lead: ${leadership.detail}`);
}
