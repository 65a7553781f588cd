/**
 * Login by the OpenID provider without a browser on this machine: shows where to go and the code to enter there, and asks
 * the coordinator until the person has decided. A coordinator or provider that is away for a while is asked on.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Login } from "../../shared/api/account.ts";
import { ApiError, type Client } from "../../shared/api/client.ts";
import { AiravataError } from "../../shared/error/error.ts";
import { printable, type Screen } from "./terminal.ts";

interface DeviceOptions {
  client: Client;
  /** Where the person looks. */
  err: Screen;
  wait?: (ms: number) => Promise<unknown>;
}

/** Throws what the coordinator refuses with, `oidc_login_expired` when nobody entered the code. */
export async function loginByDevice({ client, err, wait = delay }: DeviceOptions): Promise<Login> {
  const login = await client.call("oidcDevice", {});
  const { verification_uri: uri, verification_uri_complete: complete } = login;
  err.write(`Open ${printable(uri)} and enter the code ${err.paint("bold", printable(login.user_code))}\n`);
  if (complete !== null) err.write(`or open ${printable(complete)}\n`);
  const intervalMs = Math.max(login.interval_seconds, 1) * 1_000;
  // Counted in waits, not read from a clock: a laptop that slept asks once more and is told that it is too late.
  for (let waitedMs = 0; waitedMs <= login.expires_in_seconds * 1_000; waitedMs += intervalMs) {
    await wait(intervalMs);
    const { session } = await client.call("oidcDevicePoll", { body: { handle: login.handle } }).catch(unlessPassing);
    if (session !== null) return session;
  }
  throw new AiravataError("oidc_login_expired", "the code was not entered in time; run the command again");
}

function unlessPassing(error: unknown): { session: null } {
  const isPassing = error instanceof ApiError ? error.status === 429 || error.status >= 500 : isAway(error);
  if (isPassing) return { session: null };
  throw error;
}

function isAway(error: unknown): boolean {
  return error instanceof AiravataError && error.code === "server_unreachable";
}
