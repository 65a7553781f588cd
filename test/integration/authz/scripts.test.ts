/** The guide's two targets: the schema is uploaded to a server, and means what it must. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { openEngine } from "../../support/authorization.ts";
import { startSpicedb } from "../../support/servers/spicedb.ts";
import { needs } from "../../support/services.ts";

const SCHEMA = readFileSync(new URL("../../../db/spicedb_schema.zed", import.meta.url), "utf8");

test("the schema means what its validation says", async () => {
  const { code, said } = await run("validate", []);
  assert.equal(code, 0, said);
  assert.match(said, /^\d{2,} assertions hold, 0 do not\.\n$/);
});

test("each expectation that does not hold is named", async (t) => {
  const { code, said } = await run("validate", [
    validation(t, SCHEMA, {
      isTrue: ["project:1#view@user:2", "project:1#view@user:3"],
      isFalse: ["project:1#manage@user:2"],
    }),
  ]);
  assert.equal(code, 1);
  assert.match(said, /1 assertions hold, 2 do not/);
  assert.match(said, /project:1#view@user:3 is false and must be true\n/);
  assert.match(said, /project:1#manage@user:2 is true and must be false\n/);
});

test("a schema that SpiceDB cannot read is refused with the place", async (t) => {
  const { code, said } = await run("validate", [validation(t, "definition user {", { isTrue: [], isFalse: [] })]);
  assert.equal(code, 1);
  assert.match(said, /refuses the schema: parse error in `schema`, line \d+/);
});

test("the schema is uploaded once, and the coordinator finds it", { skip: needs("spicedb") }, async (t) => {
  const server = await startSpicedb({ store: "testing" });
  t.after(() => server.stop());
  const key = randomUUID();
  const env = { SPICEDB_ENDPOINT: server.endpoint, SPICEDB_TOKEN: key, SPICEDB_INSECURE: "true" };
  const first = await run("upload", [], env);
  assert.equal(first.code, 0, first.said);
  assert.match(first.said, /wrote the authorization schema/);
  const second = await run("upload", [], env);
  assert.equal(second.code, 0, second.said);
  assert.doesNotMatch(second.said, /wrote/);
  assert.ok(!first.said.includes(key));
  const engine = openEngine({ endpoint: server.endpoint, key });
  t.after(() => engine.close());
  assert.equal(await engine.prepare(SCHEMA), true);
});

test("an upload to nowhere says what to set", async () => {
  const nowhere = await run("upload", []);
  assert.equal(nowhere.code, 1);
  assert.match(nowhere.said, /^SPICEDB_ENDPOINT is not set: name the server/);
  const keyless = await run("upload", ["--spicedb-endpoint", "localhost:50051"]);
  assert.equal(keyless.code, 1);
  assert.match(keyless.said, /SPICEDB_TOKEN is not/);
});

async function run(script: string, words: string[], env: NodeJS.ProcessEnv = {}) {
  const path = fileURLToPath(new URL(`../../../scripts/spicedb/${script}.ts`, import.meta.url));
  const child = spawn(process.execPath, [path, ...words], { env: { ...process.env, ...env } });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (said += text));
  const [code] = await once(child, "close");
  return { code, said };
}

/** In which user 2 owns project 1. */
function validation(
  t: TestContext,
  schema: string,
  { isTrue, isFalse }: { isTrue: string[]; isFalse: string[] },
): string {
  const directory = mkdtempSync(join(tmpdir(), "airavata-validation-"));
  t.after(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, "schema.zed"), schema);
  const path = join(directory, "validation.yaml");
  const assertions = { assertTrue: isTrue, assertFalse: isFalse };
  // JSON is YAML.
  writeFileSync(
    path,
    JSON.stringify({ schemaFile: "./schema.zed", relationships: "project:1#owner@user:2", assertions }),
  );
  return path;
}
