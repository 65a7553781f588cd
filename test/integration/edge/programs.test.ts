/** The programs as a site runs them: enrolment, an agent with its own certificate, an update of it; all by settings. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fetchProgram } from "../../../agent/update/download.ts";
import { agentDirectory, removeAgentDirectory } from "../../support/agent.ts";
import { until } from "../../support/agent-peer.ts";
import { Authority, trustInThisProcess } from "../../support/certificates.ts";
import { RunningCli } from "../../support/cli.ts";
import { startTestCoordinator } from "../../support/coordinator.ts";
import { needs } from "../../support/services.ts";

const skip = needs("openssl");

test("an agent enrols and works by its settings, over TLS and with a certificate", { skip }, async (t) => {
  const authority = new Authority(t);
  const agents = new Authority(t, "Agents' Authority");
  trustInThisProcess(authority);
  const { cert, key } = authority.server();
  const at = await startTestCoordinator(t, { edge: { tlsCert: cert, tlsKey: key, agentCaFile: agents.file } });
  const directory = await agentDirectory();
  t.after(() => removeAgentDirectory(directory));
  const { token } = await at.client.call("createEnrolmentToken", {});
  const own = agents.agent();
  const place = ["--api-url", at.url, "--output-dir", directory, "--ca-file", authority.file];
  const enrolled = await new RunningCli(["enrol", ...place, "--token", token]).end();
  assert.equal(enrolled.code, 0, enrolled.stderr);
  const env = { API_URL: at.url, OUTPUT_DIR: directory, AIRAVATA_CA_FILE: authority.file };
  const shown = { AIRAVATA_CLIENT_CERT: own.cert, AIRAVATA_CLIENT_KEY: own.key };
  const agent = new RunningCli(["agent"], { env: { ...env, ...shown } });
  t.after(() => agent.kill());
  const { id } = await at.client.call("submitExperiment", { body: { spec: "tasks: { a: { command: 'true' } }" } });
  const state = () => at.client.call("getExperiment", { params: { experiment: id } }).then((found) => found.state);
  await until(async () => (await state()) === "COMPLETED", "the end of the experiment", 60_000);
  agent.child.kill("SIGTERM");
  assert.equal((await agent.end()).code, 0);

  const blind = new RunningCli(["agent"], { env: { ...env, NODE_TLS_REJECT_UNAUTHORIZED: "0" } });
  const { code, stderr } = await blind.end();
  assert.equal(code, 3);
  assert.match(stderr, /NODE_TLS_REJECT_UNAUTHORIZED switches off/);
});

test("a program is fetched from a server that the operator's authority certifies, and from no other", {
  skip,
}, async (t) => {
  const authority = new Authority(t);
  const { cert, key } = authority.server();
  const program = Buffer.from("#!/bin/sh\necho 9.9.9\n");
  let asked = 0;
  const server = createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (_request, response) => {
    asked++;
    response.end(program);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const directory = mkdtempSync(join(tmpdir(), "airavata-fetch-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const fetch = (caFile: string, signal = new AbortController().signal): Promise<void> =>
    fetchProgram({
      apiUrl: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
      path: "/program",
      env: {},
      tls: { caFile },
      target: join(directory, "program"),
      version: "9.9.9",
      sizeBytes: program.length,
      sha256: createHash("sha256").update(program).digest("hex"),
      signal,
      progress() {},
    });
  // It would come again with growing pauses: the first refusal is enough here.
  const stop = new AbortController();
  server.once("tlsClientError", () => stop.abort(new Error("refused")));
  await assert.rejects(fetch(new Authority(t, "Foreign").file, stop.signal), { name: "AbortError" });
  assert.equal(asked, 0);
  await fetch(authority.file);
  assert.deepEqual(readFileSync(join(directory, "program")), program);
});
