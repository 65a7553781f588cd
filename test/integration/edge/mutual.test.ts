/** Certificates of agents: the right one, another one, none; and everybody else, who needs none. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { WebSocket } from "ws";
import { createLogger } from "../../../shared/log/log.ts";
import { agentDirectory, removeAgentDirectory, startAgent } from "../../support/agent.ts";
import { until } from "../../support/agent-peer.ts";
import { Authority, type CertificateFiles, trustInThisProcess } from "../../support/certificates.ts";
import { startTestCoordinator, type TestCoordinator } from "../../support/coordinator.ts";
import { needs } from "../../support/services.ts";

const skip = needs("openssl");

interface Mutual {
  at: TestCoordinator;
  authority: Authority;
  agents: Authority;
}

async function mutual(t: TestContext): Promise<Mutual> {
  const authority = new Authority(t);
  const agents = new Authority(t, "Agents' Authority");
  trustInThisProcess(authority);
  const { cert, key } = authority.server();
  const at = await startTestCoordinator(t, { edge: { tlsCert: cert, tlsKey: key, agentCaFile: agents.file } });
  return { at, authority, agents };
}

/** What a session is answered with when it is opened with these. */
async function refusal({ at, authority }: Mutual, files?: CertificateFiles): Promise<string> {
  const shown = files && { cert: readFileSync(files.cert), key: readFileSync(files.key) };
  const url = `${at.url.replace("https", "wss")}/api/v1/agent/session`;
  const socket = new WebSocket(url, { ca: authority.pem, ...shown });
  const [, response] = (await once(socket, "unexpected-response")) as [
    unknown,
    NodeJS.ReadableStream & { statusCode: number },
  ];
  let body = "";
  for await (const chunk of response) body += String(chunk);
  const { code, detail } = JSON.parse(body) as { code: string; detail: string };
  assert.deepEqual([response.statusCode, code], [403, "client_certificate_required"]);
  return detail;
}

test("an agent with a certificate of the right authority works; a renewed one needs no restart", {
  skip,
}, async (t) => {
  const all = await mutual(t);
  const { at, authority, agents } = all;
  const { token } = await at.client.call("createEnrolmentToken", {});
  const directory = await agentDirectory();
  const files = agents.agent();
  const tls = { caFile: authority.file, clientCert: files.cert, clientKey: files.key };
  const agent = await startAgent(at.url, directory, { enrolmentToken: token, tls });
  t.after(async () => {
    await agent.stop();
    await removeAgentDirectory(directory);
  });
  const { id } = await at.client.call("submitExperiment", { body: { spec: "tasks: { a: { command: 'true' } }" } });
  const state = () => at.client.call("getExperiment", { params: { experiment: id } }).then((found) => found.state);
  await until(async () => (await state()) === "COMPLETED", "the end of the experiment", 30_000);

  // The authority is replaced, and with it what the agent has on its disk.
  const next = new Authority(t, "Agents' Next Authority");
  const renewed = next.agent();
  copyFileSync(next.file, join(agents.directory, "ca.crt"));
  assert.equal(await at.coordinator.reload(), true);
  assert.match(await refusal(all, files), /CN=agent-1 is not accepted/);
  copyFileSync(renewed.cert, files.cert);
  copyFileSync(renewed.key, files.key);
  await at.restart();
  const again = await at.client.call("submitExperiment", { body: { spec: "tasks: { a: { command: 'true' } }" } });
  const ended = () => at.client.call("getExperiment", { params: { experiment: again.id } });
  await until(async () => (await ended()).state === "COMPLETED", "the agent to come back", 40_000);
});

test("none, or one of another authority, is told what is missing; people need none", { skip }, async (t) => {
  const all = await mutual(t);
  assert.match(await refusal(all), /none was shown; set AIRAVATA_CLIENT_CERT and AIRAVATA_CLIENT_KEY/);
  const foreign = new Authority(t, "Foreign").agent("mallory");
  assert.match(await refusal(all, foreign), /CN=mallory is not accepted \(UNABLE_TO_VERIFY_LEAF_SIGNATURE\)/);
  // Signed by the right one, and made for servers.
  assert.match(await refusal(all, all.agents.server()), /is not accepted/);
  assert.equal((await all.at.client.call("health", {})).status, "ok");
  assert.equal((await all.at.client.call("listAgents", {})).items.length, 0);
});

test("the agent says why it has no session, and refuses half of a pair", { skip }, async (t) => {
  const { at, authority, agents } = await mutual(t);
  const { token } = await at.client.call("createEnrolmentToken", {});
  const directory = await agentDirectory();
  t.after(() => removeAgentDirectory(directory));
  const lines: string[] = [];
  const log = createLogger({ level: "debug", format: "text", write: (line) => void lines.push(line) });
  const agent = await startAgent(at.url, directory, { enrolmentToken: token, tls: { caFile: authority.file }, log });
  await until(
    () => lines.some((line) => /agents must show a certificate here: none was shown/.test(line)),
    "the reason",
  );
  await agent.stop();
  const { cert, key } = agents.agent();
  const other = agents.agent("other");
  const cases: [object, RegExp][] = [
    [{ clientCert: cert }, /AIRAVATA_CLIENT_CERT is set without AIRAVATA_CLIENT_KEY/],
    [{ clientKey: key }, /AIRAVATA_CLIENT_KEY is set without AIRAVATA_CLIENT_CERT/],
    [{ clientCert: cert, clientKey: other.key }, /does not belong to the certificate/],
    [{ clientCert: key, clientKey: key }, /must hold a certificate and its private key/],
    [{ clientCert: cert, clientKey: "/nonexistent" }, /AIRAVATA_CLIENT_KEY names \/nonexistent, which cannot be read/],
    [{ caFile: key }, /AIRAVATA_CA_FILE names .* which holds no certificate/],
  ];
  for (const [tls, message] of cases) {
    const started = startAgent(at.url, directory, { tls: { caFile: authority.file, ...tls } });
    await assert.rejects(started, { code: "setting_invalid", message });
  }
});
