/**
 * Every route of the table stands in the OpenAPI document, is closed without a token unless the table says it is open,
 * and answers as its schema says: each answer is checked, and an answer with a field too many fails.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { z } from "zod";
import { ACCESS } from "../../../shared/api/access.ts";
import { Problem } from "../../../shared/api/problem.ts";
import { API_PREFIX, type Route, type RouteId, routes } from "../../../shared/api/routes.ts";
import { CATALOGUE } from "../../../shared/error/catalogue.ts";
import { askAccounts } from "../../support/account-answers.ts";
import {
  completeEverything,
  connectAgent,
  endGroup,
  enrolTestAgent,
  rotationOf,
  until,
} from "../../support/agent-peer.ts";
import { publish } from "../../support/agent-release.ts";
import { startTestCoordinator, type TestCoordinator } from "../../support/coordinator.ts";
import { askCredentialRoutes } from "../../support/credential.ts";

const TABLE = Object.entries<Route>(routes) as [RouteId, Route][];

const REGISTRIES = [
  ["compute", "Compute", "slurm", { host: "login.example.org" }],
  ["storage", "Storage", "s3", { bucket: "lab" }],
] as const;

function filled(path: string): string {
  const values: Record<string, string> = { experiment: "1", task: "1.a.0", agent: "1", id: "1", path: "a/0/out.txt" };
  return path.replace(/\{(\w+)\}/g, (_, name: string) => values[name] ?? "1");
}

function ask(at: TestCoordinator, method: string, path: string, init: RequestInit = {}): Promise<Response> {
  const headers = { authorization: `Bearer ${at.token}`, ...(init.headers as Record<string, string>) };
  return fetch(at.url + path, { ...init, method, headers });
}

test("the document lists exactly the routes of the table, and every reference in it resolves", async (t) => {
  const at = await startTestCoordinator(t);
  const response = await ask(at, "GET", `${API_PREFIX}/openapi.json`);
  const text = await response.text();
  const document = JSON.parse(text);
  assert.equal(document.openapi, "3.1.0");
  const listed = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods as object).map((method) => `${method.toUpperCase()} ${path}`),
  );
  assert.deepEqual(listed.sort(), TABLE.map(([, { method, path }]) => `${method} ${path}`).sort());
  for (const [, name] of text.matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)) {
    assert.ok(document.components.schemas[name ?? ""], `${name} is referred to and not there`);
  }
  assert.doesNotMatch(text, /#\/\$defs/);
  for (const methods of Object.values(document.paths) as Record<
    string,
    { parameters?: { in: string; name: string }[] }
  >[])
    for (const operation of Object.values(methods)) {
      const names = (operation.parameters ?? []).map((parameter) => `${parameter.in} ${parameter.name}`);
      assert.deepEqual(names, [...new Set(names)]);
    }
});

test("closed by default: without a token, or with a wrong one, only what the table opens answers", async (t) => {
  const at = await startTestCoordinator(t);
  const open: string[] = [];
  for (const [id, { method, path, webSocket }] of TABLE) {
    const need = ACCESS[id as RouteId];
    for (const headers of [{}, { authorization: "Bearer wrong" }, { authorization: "Basic eDp5" }] as Record<
      string,
      string
    >[]) {
      const response = await fetch(at.url + filled(path), { method, headers });
      const code = response.headers.get("content-type")?.startsWith("application/problem+json")
        ? Problem.parse(await response.json()).code
        : "";
      if (need.kind !== "open" && id !== "metrics") {
        assert.equal(response.status, 401, `${id} with ${JSON.stringify(headers)}`);
        assert.equal(code, "unauthorized");
        assert.equal(response.headers.get("www-authenticate"), "Bearer");
      } else if (!webSocket) {
        if (need.kind === "open") assert.notEqual(response.status, 401, id);
      }
    }
    if (need.kind === "open" || id === "metrics") open.push(id);
  }
  assert.deepEqual(open.sort(), [
    "agentSession",
    "downloadAgent",
    "downloadAgentSum",
    "enrolAgent",
    "health",
    "healthDatabase",
    "healthReady",
    "index",
    "logIn",
    "metrics",
    "oidcCallback",
    "oidcDevice",
    "oidcDevicePoll",
    "oidcLogin",
    "oidcToken",
    "refreshLogin",
    "rotateAgentKey",
  ]);
  for (const path of ["/api/v1/nothing", "/api/v1/users", "/admin", "/api/v1/experiments/"]) {
    assert.equal((await fetch(at.url + path)).status, 401, path);
  }
  // Metrics: loopback without a token, but not through a proxy, and not with a wrong token.
  assert.equal((await fetch(`${at.url}/metrics`)).status, 200);
  assert.equal((await fetch(`${at.url}/metrics`, { headers: { "x-forwarded-for": "1.2.3.4" } })).status, 401);
  assert.equal((await fetch(`${at.url}/metrics`, { headers: { authorization: "Bearer wrong" } })).status, 401);
});

test("a token in the URL is refused even when it is right, and is not repeated", async (t) => {
  const at = await startTestCoordinator(t);
  for (const name of ["token", "access_token", "authorization"]) {
    const response = await ask(at, "GET", `${API_PREFIX}/experiments?${name}=${at.token}`);
    const text = await response.text();
    assert.equal(response.status, 400);
    assert.equal(JSON.parse(text).code, "token_in_query");
    assert.doesNotMatch(text, new RegExp(at.token));
  }
});

test("what a page of another origin could do: nothing", async (t) => {
  const at = await startTestCoordinator(t);
  const response = await ask(at, "GET", "/");
  assert.equal(response.headers.get("access-control-allow-origin"), null);
  assert.equal(response.headers.get("x-content-type-options"), "nosniff");
  assert.equal(response.headers.get("x-frame-options"), "DENY");
  assert.match(response.headers.get("content-security-policy") ?? "", /default-src 'none'/);
  const form = await ask(at, "POST", `${API_PREFIX}/experiments`, {
    headers: { "content-type": "text/plain" },
    body: '{"spec":"tasks: {a: {command: x}}"}',
  });
  assert.equal(form.status, 415);
});

interface Asked {
  id: RouteId;
  status: number;
  /** Id of the request. */
  request: string;
  sent: unknown;
  body: unknown;
}

/** The answers of all routes, in an order in which each has something to answer; `asked`: all of them. */
async function answers(t: TestContext): Promise<{ at: TestCoordinator; given: Map<RouteId, Asked>; asked: Asked[] }> {
  const agentReleases = mkdtempSync(join(tmpdir(), "airavata-contract-"));
  t.after(() => rmSync(agentReleases, { recursive: true, force: true }));
  for (const platform of ["linux-x64", "linux-arm64"]) publish(agentReleases, "1.2.0", "program", { platform });
  const at = await startTestCoordinator(t, { agentReleases });
  const given = new Map<RouteId, Asked>();
  const asked: Asked[] = [];
  const identity = await enrolTestAgent(at);
  const peer = await connectAgent(at, identity);
  const call = async (id: RouteId, path: string, body?: unknown, token?: string): Promise<unknown> => {
    const headers = {
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    };
    const init = body === undefined ? { headers } : { body: JSON.stringify(body), headers };
    const response = await ask(at, routes[id].method, path, init);
    const answer = response.headers.get("content-type")?.match(/[/+]json/)
      ? await response.json()
      : await response.text();
    const request = response.headers.get("x-request-id") ?? "";
    given.set(id, { id, status: response.status, request, sent: body, body: answer });
    asked.push(given.get(id) as Asked);
    return answer;
  };
  const spec = `
tasks:
  a: { command: "echo {n} > out.txt", task_inputs: { n: [1, 2] }, task_outputs: { OUT: out.txt } }
  b: { needs: [a], command: "false" }
`;
  const api = API_PREFIX;
  await call("submitExperiment", `${api}/experiments`, { spec });
  await call("pauseExperiment", `${api}/experiments/1/pause`);
  await call("explainExperiment", `${api}/experiments/1/explain`);
  await call("explainTask", `${api}/tasks/1.a.0/explain`);
  await call("resumeExperiment", `${api}/experiments/1/resume`, { reason: "go" });
  let held = true;
  peer.on((message) => {
    if (message.type === "list") {
      const outputs = message.group.indexes.map((index) => ({ index, output: "OUT", path: "out.txt", sizeBytes: 2 }));
      peer.send({ type: "listed", request: message.request, outputs, end: true });
    }
    if (message.type === "read") {
      const data = Buffer.from("1\n").subarray(message.offset, message.offset + message.limit);
      peer.send({ type: "chunk", request: message.request, offset: message.offset, data, totalBytes: 2, end: true });
    }
    if (message.type === "leases" && !held) {
      for (const group of message.groups) endGroup(peer, group, group.template === 1 ? 1 : 0, "boom\n");
    }
  });
  peer.send({ type: "free", ahead: 5, lastsMs: null, draining: false });
  const leases = await peer.next("leases");
  await call("getTask", `${api}/tasks/1.a.1`);
  await call("listAttempts", `${api}/tasks/1.a.1/attempts`);
  held = false;
  for (const group of leases.groups) endGroup(peer, group);
  let state = "";
  for (const end = performance.now() + 10_000; state !== "FAILED" && performance.now() < end; ) {
    const page = (await call("listExperiments", `${api}/experiments?limit=1`)) as { items: { state: string }[] };
    state = page.items[0]?.state ?? "";
  }
  assert.equal(state, "FAILED");
  await call("getExperiment", `${api}/experiments/1?include=spec`);
  await call("listTasks", `${api}/experiments/1/tasks?state=COMPLETED`);
  await call("experimentTimeline", `${api}/experiments/1/timeline`);
  await call("listOutputs", `${api}/experiments/1/outputs`);
  await call("readOutput", `${api}/experiments/1/outputs/a/0/out.txt`);
  await call("readLog", `${api}/tasks/1.a.0/logs`);
  await call("listAttempts", `${api}/tasks/1.b.0/attempts`);
  await call("retryExperiment", `${api}/experiments/1/retry`, { tasks: ["1.b.0"] });
  await call("submitExperiment", `${api}/experiments`, { spec: { tasks: { c: { command: "sleep 1" } } }, name: "obj" });
  await call("cancelTask", `${api}/tasks/2.c.0/cancel`, {});
  await call("cancelExperiment", `${api}/experiments/1/cancel`).catch(() => {});
  await call("createProject", `${api}/projects`, { name: "physics", weight: 2, max_cpu_hours: 10 });
  await call("changeProject", `${api}/projects/physics`, { max_cpus: 4, max_cpu_hours: null });
  await call("listProjects", `${api}/projects`);
  await call("getProject", `${api}/projects/physics`);
  await call("createGroup", `${api}/groups`, { name: "lab" });
  await call("createGroup", `${api}/groups`, { name: "school", description: "both" });
  await call("changeGroup", `${api}/groups/school`, { description: "all", version: 1 });
  await call("addGroupMember", `${api}/groups/school/members`, { group: "lab" });
  await call("listGroupMembers", `${api}/groups/school/members`);
  await call("removeGroupMember", `${api}/groups/school/members?group=lab`);
  await call("listGroups", `${api}/groups`);
  await call("getGroup", `${api}/groups/1`);
  await call("setProjectMember", `${api}/projects/physics/members`, { group: "lab", role: "viewer" });
  await call("listProjectMembers", `${api}/projects/physics/members`);
  await call("removeProjectMember", `${api}/projects/physics/members?group=lab`);
  await call("shareExperiment", `${api}/experiments/1/shares`, { group: "lab", access: "write" });
  await call("listExperimentShares", `${api}/experiments/1/shares`);
  await call("unshareExperiment", `${api}/experiments/1/shares?group=lab`);
  for (const [word, Word, kind, configuration] of REGISTRIES) {
    const all = `${api}/${word}-resources`;
    await call(`create${Word}Resource`, all, { name: "ours", kind, configuration, project: "physics" });
    await call(`change${Word}Resource`, `${all}/ours`, { description: "in the cellar", version: 1 });
    await call(`list${Word}Resources`, all);
    await call(`get${Word}Resource`, `${all}/1`);
    await call(`share${Word}Resource`, `${all}/ours/shares`, { group: "lab" });
    await call(`list${Word}Shares`, `${all}/ours/shares`);
    await call(`unshare${Word}Resource`, `${all}/ours/shares?group=lab`);
    await call(`delete${Word}Resource`, `${all}/ours`);
  }
  await call("deleteGroup", `${api}/groups/lab?force=true`);
  await call("listAgents", `${api}/agents`);
  await call("getAgent", `${api}/agents/1`);
  await call("getAgentMetrics", `${api}/agents/1/metrics`);
  await call("setUpdatePolicy", `${api}/agents/1/update-policy`, { pinned_version: "1.2.0", updates_refused: false });
  await call("listReleases", `${api}/agent-releases`);
  await call("downloadAgent", `${api}/agent/download/linux-x64`);
  await call("downloadAgentSum", `${api}/agent/download/linux-x64/sha256`);
  await call("drainAgent", `${api}/agents/1/drain`);
  await call("createEnrolmentToken", `${api}/enrolment-tokens`, { note: "for the contract" });
  await call("listEnrolmentTokens", `${api}/enrolment-tokens`);
  await call("getEnrolmentToken", `${api}/enrolment-tokens/2`);
  await call("revokeEnrolmentToken", `${api}/enrolment-tokens/2`);
  await call("enrolAgent", `${api}/agent/enrol`, { token: "aet_no", name: "x", public_key: "AAAA" });
  // An agent that never comes: its rollout does not end by itself before it is stopped.
  const away = await enrolTestAgent(at, "away");
  await call("beginRollout", `${api}/agent-rollouts`, { agents: [away.agent] });
  await call("stopRollout", `${api}/agent-rollouts/1/stop`);
  await call("getRollout", `${api}/agent-rollouts/1`);
  await call("listRollouts", `${api}/agent-rollouts`);
  await call("listAudit", `${api}/audit?action=experiment&outcome=done`);
  await call("getAuditEntry", `${api}/audit/1`);
  await call("exportAudit", `${api}/audit/export`);
  await call("listAuditSeals", `${api}/audit/seals`);
  for (const id of ["auditHead", "checkAudit"] as const) await call(id, routes[id].path);
  await call("createEventsTicket", `${api}/events/ticket`, {});
  await call("currentUser", `${api}/user`);
  await askAccounts(call);
  for (const id of ["health", "healthDatabase", "healthReady", "openapi"] as const) await call(id, routes[id].path);
  await askCredentialRoutes(at.databaseUrl, call);
  const other = await enrolTestAgent(at, "peer-2");
  await call("rotateAgentKey", `${api}/agent/key`, rotationOf(other).body);
  await call("revokeAgent", `${api}/agents/${other.agent}/revoke`, { reason: "for the contract" });
  await call("metrics", "/metrics");
  await call("index", "/");
  await until(async () => {
    await call("retireExperiment", `${api}/experiments/2/retire`);
    return given.get("retireExperiment")?.status === 200;
  }, "experiment 2 to have ended");
  return { at, given, asked };
}

/** A ticket for a moment; a look at a secret, which is in its history of uses; a login that goes on. */
const CHANGES_NOTHING: RouteId[] = ["createEventsTicket", "testCredential", "refreshLogin"];

test("whatever changes something is in the audit, and no secret is", async (t) => {
  const { at, asked } = await answers(t);
  const trail = await (await ask(at, "GET", `${API_PREFIX}/audit/export?outcome=done`)).text();
  const entries = trail
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  const silent = asked.filter(({ id, status, request }) => {
    if (routes[id].method === "GET" || status >= 300 || CHANGES_NOTHING.includes(id)) return false;
    return !entries.some((entry) => entry.request === request);
  });
  assert.deepEqual(
    silent.map(({ id }) => id),
    [],
  );
  const secrets = new Set([at.token, ...asked.flatMap(({ sent, body }) => [...secretsOf(sent), ...secretsOf(body)])]);
  assert.ok(secrets.size > 1);
  for (const secret of secrets) assert.ok(!trail.includes(secret), `the audit holds ${secret}`);
  assert.doesNotMatch(trail, /\$argon2|\$scrypt|-----BEGIN|"(password|secret|token)":"(?!\[hidden\])/);
});

/** Texts in fields that are named as secrets are. */
function secretsOf(value: unknown, isSecret = false): string[] {
  if (typeof value === "string") return isSecret && value.length >= 8 ? [value] : [];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, each]) =>
    secretsOf(each, isSecret || /token$|secret|password|private|passphrase|ticket|value/.test(name)),
  );
}

test("every route answers as its schema says, and not a field more", async (t) => {
  const { given } = await answers(t);
  for (const [id, route] of TABLE) {
    // Those of the OpenID provider need one: the tests of integration/oidc hold them to their schemas.
    if (route.webSocket || id.startsWith("oidc")) continue;
    const answer = given.get(id);
    assert.ok(answer, `${id} was not asked`);
    if (answer.status >= 400) {
      const problem = Problem.strict().parse(answer.body);
      assert.ok(Object.hasOwn(CATALOGUE, problem.code), problem.code);
      assert.ok(id === "enrolAgent" || id === "cancelExperiment", `${id} answered ${answer.status}: ${problem.detail}`);
      continue;
    }
    const expected = route.answers[answer.status];
    assert.ok(expected, `${id} answered ${answer.status}`);
    if (!expected.schema) continue;
    const checked = z.safeParse(expected.schema, answer.body);
    assert.ok(checked.success, `${id}: ${JSON.stringify(checked.error?.issues)}`);
    // What the schema does not know is dropped by parsing: nothing may be.
    assert.deepEqual(answer.body, checked.data, id);
  }
});

test("two tasks of one agent at once: the fake keeps no one waiting", async (t) => {
  const at = await startTestCoordinator(t);
  const peer = await connectAgent(at, await enrolTestAgent(at));
  completeEverything(peer);
  const many = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      at.client.call("submitExperiment", { body: { spec: `tasks: { a: { command: "echo ${i}" } }` } }),
    ),
  );
  assert.equal(new Set(many.map(({ id }) => id)).size, 20);
  await until(async () => {
    const page = await at.client.call("listExperiments", { query: { state: "COMPLETED" } });
    return page.items.length === 20;
  }, "20 completed experiments");
});
