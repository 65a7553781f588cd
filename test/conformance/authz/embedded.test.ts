import { after } from "node:test";
import { openEngine } from "../../support/authorization.ts";
import { authorizationSuite } from "./suite.ts";

const engine = openEngine();
after(() => engine.close());

authorizationSuite("embedded", { open: async () => engine, other: () => engine });
