/**
 * The authorization engine that the settings name: the SpiceDB server at SPICEDB_ENDPOINT, or SpiceDB's own engine in a
 * thread of this process. Both are asked by the same client, so what holds for one holds for the other.
 */

import type { AuthorizationEngine } from "../domain/access/ports.ts";
import { createEmbeddedEngine } from "./embedded/engine.ts";
import type { EngineOptions } from "./link.ts";
import { connectServer, type ServerSettings } from "./server.ts";
import { createServerEngine } from "./spicedb.ts";

/**
 * Returns at once; nothing has to answer yet. Throws `authorization_misconfigured` when the settings contradict each
 * other, are incomplete, or name a file that cannot be read.
 */
export function createAuthorizationEngine(settings: ServerSettings, options: EngineOptions): AuthorizationEngine {
  const server = connectServer(settings, options.log);
  return server ? createServerEngine(server, options) : createEmbeddedEngine(options);
}
