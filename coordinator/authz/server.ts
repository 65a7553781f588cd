/**
 * The way to a SpiceDB server: TLS unless SPICEDB_INSECURE says plaintext, the token with every call, and a new
 * connection where the old one no longer answers.
 */
import { readFileSync } from "node:fs";
import { v1 } from "@authzed/authzed-node";
import { AiravataError } from "../../shared/error/error.ts";
import type { Logger } from "../../shared/log/log.ts";
import type { Link, SpicedbClient } from "./link.ts";

/** Named as the coordinator's settings are. */
export interface ServerSettings {
  spicedbEndpoint: string | undefined;
  spicedbToken: string | undefined;
  spicedbInsecure: boolean;
  spicedbCaFile: string | undefined;
}

/** A server that is away is looked for this often at least: gRPC's own back-off would grow to two minutes. */
const RECONNECT_MS_MAX = 1_000;
const RECONNECT_MS_FIRST = 100;

export const CLIENT_OPTIONS = {
  "grpc.initial_reconnect_backoff_ms": RECONNECT_MS_FIRST,
  "grpc.max_reconnect_backoff_ms": RECONNECT_MS_MAX,
  // A new client is a new connection: by default clients share them, also one that is dead.
  "grpc.use_local_subchannel_pool": 1,
};

/** Nothing when no endpoint is set. Connects when it is first asked. */
export function connectServer(settings: ServerSettings, log: Logger): Link | undefined {
  const { spicedbEndpoint: endpoint, spicedbToken: token, spicedbInsecure: insecure } = settings;
  if (endpoint === undefined) {
    refuseStray(settings);
    return undefined;
  }
  if (!/^(\[[\da-fA-F:.]+\]|[\w.-]+):\d{1,5}$/.test(endpoint)) {
    throw misconfigured(`SPICEDB_ENDPOINT is "${endpoint}" and must be HOST:PORT, for example localhost:50051`);
  }
  if (token === undefined) {
    throw misconfigured(
      `SPICEDB_ENDPOINT is set (${endpoint}) and SPICEDB_TOKEN is not: set it to the preshared key that the server was started with, or name a file that holds it with --spicedb-token-file`,
    );
  }
  const authority = insecure ? undefined : readAuthority(settings.spicedbCaFile);
  if (insecure && !isLoopback(endpoint)) {
    log.warn("SPICEDB_INSECURE: the SpiceDB token and all answers cross the network in clear", { endpoint });
  }
  const open = (): SpicedbClient => {
    const none = 0; // Preconnects nothing.
    if (authority) return v1.NewClientWithCustomCert(token, endpoint, authority, none, CLIENT_OPTIONS);
    const { INSECURE_PLAINTEXT_CREDENTIALS, SECURE } = v1.ClientSecurity;
    return v1.NewClient(token, endpoint, insecure ? INSECURE_PLAINTEXT_CREDENTIALS : SECURE, none, CLIENT_OPTIONS);
  };
  let client: SpicedbClient | undefined;
  let closed = false;
  return {
    where: `SpiceDB at ${endpoint}`,
    client: async () => {
      if (closed) throw new AiravataError("authorization_unavailable", `SpiceDB at ${endpoint} is not asked any more`);
      client ??= open();
      return client;
    },
    distrust: (old) => {
      if (client !== old) return;
      // Other calls on it run to their own ends; the next one dials anew.
      client = undefined;
      old.close();
    },
    close: async () => {
      closed = true;
      client?.close();
    },
  };
}

/** A setting of a server without a server would be ignored in silence. */
function refuseStray({ spicedbToken, spicedbInsecure, spicedbCaFile }: ServerSettings): void {
  if (spicedbToken === undefined && !spicedbInsecure && spicedbCaFile === undefined) return;
  throw misconfigured(
    "settings of a SpiceDB server are given (SPICEDB_TOKEN, SPICEDB_INSECURE or SPICEDB_CA_FILE) and SPICEDB_ENDPOINT is not: set it to HOST:PORT, or unset them for the embedded engine",
  );
}

function readAuthority(path: string | undefined): Buffer | undefined {
  if (path === undefined) return undefined;
  try {
    return readFileSync(path);
  } catch (error) {
    throw misconfigured(`SPICEDB_CA_FILE ${path} cannot be read`, error);
  }
}

function isLoopback(endpoint: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|\[::1\]):/.test(endpoint);
}

function misconfigured(sentence: string, cause?: unknown): AiravataError {
  return new AiravataError("authorization_misconfigured", sentence, { cause });
}
