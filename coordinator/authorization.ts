/** Authorization put together: the engine that the settings name, fed from the table of relationships, asked through one control. */
import { readFileSync } from "node:fs";
import type { Logger } from "../shared/log/log.ts";
import { createAuthorizationEngine } from "./authz/engine.ts";
import type { Reconciler } from "./background/reconcilers.ts";
import { relationshipsReconcilers } from "./background/relationships.ts";
import type { AccessControl } from "./domain/access/access.ts";
import { createAccessControl } from "./domain/access/control.ts";
import { Feed } from "./domain/access/feed.ts";
import type { CoordinatorSettings } from "./settings.ts";
import type { RelationshipStore } from "./store/relationships.ts";

export type AuthorizationSettings = Pick<
  CoordinatorSettings,
  "spicedbEndpoint" | "spicedbToken" | "spicedbInsecure" | "spicedbCaFile"
>;

export interface Authorization {
  access: AccessControl;
  reconcilers: Reconciler[];
  /** To be called when this process leads. */
  led(): void;
  close(): Promise<void>;
}

const SCHEMA = new URL("../db/spicedb_schema.zed", import.meta.url);

/** Loads at once and in the background; what is asked before it is done is refused. Throws `authorization_misconfigured`. */
export function startAuthorization(options: {
  settings: Partial<AuthorizationSettings>;
  relationships: RelationshipStore;
  /** The term that this process leads. */
  leads(): number | undefined;
  log: Logger;
}): Authorization {
  const { relationships, leads, log } = options;
  const settings = { ...EMBEDDED, ...options.settings };
  const engine = createAuthorizationEngine(settings, { log, onForgotten: () => feed.forgotten() });
  const schema = readFileSync(SCHEMA, "utf8");
  const feed = new Feed({ engine, name: settings.spicedbEndpoint ?? "embedded", relationships, schema, leads, log });
  feed.prepare();
  return {
    access: createAccessControl(engine, feed),
    reconcilers: relationshipsReconcilers({ relationships, feed }),
    led: () => feed.led(),
    close: async () => {
      await feed.close();
      await engine.close();
    },
  };
}

const EMBEDDED: AuthorizationSettings = {
  spicedbEndpoint: undefined,
  spicedbToken: undefined,
  spicedbInsecure: false,
  spicedbCaFile: undefined,
};
