/**
 * The authorization engine that the settings name: the SpiceDB server at SPICEDB_ENDPOINT, or SpiceDB's own engine in a
 * thread of this process. Both are asked by the same client, so what holds for one holds for the other.
 */

import type { Logger } from "../../shared/log/log.ts";
import type { AuthorizationEngine } from "../domain/access/ports.ts";
import { startEmbedded } from "./embedded/embedded.ts";
import { connectServer, type ServerSettings } from "./server.ts";
import { createSpicedbEngine } from "./spicedb.ts";

export interface EngineOptions {
  log: Logger;
  /**
   * The embedded engine died and an empty one stands in its place: called before that one can be asked. Until its owner
   * has loaded it anew, its answers are those of an empty engine.
   */
  onForgotten(): void;
}

/**
 * Returns at once; nothing has to answer yet. Throws `authorization_misconfigured` when the settings contradict each
 * other, are incomplete, or name a file that cannot be read.
 */
export function createAuthorizationEngine(settings: ServerSettings, options: EngineOptions): AuthorizationEngine {
  const server = connectServer(settings, options.log);
  return createSpicedbEngine(server ?? startEmbedded(options), options.log);
}
