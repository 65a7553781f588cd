/** TLS to a SpiceDB server whose certificate an operator's own authority signed. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import type { AuthorizationEngine } from "../../../coordinator/domain/access/ports.ts";
import { openEngine, question, SCHEMA, touch } from "../../support/authorization.ts";
import { type Spicedb, startSpicedb } from "../../support/servers/spicedb.ts";
import { needs } from "../../support/services.ts";

const KEY = "the key";
const directory = mkdtempSync(join(tmpdir(), "airavata-tls-"));
let server: Spicedb | undefined;

before(async () => {
  if (needs("spicedb") || needs("openssl")) return;
  for (const name of ["server", "stranger"]) makeCertificate(name);
  const tls = ["--grpc-tls-cert-path", path("server.crt"), "--grpc-tls-key-path", path("server.key")];
  server = await startSpicedb({ store: "memory", key: KEY, words: tls });
});
after(async () => {
  await server?.stop();
  rmSync(directory, { recursive: true, force: true });
});

test("a server is spoken to by TLS when its authority is named", {
  skip: needs("spicedb") || needs("openssl"),
}, async (t) => {
  const engine = open(t, path("server.crt"));
  await engine.prepare(SCHEMA);
  const revision = await engine.apply(touch("project:1#viewer@user:1"));
  assert.deepEqual(await engine.check([question("project:1#view@user:1")], revision), [true]);
});

test("a certificate of somebody else's is not trusted", { skip: needs("spicedb") || needs("openssl") }, async (t) => {
  await assert.rejects(open(t, path("stranger.crt")).prepare(SCHEMA), { code: "authorization_unavailable" });
});

test("plaintext gets no answer from a server that speaks TLS", {
  skip: needs("spicedb") || needs("openssl"),
}, async (t) => {
  await assert.rejects(open(t).prepare(SCHEMA), { code: "authorization_unavailable" });
});

function open(t: TestContext, caFile?: string): AuthorizationEngine {
  const engine = openEngine({ endpoint: server?.endpoint as string, key: KEY, ...(caFile && { caFile }) });
  t.after(() => engine.close());
  return engine;
}

function path(name: string): string {
  return join(directory, name);
}

function makeCertificate(name: string): void {
  const subject = ["-subj", `/CN=${name}`, "-addext", "subjectAltName=IP:127.0.0.1"];
  const files = ["-keyout", path(`${name}.key`), "-out", path(`${name}.crt`)];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  execFileSync("openssl", ["req", "-x509", ...kind, ...subject, ...files], { stdio: "pipe" });
}
