/**
 * Requests at a coordinator that does not lead: what it answers itself, what it sends on and how it is stated, and what
 * becomes of those that the dispatcher never answers. And statements that are not genuine, at either end.
 */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { WebSocket } from "ws";
import { createIdentity } from "../../../coordinator/domain/forward/identity.ts";
import { StatementWriter } from "../../../coordinator/domain/forward/statement.ts";
import { createStore } from "../../../coordinator/store/store.ts";
import { parseDatabaseUrl } from "../../../db/address.ts";
import { openConnection } from "../../../db/connection.ts";
import { ApiError } from "../../../shared/api/client.ts";
import { BEARER_SUBPROTOCOL_PREFIX, EVENTS_SUBPROTOCOL } from "../../../shared/api/event.ts";
import type { Problem } from "../../../shared/api/problem.ts";
import { OPERATOR_ACTOR } from "../../../shared/model/ids.ts";
import { connectAgent, endGroup, enrolTestAgent, until } from "../../support/agent-peer.ts";
import { startTestCoordinator, type TestCoordinator } from "../../support/coordinator.ts";
import { Recorder } from "../../support/recorder.ts";

const SPEC = "tasks: { a: { command: 'echo {n}', task_inputs: { n: 1..5 } } }";
const FORWARDED = "airavata-forwarded";

interface Pair {
  leader: TestCoordinator;
  replica: TestCoordinator;
  recorder: Recorder;
}

/** Two coordinators; what the second one sends on passes the recorder. */
async function pair(t: TestContext, replicaToken?: string): Promise<Pair> {
  const recorder = await Recorder.listen();
  const leader = await startTestCoordinator(t, { internalAddress: recorder.address });
  leader.defer(() => recorder.close());
  recorder.target = leader.url;
  const replica = await startTestCoordinator(t, { beside: leader, leading: false, token: replicaToken });
  return { leader, replica, recorder };
}

function state(at: TestCoordinator, experiment: number): Promise<string> {
  return at.client.call("getExperiment", { params: { experiment } }).then((detail) => detail.state);
}

test("a replica answers for itself and for what has ended, and sends on the rest", async (t) => {
  const { leader, replica, recorder } = await pair(t);
  const { id } = await replica.client.call("submitExperiment", { body: { spec: SPEC } });
  const over = await replica.client.call("submitExperiment", { body: { spec: SPEC } });
  await replica.client.call("cancelExperiment", { params: { experiment: over.id } });
  assert.equal((await replica.client.call("getExperiment", { params: { experiment: id } })).tasks.queued, 5);
  assert.equal((await replica.client.call("healthReady", {})).status, "ok");
  assert.equal((await replica.client.call("health", {})).leading, false);
  assert.equal((await leader.client.call("health", {})).leading, true);
  const sent = recorder.requests.length;
  assert.equal(sent, 5);

  assert.equal(await state(replica, over.id), "CANCELED");
  const tasks = await replica.client.call("listTasks", { params: { experiment: over.id } });
  assert.deepEqual(new Set(tasks.items.map((task) => task.state)), new Set(["CANCELED"]));
  await replica.client.call("explainTask", { params: { task: `${over.id}.a.0` } });
  await replica.client.call("experimentTimeline", { params: { experiment: over.id } });
  await replica.client.call("listExperiments", { query: { state: "CANCELED" } });
  await replica.client.call("currentUser", {});
  await replica.client.call("listEnrolmentTokens", {});
  assert.match(await (await replica.client.open("metrics", {})).text(), /^scheduler_leading 0$/m);
  await (await replica.client.open("openapi", {})).text();
  assert.equal((await fetch(`${replica.url}/nothing`, { headers: bearer(replica) })).status, 404);
  assert.equal(recorder.requests.length, sent);

  await replica.client.call("listExperiments", {});
  await replica.client.call("listAgents", {});
  assert.equal(recorder.requests.length, sent + 2);
  await leader.coordinator.stop();
  await replica.coordinator.leading;
  assert.equal((await replica.client.call("getExperiment", { params: { experiment: id } })).tasks.queued, 5);
  assert.equal(recorder.requests.length, sent + 2);
});

test("what is stated: who asks, from where, under which id; never the client's token", async (t) => {
  const { leader, replica, recorder } = await pair(t, "aop_another-token-0123456789");
  const body = JSON.stringify({ spec: SPEC });
  const headers = {
    ...bearer(replica),
    "content-type": "application/json",
    "idempotency-key": "k1",
    "x-forwarded-for": "192.0.2.7",
    cookie: "session=secret",
  };
  const answer = await fetch(`${replica.url}/api/v1/experiments`, { method: "POST", headers, body });
  assert.equal(answer.status, 201);
  assert.match(answer.headers.get("location") ?? "", /experiments\/\d+$/);
  const [sent] = recorder.requests;
  assert.ok(sent);
  const [version, , , , actor, request, client] = String(sent.headers[FORWARDED]).split(" ");
  assert.deepEqual([version, actor, client], ["1", String(OPERATOR_ACTOR), "127.0.0.1"]);
  assert.equal(request, answer.headers.get("x-request-id"));
  assert.equal(sent.headers.host, new URL(replica.url).host);
  assert.equal(sent.headers["x-forwarded-for"], "192.0.2.7");
  assert.equal(sent.headers["idempotency-key"], "k1");
  assert.doesNotMatch(JSON.stringify(sent.headers), /aop_|secret/);
  const again = await fetch(`${replica.url}/api/v1/experiments`, { method: "POST", headers, body });
  assert.equal(again.status, 200);
  assert.equal(again.headers.get("idempotency-replayed"), "true");

  // Each of the two admits its own token only, before anything is sent on.
  const before = recorder.requests.length;
  for (const authorization of ["Bearer wrong", `Bearer ${leader.token}`, ""]) {
    const refused = await fetch(`${replica.url}/api/v1/agents`, { headers: { authorization } });
    assert.equal(refused.status, 401);
  }
  assert.equal(recorder.requests.length, before);
});

test("a request that the dispatcher does not get, or never answers, is a 503 in time", async (t) => {
  const { replica, recorder } = await pair(t);
  const { id } = await replica.client.call("submitExperiment", { body: { spec: SPEC } });
  recorder.handle = (incoming) => incoming.socket.destroy();
  const lost = await fetch(`${replica.url}/api/v1/experiments`, {
    method: "POST",
    headers: { ...bearer(replica), "content-type": "application/json" },
    body: JSON.stringify({ spec: SPEC }),
  });
  const problem = (await lost.json()) as Problem;
  assert.deepEqual([lost.status, problem.code, lost.headers.get("retry-after")], [503, "not_leading", "1"]);
  assert.match(problem.detail, /may have happened/);

  // An answer that breaks off breaks off here too, and does not look whole.
  recorder.handle = (_incoming, answer) => {
    answer.writeHead(200, { "content-type": "application/json", "content-length": "100" });
    answer.write("{", () => answer.destroy());
  };
  const broken = await fetch(`${replica.url}/api/v1/agents`, { headers: bearer(replica) });
  assert.equal(broken.status, 200);
  await assert.rejects(broken.text());

  recorder.close();
  const began = performance.now();
  await assert.rejects(replica.client.call("getExperiment", { params: { experiment: id } }), isNotLeading);
  const tookMs = performance.now() - began;
  t.diagnostic(`nobody at the internal address: 503 after ${Math.round(tookMs)} ms`);
  assert.ok(tookMs < 2_500, `${tookMs} ms`);
});

test("what hangs on a dispatcher that says nothing ends with its term", async (t) => {
  const { leader, replica, recorder } = await pair(t);
  recorder.handle = () => {};
  const hanging = replica.client.call("listAgents", {});
  hanging.catch(() => {});
  await until(() => recorder.requests.length === 1, "the request to be sent on");
  await leader.coordinator.stop();
  await assert.rejects(hanging, isNotLeading);
  await replica.coordinator.leading;
  await replica.client.call("listAgents", {});
});

test("only a genuine statement is believed, once, for what it was made for, and by the dispatcher alone", async (t) => {
  const { leader, replica, recorder } = await pair(t);
  await replica.client.call("listAgents", {});
  const genuine = String(recorder.requests[0]?.headers[FORWARDED]);
  const ask = async (at: TestCoordinator, statement: string, path = "/api/v1/agents", method = "GET") => {
    const answer = await fetch(at.url + path, { method, headers: { [FORWARDED]: statement } });
    return [answer.status, ((await answer.json()) as Partial<Problem>).code];
  };
  const refused = [403, "forward_refused"];
  assert.deepEqual(await ask(leader, genuine), refused);
  const words = genuine.split(" ");
  const changed = (at: number, word: string): string => words.with(at, word).join(" ");
  for (const statement of [
    "",
    "1",
    changed(0, "2"),
    changed(2, "0".repeat(32)),
    changed(3, "999"),
    changed(4, "0"),
    changed(5, crypto.randomUUID()),
    changed(6, "192.0.2.1"),
    changed(7, "A".repeat(43)),
    `${genuine}, ${genuine}`,
  ]) {
    assert.deepEqual(await ask(leader, statement), refused, statement);
  }
  // A term that is over, or one that this process does not lead: one hop only.
  assert.deepEqual(await ask(leader, changed(1, "7")), [503, "not_leading"]);
  assert.deepEqual(await ask(replica, genuine), [503, "not_leading"]);
  assert.deepEqual(await ask(replica, "anything"), refused);

  // Caught before it arrived: good for its method and URL only, and then once.
  recorder.handle = (_incoming, answer) => answer.writeHead(204).end();
  await (await fetch(`${replica.url}/api/v1/agents`, { headers: bearer(replica) })).text();
  const fresh = String(recorder.requests.at(-1)?.headers[FORWARDED]);
  assert.deepEqual(await ask(leader, fresh, "/api/v1/agents?limit=1"), refused);
  assert.deepEqual(await ask(leader, fresh, "/api/v1/agents/1/drain", "POST"), refused);
  assert.equal((await ask(leader, fresh))[0], 200);
  assert.deepEqual(await ask(leader, fresh), refused);
});

test("who reads the database cannot forge a statement, and a stranger's key opens nothing", async (t) => {
  const { leader } = await pair(t);
  const store = createStore(leader.databaseUrl);
  leader.defer(() => store.close());
  const row = await store.leader(0);
  assert.ok(row?.coordinator);
  const stranger = createIdentity();
  const secret = stranger.secretWith(row.coordinator, row.term, "to");
  const sealed = { method: "GET", url: "/api/v1/agents" };
  const statement = () => {
    const request = crypto.randomUUID();
    const said = { actor: OPERATOR_ACTOR, client: "127.0.0.1", request, via: "operator_token", scopes: null };
    return new StatementWriter(stranger.id).write({ term: row.term, secret }, said, sealed);
  };
  const ask = () => fetch(leader.url + sealed.url, { headers: { [FORWARDED]: statement() } });
  assert.equal((await ask()).status, 403);
  // What makes a coordinator one is that it may write here.
  await store.coordinators.announce(stranger);
  assert.equal((await ask()).status, 200);
});

test("an older program that takes over names no key, and nothing is sent on to it", async (t) => {
  const { leader, replica } = await pair(t);
  await replica.client.call("listAgents", {});
  const store = createStore(leader.databaseUrl);
  leader.defer(() => store.close());
  assert.ok((await store.leader(0))?.coordinator);
  // It knows the columns of its day.
  await sql(leader, "update leadership set term = term + 1, holder = 'old', address = 'old:1'");
  assert.equal((await store.leader(0))?.coordinator, null);
  const refused = () => replica.client.call("listAgents", {}).then(() => false, isNotLeading);
  await until(refused, "the replica to see it");
});

test("a WebSocket's token stays here, its other protocols and its address go on", async (t) => {
  const { replica, recorder } = await pair(t);
  const url = `${replica.url.replace(/^http/, "ws")}/api/v1/events`;
  const socket = new WebSocket(url, [EVENTS_SUBPROTOCOL, `${BEARER_SUBPROTOCOL_PREFIX}${replica.token}`]);
  socket.on("open", () => socket.send(JSON.stringify({ type: "subscribe" })));
  const first = await new Promise((resolve) => socket.once("message", (data) => resolve(JSON.parse(String(data)))));
  assert.equal((first as { type: string }).type, "subscribed");
  assert.equal(socket.protocol, EVENTS_SUBPROTOCOL);
  const sent = recorder.requests.at(-1);
  assert.equal(sent?.headers["sec-websocket-protocol"], EVENTS_SUBPROTOCOL);
  assert.doesNotMatch(JSON.stringify(sent?.headers), /aop_/);
  socket.terminate();
  const unproven = new WebSocket(url, [EVENTS_SUBPROTOCOL]);
  const status = await new Promise((resolve) =>
    unproven.once("unexpected-response", (_request, response) => resolve(response.statusCode)),
  );
  assert.equal(status, 401);
  assert.equal(recorder.requests.at(-1), sent);
});

test("agents at either coordinator, and tasks that end anew after a retry are seen at both", async (t) => {
  const { leader, replica } = await pair(t);
  let exitCode = 1;
  for (const [at, name] of [
    [leader, "near"],
    [replica, "far"],
  ] as const) {
    const peer = await connectAgent(at, await enrolTestAgent(replica, name));
    peer.on((message) => {
      if (message.type === "leases") for (const group of message.groups) endGroup(peer, group, exitCode);
    });
    peer.send({ type: "free", ahead: 0, lastsMs: null, draining: false });
  }
  const { id } = await replica.client.call("submitExperiment", { body: { spec: SPEC } });
  const taskStates = async (at: TestCoordinator) => {
    const { items } = await at.client.call("listTasks", { params: { experiment: id } });
    return [...new Set(items.map((task) => task.state))];
  };
  await ended(replica, id, "FAILED");
  assert.deepEqual(await taskStates(replica), ["FAILED"]);
  const agents = await replica.client.call("listAgents", {});
  assert.deepEqual(
    agents.items.map((agent) => agent.state),
    ["READY", "READY"],
  );
  exitCode = 0;
  await replica.client.call("retryExperiment", { params: { experiment: id } });
  await ended(replica, id, "COMPLETED");
  assert.deepEqual(await taskStates(replica), ["COMPLETED"]);
  assert.deepEqual(await taskStates(leader), ["COMPLETED"]);
});

test("a large body is refused before it is sent on, a slow one is streamed", async (t) => {
  const { replica, recorder } = await pair(t);
  const large = await fetch(`${replica.url}/api/v1/experiments`, {
    method: "POST",
    headers: { ...bearer(replica), "content-type": "application/json" },
    body: "x".repeat(9 * 1024 * 1024),
  }).then(
    async (answer) => [answer.status, ((await answer.json()) as Problem).code],
    // The socket may be gone before all of it was sent.
    () => [413, "body_too_large"],
  );
  assert.deepEqual(large, [413, "body_too_large"]);
  assert.equal(recorder.requests.length, 0);
  const text = JSON.stringify({ spec: SPEC });
  const parts = [text.slice(0, 10), text.slice(10)];
  const body = new ReadableStream({
    async pull(controller) {
      const part = parts.shift();
      if (part === undefined) return controller.close();
      controller.enqueue(Buffer.from(part));
      // The first part arrives while the second one is still here.
      if (parts.length > 0) await until(() => recorder.requests.length === 1, "the head to arrive");
    },
  });
  const headers = { ...bearer(replica), "content-type": "application/json" };
  const request = { method: "POST", headers, body, duplex: "half" } as RequestInit;
  assert.equal((await fetch(`${replica.url}/api/v1/experiments`, request)).status, 201);
  assert.equal(recorder.requests[0]?.headers["transfer-encoding"], "chunked");
});

/** Noted as ended, so that the history knows. */
async function ended(at: TestCoordinator, experiment: number, as: string): Promise<void> {
  await until(async () => {
    const detail = await at.client.call("getExperiment", { params: { experiment } });
    return detail.ended_at !== null && detail.state === as;
  }, `the experiment to end as ${as}`);
}

async function sql(at: TestCoordinator, text: string) {
  const connection = await openConnection(parseDatabaseUrl(at.databaseUrl), { name: "test" });
  try {
    return await connection.query(text, 5_000);
  } finally {
    await connection.end();
  }
}

function bearer({ token }: TestCoordinator): { authorization: string } {
  return { authorization: `Bearer ${token}` };
}

function isNotLeading(error: unknown): boolean {
  return error instanceof ApiError && error.code === "not_leading" && error.retryAfterSeconds === 1;
}
