/** Two coordinators that listen with TLS: what one sends on to the other, whom it believes, and what a stranger gets. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { WebSocket } from "ws";
import { EVENTS_SUBPROTOCOL, TICKET_SUBPROTOCOL_PREFIX } from "../../../shared/api/event.ts";
import { agentDirectory, removeAgentDirectory, startAgent } from "../../support/agent.ts";
import { Authority, type CertificateFiles, trustInThisProcess } from "../../support/certificates.ts";
import { startTestCoordinator, type TestCoordinator } from "../../support/coordinator.ts";
import { needs } from "../../support/services.ts";

const skip = needs("openssl");
const SPEC = "tasks: { a: { command: 'echo {n}', task_inputs: { n: 1..5 } } }";

interface Pair {
  authority: Authority;
  leader: TestCoordinator;
  replica: TestCoordinator;
}

type Files = CertificateFiles & { caFile?: string };

async function pair(
  t: TestContext,
  choose: (authority: Authority) => { leader: Files; replica: Files },
): Promise<Pair> {
  const authority = new Authority(t);
  trustInThisProcess(authority);
  const files = choose(authority);
  const edge = ({ cert, key, caFile }: Files) => ({ tlsCert: cert, tlsKey: key, caFile });
  const leader = await startTestCoordinator(t, { edge: edge(files.leader) });
  const replica = await startTestCoordinator(t, { beside: leader, leading: false, edge: edge(files.replica) });
  return { authority, leader, replica };
}

test("who shows our own certificate is one of us, though it names no address", { skip }, async (t) => {
  const { authority, leader, replica } = await pair(t, (made) => {
    const shared = made.server("DNS:localhost");
    return { leader: shared, replica: shared };
  });
  const at = { ...replica, url: replica.url.replace("127.0.0.1", "localhost") };
  const directory = await agentDirectory();
  const post = (path: string, body: unknown = {}): Promise<Record<string, unknown>> =>
    fetch(`${at.url}/api/v1${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${replica.token}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    }).then((answer) => answer.json() as Promise<Record<string, unknown>>);
  const { token } = await post("/enrolment-tokens");
  const enrolmentToken = token as string;
  const agent = await startAgent(at.url, directory, { enrolmentToken, tls: { caFile: authority.file } });
  t.after(async () => {
    await agent.stop();
    await removeAgentDirectory(directory);
  });
  const { id } = await post("/experiments", { spec: SPEC });
  const { ticket } = await post("/events/ticket");
  const url = `${at.url.replace("https", "wss")}/api/v1/events`;
  const socket = new WebSocket(url, [EVENTS_SUBPROTOCOL, `${TICKET_SUBPROTOCOL_PREFIX}${ticket}`], {
    ca: authority.pem,
  });
  socket.on("open", () => socket.send(JSON.stringify({ type: "subscribe", experiments: [id] })));
  const ended = new Promise<void>((resolve) => {
    socket.on("message", (data) => {
      const { type, experiments } = JSON.parse(String(data)) as { type: string; experiments?: { state: string }[] };
      if (type === "experiment.ended" || experiments?.some(({ state }) => state === "COMPLETED")) resolve();
    });
  });
  await ended;
  socket.terminate();
  const metrics = await fetch(`${at.url}/metrics`).then((answer) => answer.text());
  for (const line of [
    /^scheduler_leading 0$/m,
    /^scheduler_dispatch_forwarded_sockets [1-9]/m,
    /^scheduler_dispatch_tls_certificate_expiry_seconds 1\d{5}$/m,
  ]) {
    assert.ok(line.test(metrics), String(line));
  }
  // Used up, though another coordinator took it.
  const again = new WebSocket(url, [EVENTS_SUBPROTOCOL, `${TICKET_SUBPROTOCOL_PREFIX}${ticket}`], {
    ca: authority.pem,
  });
  const [, refusal] = await once(again, "unexpected-response");
  assert.equal(refusal.statusCode, 401);
  assert.ok(leader.url.startsWith("https"));
});

test("who is certified for its address by the operator's authority is one of us", { skip }, async (t) => {
  const { replica } = await pair(t, (made) => ({
    leader: made.server("IP:127.0.0.1"),
    replica: { ...made.server("IP:127.0.0.1"), caFile: made.file },
  }));
  const { id } = await replica.client.call("submitExperiment", { body: { spec: SPEC } });
  assert.equal((await replica.client.call("getExperiment", { params: { experiment: id } })).tasks.queued, 5);
});

test("a certificate that is neither is not spoken to", { skip }, async (t) => {
  for (const leaderNames of ["IP:127.0.0.1", "DNS:elsewhere"]) {
    const { replica } = await pair(t, (made) => ({
      leader: made.server(leaderNames),
      // In the second round the authority is known, and the address is not in the certificate.
      replica: { ...made.server(), ...(leaderNames.startsWith("DNS") ? { caFile: made.file } : {}) },
    }));
    await assert.rejects(replica.client.call("submitExperiment", { body: { spec: SPEC } }), {
      status: 503,
      code: "not_leading",
    });
  }
});

test("not a byte goes to a stranger that took the dispatcher's address", { skip }, async (t) => {
  const authority = new Authority(t);
  trustInThisProcess(authority);
  const stranger = new Authority(t, "Stranger").server();
  const seen: string[] = [];
  const server: Server = createServer({ cert: readFileSync(stranger.cert), key: readFileSync(stranger.key) });
  server.on("connection", () => seen.push("connected"));
  server.on("secureConnection", (socket) => {
    socket.on("error", () => {});
    socket.on("data", (data) => seen.push(String(data)));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const files = authority.server();
  const edge = { tlsCert: files.cert, tlsKey: files.key, caFile: authority.file };
  const leader = await startTestCoordinator(t, { edge, internalAddress: `127.0.0.1:${port}` });
  const replica = await startTestCoordinator(t, { beside: leader, leading: false, edge });
  await assert.rejects(replica.client.call("listAgents", {}), { status: 503, code: "not_leading" });
  assert.ok(seen.length > 0);
  assert.deepEqual(new Set(seen), new Set(["connected"]));
});
