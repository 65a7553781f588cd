/**
 * The way from settings to a server: the configured one, else the live embedded stack of the data directory. The token of
 * a local stack is found in its data directory, so that on one machine nobody has to log in.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Client, createClient } from "../../shared/api/client.ts";
import { AiravataError } from "../../shared/error/error.ts";
import type { Connection } from "./invocation.ts";
import { loggedInClient } from "./login/client.ts";
import { Credentials } from "./login/credentials.ts";
import { type ClientSettings, configuredToken } from "./settings.ts";
import { findStack } from "./stack.ts";
import { trustFor } from "./trust.ts";

/** Throws `server_not_configured` when nothing is configured and no stack lives in the data directory. */
export async function connect(settings: ClientSettings): Promise<Connection> {
  const connection = (await connectConfigured(settings)) ?? (await connectLocal(settings));
  if (connection !== undefined) return connection;
  throw new AiravataError(
    "server_not_configured",
    `No server is configured and no stack runs in ${settings.dataDir}: set AIRAVATA_SERVER (or --server), or start one with "airavata up".`,
  );
}

/** The server that flag, environment or file name; undefined when none does. */
export async function connectConfigured(settings: ClientSettings): Promise<Connection | undefined> {
  const { server } = settings.values;
  if (server === undefined) return undefined;
  if (!/^https?:\/\/[^/\s]+/.test(server)) {
    throw new AiravataError(
      "setting_invalid",
      `The server is "${server}" but must be a URL like https://host:8080 (it comes from ${serverOrigin(settings)}).`,
    );
  }
  trustFor(server, settings.values.caFile, settings.environment);
  const token = configuredToken(settings);
  if (token !== undefined) return { client: createClient({ server, token }), localDataDir: undefined };
  // The URL of the stack of this very data directory: its token is at hand.
  const stack = await findStack(settings.dataDir);
  const fallback = stack && sameOrigin(stack.url, server) ? await localToken(settings.dataDir) : undefined;
  return { client: await loginClient(settings, server, fallback), localDataDir: undefined };
}

/** Where a person finds the address to mend it. */
function serverOrigin({ origin, configPath }: ClientSettings): string {
  return origin.server === "file" ? configPath : origin.server === "flag" ? "--server" : "AIRAVATA_SERVER";
}

/** The live stack of the data directory; undefined when there is none. */
async function connectLocal(settings: ClientSettings): Promise<Connection | undefined> {
  const stack = await findStack(settings.dataDir);
  if (stack === undefined) return undefined;
  return localConnection(settings, stack.url);
}

/** A connection to the stack at `url` that lives in the data directory. */
export async function localConnection(settings: ClientSettings, url: string): Promise<Connection> {
  // A token that was set for it by hand is taken; one for another server is not.
  const stated = settings.origin.token === "file" ? undefined : settings.values.token;
  const client =
    stated === undefined
      ? await loginClient(settings, url, await localToken(settings.dataDir))
      : createClient({ server: url, token: stated });
  return { client, localDataDir: settings.dataDir };
}

/** With the login at that server; without one, with the token of the stack on this machine. */
async function loginClient(
  { credentialsPath }: ClientSettings,
  server: string,
  fallback: string | undefined,
): Promise<Client> {
  const credentials = new Credentials(credentialsPath);
  return loggedInClient({ server, credentials, login: await credentials.find(server), fallback });
}

async function localToken(dataDir: string): Promise<string | undefined> {
  try {
    return (await readFile(join(dataDir, "token"), "utf8")).trim();
  } catch {
    // Not ours to read: the server's answer says that a token is needed.
    return undefined;
  }
}

function sameOrigin(a: string, b: string): boolean {
  try {
    return new URL(a).origin === new URL(b).origin;
  } catch {
    return false;
  }
}
