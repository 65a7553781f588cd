/** What the settings of a SpiceDB server can have wrong is said before anything is asked. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createAuthorizationEngine } from "../../../coordinator/authz/engine.ts";
import { type AiravataError, errorLine } from "../../../shared/error/error.ts";
import { createLogger, silentLogger } from "../../../shared/log/log.ts";

const NOTHING = {
  spicedbEndpoint: undefined,
  spicedbToken: undefined,
  spicedbInsecure: false,
  spicedbCaFile: undefined,
};
const options = { log: silentLogger, onForgotten: () => {} };

const WRONG: [what: string, settings: Partial<Record<keyof typeof NOTHING, unknown>>, sentence: RegExp][] = [
  [
    "an endpoint without a key",
    { spicedbEndpoint: "localhost:50051" },
    /SPICEDB_TOKEN is not: set it to the preshared key/,
  ],
  ["a key without an endpoint", { spicedbToken: "k" }, /SPICEDB_ENDPOINT is not: set it to HOST:PORT/],
  ["plaintext to nobody", { spicedbInsecure: true }, /SPICEDB_ENDPOINT is not/],
  ["a URL", { spicedbEndpoint: "http://localhost:50051", spicedbToken: "k" }, /must be HOST:PORT/],
  ["no port", { spicedbEndpoint: "localhost", spicedbToken: "k" }, /must be HOST:PORT/],
  [
    "a CA that is not there",
    { spicedbEndpoint: "localhost:50051", spicedbToken: "k", spicedbCaFile: "/nonexistent/ca.pem" },
    /SPICEDB_CA_FILE \/nonexistent\/ca.pem cannot be read/,
  ],
];

for (const [what, settings, sentence] of WRONG) {
  test(`${what} is refused`, () => {
    const create = () => createAuthorizationEngine({ ...NOTHING, ...settings } as typeof NOTHING, options);
    assert.throws(create, (error: AiravataError) => {
      assert.equal(error.code, "authorization_misconfigured");
      assert.match(errorLine(error), sentence);
      return true;
    });
  });
}

for (const endpoint of ["spicedb.example.org:50051", "10.1.2.3:50051", "[2001:db8::1]:50051"]) {
  test(`plaintext to ${endpoint} is told to whoever reads the log`, async () => {
    const lines: string[] = [];
    const log = createLogger({ level: "info", format: "text", write: (line) => void lines.push(line) });
    const settings = { ...NOTHING, spicedbEndpoint: endpoint, spicedbToken: "k", spicedbInsecure: true } as never;
    await createAuthorizationEngine(settings, { ...options, log }).close();
    assert.match(lines.join(""), /in clear/);
  });
}
