/** What stands before a request: HTTPS that is demanded, proxies that are believed, pages of other origins, and limits. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { WebSocket } from "ws";
import { createEdge } from "../../../coordinator/api/edge/edge.ts";
import { createClient } from "../../../shared/api/client.ts";
import { EVENTS_SUBPROTOCOL, TICKET_SUBPROTOCOL_PREFIX } from "../../../shared/api/event.ts";
import { silentLogger } from "../../../shared/log/log.ts";
import { Authority, trustInThisProcess } from "../../support/certificates.ts";
import { startTestCoordinator, type TestCoordinator, type TestCoordinatorOptions } from "../../support/coordinator.ts";
import { Recorder } from "../../support/recorder.ts";
import { needs } from "../../support/services.ts";

const skip = needs("openssl");
const PORTAL = "https://portal.example.org";

function start(t: TestContext, edge: TestCoordinatorOptions["edge"]): Promise<TestCoordinator> {
  return startTestCoordinator(t, { edge });
}

function ask(
  at: TestCoordinator,
  path: string,
  headers: Record<string, string> = {},
  method = "GET",
): Promise<Response> {
  return fetch(`${at.url}/api/v1${path}`, { method, headers: { authorization: `Bearer ${at.token}`, ...headers } });
}

async function code(answer: Response): Promise<string> {
  return ((await answer.json()) as { code: string }).code;
}

test("HTTPS that is demanded: by our own listener", { skip }, async (t) => {
  const authority = new Authority(t);
  trustInThisProcess(authority);
  const { cert, key } = authority.server();
  const at = await start(t, { tlsCert: cert, tlsKey: key, requireHttps: true });
  const answer = await ask(at, "/agents");
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("strict-transport-security"), "max-age=31536000");
  // Nothing else is spoken there.
  await assert.rejects(fetch(`${at.url.replace("https", "http")}/api/v1/health`));
});

test("HTTPS that is demanded: by a proxy that is trusted", async (t) => {
  const at = await start(t, { requireHttps: true, trustedProxies: ["127.0.0.1"] });
  const proxied = { "x-forwarded-for": "192.0.2.7" };
  const secure = await ask(at, "/agents", { ...proxied, "x-forwarded-proto": "https" });
  assert.equal(secure.status, 200);
  assert.equal(secure.headers.get("strict-transport-security"), "max-age=31536000");
  for (const headers of [proxied, { ...proxied, "x-forwarded-proto": "http" }, {}]) {
    const refused = await ask(at, "/agents", headers);
    assert.equal(refused.status, 403);
    assert.equal(refused.headers.get("strict-transport-security"), null);
    assert.equal(await code(refused), "https_required");
  }
  // Health on this machine may stay plain, figures need a token where a proxy could have asked for somebody else.
  assert.equal((await ask(at, "/health")).status, 200);
  const figures = await fetch(`${at.url}/metrics`, { headers: { "x-forwarded-proto": "https" } });
  assert.equal(figures.status, 401);
  const socket = new WebSocket(`${at.url.replace("http", "ws")}/api/v1/agent/session`);
  const [, response] = await once(socket, "unexpected-response");
  assert.equal(response.statusCode, 403);
});

test("a stranger who says that he came by HTTPS is not believed; health on this machine may stay plain", async (t) => {
  const at = await start(t, { requireHttps: true, trustedProxies: ["192.0.2.1"] });
  const refused = await ask(at, "/agents", { "x-forwarded-for": "192.0.2.7", "x-forwarded-proto": "https" });
  assert.equal(await code(refused), "https_required");
  assert.equal((await ask(at, "/health")).status, 200);
  assert.equal((await ask(at, "/health/ready")).status, 200);
  assert.equal((await ask(at, "/health", { "x-forwarded-for": "192.0.2.7" })).status, 403);
});

test("settings that contradict each other are refused", async () => {
  const cases: [Parameters<typeof createEdge>[0], RegExp][] = [
    [{ requireHttps: true }, /nothing ends TLS/],
    [{ tlsCert: "x" }, /AIRAVATA_TLS_CERT is set without AIRAVATA_TLS_KEY/],
    [{ tlsKey: "x" }, /AIRAVATA_TLS_KEY is set without AIRAVATA_TLS_CERT/],
    [{ agentCaFile: "x" }, /which only a listener with TLS can/],
    [{ caFile: "/nonexistent" }, /AIRAVATA_CA_FILE\) names \/nonexistent/],
  ];
  for (const [settings, message] of cases) {
    await assert.rejects(createEdge(settings, { log: silentLogger }), { code: "setting_invalid", message });
  }
});

test("pages of other origins: closed, but for those that are listed", async (t) => {
  const at = await start(t, { corsOrigins: [PORTAL] });
  const preflight = { "access-control-request-method": "POST", "access-control-request-headers": "authorization" };
  const allowed = await fetch(`${at.url}/api/v1/experiments`, {
    method: "OPTIONS",
    headers: { origin: PORTAL, ...preflight },
  });
  assert.equal(allowed.status, 204);
  assert.equal(allowed.headers.get("access-control-allow-origin"), PORTAL);
  assert.equal(allowed.headers.get("access-control-allow-credentials"), null);
  const answer = await ask(at, "/agents", { origin: PORTAL });
  assert.equal(answer.headers.get("access-control-allow-origin"), PORTAL);
  assert.match(answer.headers.get("access-control-expose-headers") ?? "", /etag/);
  // A page must be able to read why it was refused.
  const refused = await fetch(`${at.url}/api/v1/agents`, { headers: { origin: PORTAL } });
  assert.deepEqual([refused.status, refused.headers.get("access-control-allow-origin")], [401, PORTAL]);

  for (const origin of ["https://evil.example", "null", `${PORTAL}:8443`]) {
    const url = `${at.url}/api/v1/experiments`;
    const closed = await fetch(url, { method: "OPTIONS", headers: { origin, ...preflight } });
    assert.equal(closed.status, 403, origin);
    assert.equal(closed.headers.get("access-control-allow-origin"), null);
    assert.equal(await code(closed), "origin_refused");
    assert.equal((await ask(at, "/agents", { origin })).headers.get("access-control-allow-origin"), null);
  }
  const plain = await start(t, {});
  assert.equal((await ask(plain, "/agents", { origin: PORTAL })).headers.get("access-control-allow-origin"), null);
  assert.equal(
    (await ask(plain, "/agents", { origin: PORTAL })).headers.get("cross-origin-resource-policy"),
    "same-origin",
  );
});

function open(at: TestCoordinator, protocols: string[], origin?: string): Promise<number | "open"> {
  const url = `${at.url.replace("http", "ws")}/api/v1/events`;
  const socket = new WebSocket(url, protocols, origin === undefined ? {} : { origin });
  return new Promise((resolve) => {
    socket.once("unexpected-response", (_request, response) => {
      socket.terminate();
      resolve(response.statusCode ?? 0);
    });
    socket.once("open", () => {
      assert.equal(socket.protocol, EVENTS_SUBPROTOCOL);
      socket.terminate();
      resolve("open");
    });
    socket.on("error", () => {});
  });
}

test("a page opens its socket by a ticket: once, of its origin, never by a URL", async (t) => {
  const at = await start(t, { corsOrigins: [PORTAL] });
  const ticket = async (): Promise<string[]> => {
    const answer = await at.client.call("createEventsTicket", {});
    assert.equal(answer.expires_in_seconds, 30);
    return [EVENTS_SUBPROTOCOL, TICKET_SUBPROTOCOL_PREFIX + answer.ticket];
  };
  assert.equal((await fetch(`${at.url}/api/v1/events/ticket`, { method: "POST" })).status, 401);
  const first = await ticket();
  assert.equal(await open(at, first, PORTAL), "open");
  assert.equal(await open(at, first, PORTAL), 401);
  assert.equal(await open(at, await ticket()), "open");
  assert.equal(await open(at, await ticket(), "https://evil.example"), 403);
  assert.equal(await open(at, [EVENTS_SUBPROTOCOL, `${TICKET_SUBPROTOCOL_PREFIX}x`]), 401);
  assert.equal(await open(at, [EVENTS_SUBPROTOCOL]), 401);
  // It opens a socket of events and nothing else.
  const [, offered = ""] = await ticket();
  const bearer = { authorization: `Bearer ${offered.slice(TICKET_SUBPROTOCOL_PREFIX.length)}` };
  assert.equal((await fetch(`${at.url}/api/v1/agents`, { headers: bearer })).status, 401);
});

test("who asks too often waits as he is told, and the client does so by itself", async (t) => {
  const at = await start(t, { rateLimit: true, requestsPerMinute: 60, trustedProxies: ["127.0.0.1"] });
  const from = (address: string): Record<string, string> => ({ "x-forwarded-for": address });
  for (let i = 0; i < 60; i++) assert.equal((await ask(at, "/user", from("192.0.2.7"))).status, 200);
  const refused = await ask(at, "/user", from("192.0.2.7"));
  assert.equal(refused.status, 429);
  assert.equal(refused.headers.get("retry-after"), "1");
  const problem = (await refused.json()) as { code: string; detail: string };
  assert.equal(problem.code, "too_many_requests");
  assert.match(problem.detail, /you sent more than 60 requests a minute/);
  // The user, wherever he asks from; others at that address may go on.
  assert.equal((await ask(at, "/user", from("192.0.2.8"))).status, 429);
  assert.equal((await fetch(`${at.url}/api/v1/health`, { headers: from("192.0.2.7") })).status, 200);
  let tries = 0;
  const patient = createClient({
    server: at.url,
    token: at.token,
    fetch: (url, init) => {
      tries++;
      return fetch(url, { ...init, headers: { ...(init?.headers as Record<string, string>), ...from("192.0.2.9") } });
    },
  });
  assert.equal((await patient.call("currentUser", {})).name, "operator");
  assert.ok(tries > 1, `${tries} tries`);
});

test("an address is counted before anybody is known, its agents apart, and WebSockets too", async (t) => {
  const at = await start(t, { rateLimit: true, requestsPerMinute: 10, trustedProxies: ["127.0.0.1"] });
  const from = { "x-forwarded-for": "2001:db8:1:2::7" };
  for (let i = 0; i < 50; i++) {
    const answer = await fetch(`${at.url}/api/v1/agents`, { headers: { ...from, authorization: "Bearer guess" } });
    assert.equal(answer.status, 401);
  }
  const health = (address: string) => fetch(`${at.url}/api/v1/health`, { headers: { "x-forwarded-for": address } });
  const refused = await health("2001:db8:1:2:ffff::9");
  assert.equal(refused.status, 429);
  assert.match(((await refused.json()) as { detail: string }).detail, /the address 2001:db8:1:2::\/64/);
  assert.equal((await health("2001:db8:1:3::7")).status, 200);
  const socket = (path: string): WebSocket =>
    new WebSocket(`${at.url.replace("http", "ws")}/api/v1/${path}`, { headers: from });
  const watcher = socket("events");
  const [, answer] = await once(watcher, "unexpected-response");
  assert.deepEqual([answer.statusCode, Number(answer.headers["retry-after"]) > 0], [429, true]);
  const agent = socket("agent/session");
  await once(agent, "open");
  agent.terminate();
});

test("a word of another coordinator that does not hold counts as a client's", async (t) => {
  const at = await start(t, { rateLimit: true, requestsPerMinute: 10, trustedProxies: ["127.0.0.1"] });
  const headers = { "x-forwarded-for": "192.0.2.7", "airavata-forwarded": "junk" };
  const statuses: number[] = [];
  for (let i = 0; i < 51; i++) statuses.push((await ask(at, "/agents", headers)).status);
  assert.deepEqual(statuses, [...Array(50).fill(403), 429]);
  const socket = new WebSocket(`${at.url.replace("http", "ws")}/api/v1/events`, { headers });
  const [, answer] = await once(socket, "unexpected-response");
  assert.equal(answer.statusCode, 429);
});

test("the operator on this machine is not counted, and what is forwarded only where it came in", async (t) => {
  const edge = { rateLimit: true, requestsPerMinute: 10 };
  const recorder = await Recorder.listen();
  const leader = await startTestCoordinator(t, { edge, internalAddress: recorder.address });
  leader.defer(() => recorder.close());
  recorder.target = leader.url;
  for (let i = 0; i < 30; i++) assert.equal((await ask(leader, "/user")).status, 200);
  const trusting = { ...edge, requestsPerMinute: 1_000, trustedProxies: ["127.0.0.1"] };
  const replica = await startTestCoordinator(t, { edge: trusting, beside: leader, leading: false });
  const sent = recorder.requests.length;
  const from = { "x-forwarded-for": "192.0.2.7" };
  for (let i = 0; i < 60; i++) assert.equal((await ask(replica, "/agents", from)).status, 200);
  assert.equal(recorder.requests.length, sent + 60);
  // The same user, straight at the leader and through a proxy that it does not know.
  const statuses = [];
  for (let i = 0; i < 11; i++) statuses.push((await ask(leader, "/agents", from)).status);
  assert.deepEqual(statuses, [...Array(10).fill(200), 429]);
});
