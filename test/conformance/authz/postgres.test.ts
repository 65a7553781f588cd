import { after } from "node:test";
import type { AuthorizationEngine } from "../../../coordinator/domain/access/ports.ts";
import { openEngine } from "../../support/authorization.ts";
import { type Spicedb, startSpicedb } from "../../support/servers/spicedb.ts";
import { needs } from "../../support/services.ts";
import { authorizationSuite } from "./suite.ts";

let server: Promise<Spicedb> | undefined;
after(async () => (await server)?.stop());

const others = new Map<AuthorizationEngine, AuthorizationEngine>();

authorizationSuite("server on PostgreSQL", {
  skip: needs("spicedb"),
  open: async (t) => {
    server ??= startSpicedb({ store: "postgres" });
    const { endpoint, key } = await server;

    const engine = openEngine({ endpoint, key });
    const other = openEngine({ endpoint, key });
    others.set(engine, other);
    t.after(() => Promise.all([engine.close(), other.close()]));
    return engine;
  },
  other: (engine) => others.get(engine) ?? engine,
});
