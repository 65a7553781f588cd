/**
 * Every route of the OpenAPI document, asked by everybody, against the table in matrix/table.ts. A route that the table
 * does not have fails; `AIRAVATA_MATRIX=print` prints what was answered as such a table.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { WebSocket } from "ws";
import { BEARER_SUBPROTOCOL_PREFIX, EVENTS_SUBPROTOCOL } from "../../../shared/api/event.ts";
import type { Route, RouteId } from "../../../shared/api/routes.ts";
import { routes } from "../../../shared/api/routes.ts";
import { AgentPeer, helloOf } from "../../support/agent-peer.ts";
import { startTestCoordinator, type TestCoordinator } from "../../support/coordinator.ts";
import { CALLERS, type CallerName, freshToken, makeCallers, PEOPLE, type Person } from "./matrix/callers.ts";
import { type Asked, makeStage, REQUESTS, type Stage } from "./matrix/requests.ts";
import { EXPECTED } from "./matrix/table.ts";

interface Document {
  paths: Record<string, Record<string, { operationId: RouteId; "x-permission": string }>>;
}

test("every route answers each caller as the table says", { timeout: 300_000 }, async (t) => {
  const at = await startTestCoordinator(t);
  const callers = await makeCallers(at);
  const stage = await makeStage(at, callers);
  const document = (await (await at.client.open("openapi", {})).json()) as Document;
  const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods));
  const printed: string[] = [];
  const wrong: string[] = [];
  for (const { operationId: id, "x-permission": permission } of operations) {
    assert.ok(permission, `${id} says which permission it needs`);
    const found: string[] = [];
    for (const caller of CALLERS) found.push(await outcomeOf(at, stage, id, caller));
    printed.push([id.padEnd(24), ...found.map((word) => word.padEnd(4))].join(" ").trimEnd());
    const expected = EXPECTED.get(id);
    CALLERS.forEach((caller, i) => {
      if (expected?.[i] !== found[i]) wrong.push(`${id}, asked by ${caller}: ${found[i]}, not ${expected?.[i]}`);
    });
  }
  if (process.env.AIRAVATA_MATRIX === "print") console.log(printed.join("\n"));
  assert.deepEqual(wrong, []);
  assert.deepEqual([...EXPECTED.keys()].sort(), operations.map(({ operationId }) => operationId).sort());
});

async function outcomeOf(at: TestCoordinator, stage: Stage, id: RouteId, caller: CallerName): Promise<string> {
  if (id === "agentSession") return session(at, stage, caller);
  const token = await tokenOf(at, stage, id, caller);
  if (id === "events") return upgrade(at, token);
  const asked = await REQUESTS[id](stage);
  const response = await fetch(at.url + urlOf(routes[id], asked), {
    method: routes[id].method,
    redirect: "manual",
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(asked.body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(asked.body === undefined ? {} : { body: JSON.stringify(asked.body) }),
  });
  const text = await response.text();
  if (response.ok) return "yes";
  const { code, detail } = JSON.parse(text) as { code: string; detail: string };
  assert.ok(
    response.status !== 500 && code !== "authorization_unavailable",
    `${id} by ${caller}: ${response.status} ${detail}`,
  );
  assert.ok(!["request_invalid", "body_invalid"].includes(code), `${id} is asked what it does not take: ${detail}`);
  if (code === "unauthorized") return "401";
  if (code === "forbidden" || code === "scope_missing") return "403";
  if (response.status === 404 && detail.includes("or you may not see it")) return "404";
  // It was let in, and refused for what it asked.
  return "yes";
}

/** Logging out ends the login: each has one for that. */
async function tokenOf(at: TestCoordinator, { callers }: Stage, id: RouteId, caller: CallerName) {
  const isPerson = (PEOPLE as readonly string[]).includes(caller);
  if (id === "logOut" && isPerson) return freshToken(at, callers.people[caller as Person]);
  return callers.tokens[caller];
}

function urlOf(route: Route, { params = {}, query = {} }: Asked): string {
  const path = route.path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = String(params[name]);
    return name === "path" ? value : encodeURIComponent(value);
  });
  return `${path}?${new URLSearchParams(query)}`;
}

function upgrade(at: TestCoordinator, token: string | undefined): Promise<string> {
  const protocols = [EVENTS_SUBPROTOCOL, ...(token === undefined ? [] : [BEARER_SUBPROTOCOL_PREFIX + token])];
  const socket = new WebSocket(`${at.url.replace("http", "ws")}${routes.events.path}`, protocols);
  return new Promise((resolve, reject) => {
    socket.once("open", () => {
      socket.terminate();
      resolve("yes");
    });
    socket.once("unexpected-response", (_request, response) => resolve(String(response.statusCode)));
    socket.once("error", reject);
  });
}

/** Whether a session is opened: an agent proves its key, everybody else has none and says hello with another one. */
async function session(at: TestCoordinator, { callers }: Stage, caller: CallerName): Promise<string> {
  const { agents } = callers;
  const own = caller === "agent" || caller === "foreign" || caller === "revoked" ? agents[caller] : undefined;
  const peer = new AgentPeer(at.url);
  const challenge = await peer.next("challenge");
  peer.send(helloOf(own ?? { ...agents.agent, privatePem: agents.revoked.privatePem }, challenge));
  const welcome = await Promise.race([
    peer.next("welcome").then(
      () => true,
      () => false,
    ),
    new Promise<boolean>((resolve) => peer.socket.once("close", () => resolve(false))),
  ]);
  peer.socket.terminate();
  return welcome ? "yes" : "401";
}

test("a submitter decides about what he submitted, and no more once he may not submit", async (t) => {
  const at = await startTestCoordinator(t);
  const { people } = await makeCallers(at);
  const { client } = people.submitter;
  const spec = { project: "lab", tasks: { a: { argv: ["/bin/true"] } } };
  const { id: experiment } = await client.call("submitExperiment", { body: { spec } });
  await client.call("pauseExperiment", { params: { experiment }, body: {} });
  await at.client.call("setProjectMember", { params: { project: "lab" }, body: { user: "submitter", role: "viewer" } });
  const resume = client.call("resumeExperiment", { params: { experiment }, body: {} });
  await assert.rejects(resume, { status: 403, code: "forbidden" });
  await people.operator.client.call("resumeExperiment", { params: { experiment }, body: {} });
});
