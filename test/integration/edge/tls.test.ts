/** A coordinator that speaks TLS: REST, sockets, the command line and real agents; and what each says when it cannot. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { createClient } from "../../../shared/api/client.ts";
import { agentDirectory, removeAgentDirectory, startAgent as start } from "../../support/agent.ts";
import { Authority, type CertificateFiles, trustInThisProcess } from "../../support/certificates.ts";
import { RunningCli } from "../../support/cli.ts";
import { startTestCoordinator, type TestCoordinator } from "../../support/coordinator.ts";
import { needs } from "../../support/services.ts";

const skip = needs("openssl");
const SPEC = "tasks: { a: { command: 'echo {n}', task_inputs: { n: 1..5 } } }";

interface Secure {
  at: TestCoordinator;
  authority: Authority;
  files: CertificateFiles;
}

async function secure(t: TestContext): Promise<Secure> {
  const authority = new Authority(t);
  const files = authority.server();
  trustInThisProcess(authority);
  const at = await startTestCoordinator(t, { edge: { tlsCert: files.cert, tlsKey: files.key } });
  return { at, authority, files };
}

async function agent(t: TestContext, at: TestCoordinator, more: object = {}): ReturnType<typeof start> {
  const directory = await agentDirectory();
  const { token } = await at.client.call("createEnrolmentToken", {});
  const running = await start(at.url, directory, { enrolmentToken: token, ...more });
  t.after(async () => {
    await running.stop();
    await removeAgentDirectory(directory);
  });
  return running;
}

test("an agent and the command line run an experiment over TLS, with the operator's authority", { skip }, async (t) => {
  const { at, authority } = await secure(t);
  assert.match(at.url, /^https:/);
  await agent(t, at, { tls: { caFile: authority.file } });
  const { id } = await at.client.call("submitExperiment", { body: { spec: SPEC } });
  const env = { AIRAVATA_SERVER: at.url, AIRAVATA_TOKEN: at.token, AIRAVATA_CA_FILE: authority.file };
  const cli = new RunningCli(["experiment", "watch", String(id), "--json"], { env });
  const { code, stdout, stderr } = await cli.end();
  assert.equal(code, 0, stderr);
  assert.match(stdout, /COMPLETED/);
  // Only the WebSocket tells that.
  assert.match(stdout, /"snapshot"/);
});

test("who does not trust the certificate says so, and what mends it", { skip }, async (t) => {
  const { at } = await secure(t);
  const env = { AIRAVATA_SERVER: at.url, AIRAVATA_TOKEN: at.token };
  const untrusting = await new RunningCli(["experiment", "list"], { env }).end();
  assert.equal(untrusting.code, 3);
  assert.match(untrusting.stderr, /signed by nobody that is trusted here: name its authority by AIRAVATA_CA_FILE/);
  const blind = { ...env, NODE_TLS_REJECT_UNAUTHORIZED: "0" };
  const refused = await new RunningCli(["experiment", "list"], { env: blind }).end();
  assert.equal(refused.code, 3);
  assert.match(refused.stderr, /NODE_TLS_REJECT_UNAUTHORIZED switches off/);

  const other = new Authority(t, "Another");
  await assert.rejects(agent(t, at, { tls: { caFile: other.file } }), {
    code: "certificate_not_trusted",
    message: /name its authority by AIRAVATA_CA_FILE/,
  });
  await assert.rejects(agent(t, at, { env: { NODE_TLS_REJECT_UNAUTHORIZED: "0" } }), {
    code: "setting_invalid",
    message: /^NODE_TLS_REJECT_UNAUTHORIZED switches off/,
  });
});

test("other names, an end that is past, and no TLS at all are told apart", { skip }, async (t) => {
  const { authority } = await secure(t);
  const plain = await startTestCoordinator(t);
  const mistaken = plain.url.replace("http:", "https:");
  const elsewhere = authority.server("DNS:elsewhere.example");
  const named = await startTestCoordinator(t, { edge: { tlsCert: elsewhere.cert, tlsKey: elsewhere.key } });
  const over = authority.expired();
  const past = await startTestCoordinator(t, { edge: { tlsCert: over.cert, tlsKey: over.key } });
  const cases: [string, RegExp][] = [
    [mistaken, /it speaks no TLS there: is it http:\/\/\?/],
    [named.url, /its certificate is for other names than this one/],
    [past.url, /its certificate has expired/],
  ];
  for (const [server, message] of cases) {
    const refused = { code: "certificate_not_trusted", message };
    await assert.rejects(createClient({ server, token: plain.token }).call("listAgents", {}), refused);
    await assert.rejects(agent(t, { ...plain, url: server }, { tls: { caFile: authority.file } }), refused);
  }
});
