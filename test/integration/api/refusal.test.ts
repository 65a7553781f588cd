/** What the API refuses, as a table: request, status, code, and a word of the sentence. And idempotency. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient } from "../../../shared/api/client.ts";
import { Problem } from "../../../shared/api/problem.ts";
import { API_PREFIX } from "../../../shared/api/routes.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { generateIdentityKey } from "../../../shared/identity/identity.ts";
import { enrolTestAgent } from "../../support/agent-peer.ts";
import { startTestCoordinator } from "../../support/coordinator.ts";

const SPEC = "tasks: { a: { command: 'echo {n}', task_inputs: { n: 1..3 } } }";

type Case = [request: string, body: unknown, status: number, code: string, sentence: RegExp];

const CASES: Case[] = [
  ["GET /experiments/99", undefined, 404, "experiment_not_found", /experiment 99/],
  ["GET /experiments/x", undefined, 400, "request_invalid", /experiment/],
  ["GET /experiments/0", undefined, 400, "request_invalid", /experiment/],
  ["GET /experiments?limit=501", undefined, 400, "request_invalid", /query limit/],
  ["GET /experiments?limit=0", undefined, 400, "request_invalid", /query limit/],
  ["GET /experiments?limit=1&limit=2", undefined, 400, "request_invalid", /query limit/],
  ["GET /experiments?state=RUNNING", undefined, 400, "request_invalid", /query state/],
  ["GET /experiments?colour=red", undefined, 400, "request_invalid", /colour/],
  ["GET /experiments?cursor=abc", undefined, 400, "cursor_invalid", /leave it out/],
  ["GET /experiments?name=a%00b", undefined, 400, "request_invalid", /control character/],
  ["GET /experiments/1/tasks?cursor=1", undefined, 400, "cursor_invalid", /leave it out/],
  ["GET /experiments/1/tasks?template=zz", undefined, 404, "task_not_found", /no template "zz"; it has a/],
  ["GET /experiments/1/outputs/a/0/x", undefined, 404, "output_not_found", /none of the outputs that a declares/],
  ["GET /experiments/1/outputs/zz/0/x", undefined, 404, "output_not_found", /TEMPLATE\/INDEX\/FILE/],
  ["GET /experiments/1/outputs/a/7/x", undefined, 404, "output_not_found", /TEMPLATE\/INDEX\/FILE/],
  ["GET /experiments/1/outputs/a/0/..%2f..%2fetc%2fpasswd", undefined, 403, "output_outside", /out of the task's/],
  ["GET /tasks/1.a.3", undefined, 404, "task_not_found", /tasks 0 to 2, not 3/],
  ["GET /tasks/1.7.0", undefined, 404, "task_not_found", /no template "7"/],
  ["GET /tasks/1.a", undefined, 400, "request_invalid", /EXPERIMENT.TEMPLATE.INDEX/],
  ["GET /tasks/1.a.0/logs", undefined, 404, "log_not_found", /QUEUED and was not attempted yet/],
  ["GET /tasks/1.a.0/logs?stream=both", undefined, 400, "request_invalid", /query stream/],
  ["GET /tasks/1.a.0/logs?attempt=4", undefined, 404, "log_not_found", /was not attempted yet/],
  ["GET /agents/77", undefined, 404, "agent_not_found", /no agent 77/],
  ["POST /agents/1/drain", {}, 503, "agent_offline", /OFFLINE and must be READY/],
  ["POST /agents/77/drain", {}, 404, "agent_not_found", /no agent 77/],
  ["DELETE /enrolment-tokens/999", undefined, 404, "enrolment_token_not_found", /token 999/],
  ["DELETE /enrolment-tokens/1", undefined, 409, "enrolment_token_used", /agent 1 was its last/],
  ["POST /enrolment-tokens", { expires_in_seconds: -1 }, 400, "request_invalid", /expires_in_seconds/],
  ["POST /agent/enrol", { token: "t", name: "a", public_key: "AAAA" }, 400, "request_invalid", /Ed25519/],
  ["POST /agent/enrol", { token: "t", name: "a\nb", public_key: "AAAA" }, 400, "request_invalid", /name/],
  ["POST /experiments", undefined, 400, "body_invalid", /needs a body/],
  ["POST /experiments", "{", 400, "body_invalid", /JSON/],
  ["POST /experiments", '{"spec":{"__proto__":{"x":1}}}', 400, "body_invalid", /./],
  ["POST /experiments", {}, 400, "request_invalid", /spec/],
  ["POST /experiments", { spec: SPEC, colour: 1 }, 400, "request_invalid", /colour/],
  ["POST /experiments", { spec: SPEC, priority: 5000 }, 400, "request_invalid", /priority/],
  ["POST /experiments", { spec: "tasks: [" }, 422, "spec_syntax", /./],
  ["POST /experiments", { spec: "tassks: {}" }, 422, "spec_unknown_key", /tasks/],
  ["POST /experiments", { spec: { tasks: { a: { comand: "x" } } } }, 422, "spec_unknown_key", /command/],
  ["POST /experiments", { spec: SPEC, parameters: { zz: 1 } }, 422, "spec_parameter", /zz/],
  ["POST /experiments", { spec: SPEC, project: "nowhere" }, 404, "project_not_found", /nowhere/],
  ["POST /experiments", { spec: `${SPEC}\n#${"x".repeat(1 << 20)}` }, 422, "spec_too_large", /./],
  ["POST /experiments", { spec: SPEC, name: "x".repeat(3 << 20) }, 413, "body_too_large", /larger/],
  ["POST /experiments/1/pause", { tasks: ["1.a.0"] }, 400, "request_invalid", /whole experiment/],
  ["POST /experiments/1/cancel", { tasks: ["2.a.0"] }, 404, "task_not_found", /no task 2.a.0/],
  ["POST /experiments/1/cancel", { tasks: [] }, 400, "request_invalid", /tasks/],
  ["POST /experiments/1/resume", {}, 409, "experiment_state_conflict", /./],
  ["POST /experiments/99/cancel", {}, 404, "experiment_not_found", /./],
  ["POST /experiments/1/derive", {}, 404, "not_supported_yet", /derive/],
  ["GET /experiments/1/archive", undefined, 404, "not_supported_yet", /outputs/],
  ["POST /auth/login", { username: "nobody", password: "x" }, 401, "login_refused", /username or the password/],
  ["POST /auth/refresh", { refresh_token: "art_x" }, 401, "refresh_token_invalid", /log in again/],
  ["POST /auth/password", { current_password: "x", new_password: "y" }, 403, "session_required", /login/],
  ["POST /auth/tokens", { name: "x", scopes: ["read"] }, 403, "session_required", /login/],
  ["POST /auth/tokens", { name: "x", scopes: ["all"] }, 400, "request_invalid", /scopes/],
  ["POST /users", { username: "Ada" }, 400, "request_invalid", /small letters/],
  ["POST /users", { username: "17" }, 400, "request_invalid", /at least one letter/],
  ["GET /users/nobody", undefined, 404, "user_not_found", /nobody/],
  ["GET /users?cursor=x", undefined, 400, "cursor_invalid", /cursor/],
  ["GET /groups/4/members", undefined, 404, "group_not_found", /no group 4/],
  ["GET /projects/nosuch", undefined, 404, "project_not_found", /"default"/],
  ["POST /compute-resources/x/test", {}, 404, "not_supported_yet", /nothing provisions/],
  ["GET /allocations", undefined, 404, "not_supported_yet", /hand/],
  ["GET /audit?cursor=x", undefined, 400, "cursor_invalid", /cursor/],
  ["GET /audit/9999", undefined, 404, "audit_entry_not_found", /9999/],
  ["GET /audit/export?sealed=true&actor=1", undefined, 400, "request_invalid", /filter/],
  ["GET /audit/check?cursor=seals.1", undefined, 400, "cursor_invalid", /cursor/],
  ["GET /agent/download/linux-x64", undefined, 404, "release_not_found", /--agent-releases/],
  ["POST /agents/1/update", {}, 404, "not_supported_yet", /program/],
  ["GET /nothing", undefined, 404, "route_not_found", /nothing/],
  ["PUT /experiments", {}, 405, "method_not_allowed", /GET, HEAD, OPTIONS, POST, not PUT/],
  ["DELETE /experiments/1", undefined, 405, "method_not_allowed", /GET, HEAD, OPTIONS, not DELETE/],
  ["GET /events", undefined, 400, "request_invalid", /WebSocket/],
  ["GET /agent/session", undefined, 400, "request_invalid", /WebSocket/],
];

test("refusals: a status, a stable code, a sentence", async (t) => {
  const at = await startTestCoordinator(t, { bodyBytesMax: 2 << 20 });
  await enrolTestAgent(at);
  await at.client.call("submitExperiment", { body: { spec: SPEC } });
  for (const [request, body, status, code, sentence] of CASES) {
    const [method = "", path = ""] = request.split(" ");
    const response = await fetch(`${at.url}${API_PREFIX}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${at.token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const problem = Problem.parse(await response.json());
    assert.deepEqual([response.status, problem.code], [status, code], `${request}: ${problem.detail}`);
    assert.match(`${problem.detail} ${JSON.stringify(problem.errors)}`, sentence, request);
    assert.equal(response.headers.get("x-request-id"), problem.request_id);
  }
});

test("problems of an experiment file come with their places", async (t) => {
  const at = await startTestCoordinator(t);
  const spec = "tasks:\n  a:\n    comand: x\n  b:\n    command: y\n    foreach: [zz]\n";
  const response = await fetch(`${at.url}${API_PREFIX}/experiments`, {
    method: "POST",
    headers: { authorization: `Bearer ${at.token}`, "content-type": "application/json" },
    body: JSON.stringify({ spec }),
  });
  const problem = Problem.parse(await response.json());
  assert.equal(problem.status, 422);
  assert.ok((problem.errors?.length ?? 0) >= 2);
  const first = problem.errors?.[0];
  assert.equal(first?.field, "tasks.a.comand");
  assert.equal(first?.line, 3);
  assert.equal(first?.column, 5);
});

test("a key makes one experiment of any number of equal requests, and is refused for another", async (t) => {
  const at = await startTestCoordinator(t);
  const post = (key: string, body: unknown): Promise<Response> =>
    fetch(`${at.url}${API_PREFIX}/experiments`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${at.token}`,
        "content-type": "application/json",
        "idempotency-key": key,
      },
      body: JSON.stringify(body),
    });
  const answers = await Promise.all(Array.from({ length: 8 }, () => post("key-1", { spec: SPEC })));
  const bodies = await Promise.all(answers.map((answer) => answer.json() as Promise<{ id: number }>));
  assert.equal(new Set(bodies.map(({ id }) => id)).size, 1);
  assert.ok(answers.every(({ status }) => status === 200 || status === 201));
  for (const answer of answers) {
    assert.equal(answer.headers.get("idempotency-replayed"), answer.status === 200 ? "true" : null);
    assert.equal(answer.headers.get("location"), `${API_PREFIX}/experiments/${bodies[0]?.id}`);
  }
  const other = await post("key-1", { spec: SPEC, name: "other" });
  assert.equal(other.status, 422);
  assert.equal(((await other.json()) as Problem).code, "idempotency_key_reused");
  // It is in the journal: a restart forgets nothing.
  await at.restart();
  const again = await post("key-1", { spec: SPEC });
  assert.equal(again.status, 200);
  assert.equal(((await again.json()) as { id: number }).id, bodies[0]?.id);
  assert.equal((await post("key 2", { spec: SPEC })).status, 400);
  assert.equal((await post("k".repeat(256), { spec: SPEC })).status, 400);
  assert.equal((await at.client.call("listExperiments", {})).items.length, 1);
});

test("a key makes one enrolment token", async (t) => {
  const at = await startTestCoordinator(t);
  const request = { body: { note: "x" }, idempotencyKey: "t-1" };
  const [one, two] = await Promise.all([
    at.client.call("createEnrolmentToken", request),
    at.client.call("createEnrolmentToken", request),
  ]);
  assert.deepEqual(one, two);
  await assert.rejects(at.client.call("createEnrolmentToken", { body: { note: "y" }, idempotencyKey: "t-1" }), {
    code: "idempotency_key_reused",
  });
});

test("enrolment: once per token, again for the same key, never for another name's key", async (t) => {
  const at = await startTestCoordinator(t);
  const { token } = await at.client.call("createEnrolmentToken", {});
  const body = { token, name: "node-1", public_key: generateIdentityKey().publicKey };
  const anyone = createClient({ server: at.url });
  const first = await anyone.call("enrolAgent", { body });
  assert.deepEqual(await anyone.call("enrolAgent", { body }), first);
  await assert.rejects(anyone.call("enrolAgent", { body: { ...body, public_key: generateIdentityKey().publicKey } }), {
    code: "enrolment_token_used",
  });
  const next = await at.client.call("createEnrolmentToken", {});
  await assert.rejects(
    anyone.call("enrolAgent", { body: { ...body, token: next.token, public_key: generateIdentityKey().publicKey } }),
    { code: "agent_name_taken" },
  );
  await at.client.call("revokeEnrolmentToken", { params: { id: next.id } });
  await assert.rejects(anyone.call("enrolAgent", { body: { ...body, name: "node-2", token: next.token } }), {
    code: "enrolment_token_invalid",
  });
});

test("pages: every item once, in order, whatever the limit", async (t) => {
  const at = await startTestCoordinator(t);
  for (let i = 0; i < 5; i++) await at.client.call("submitExperiment", { body: { spec: SPEC, name: `n${i}` } });
  const ids: number[] = [];
  for (let cursor: string | undefined; ; ) {
    const page = await at.client.call("listExperiments", { query: { limit: 2, cursor } });
    assert.ok(page.items.length <= 2);
    ids.push(...page.items.map(({ id }) => id));
    if (page.next_cursor === null) break;
    cursor = page.next_cursor;
  }
  assert.deepEqual(ids, [5, 4, 3, 2, 1]);
  const two = `tasks:
  a: { command: "x {n}", task_inputs: { n: 1..3 } }
  b: { command: "y {n}", task_inputs: { n: 1..4 } }
`;
  const { id } = await at.client.call("submitExperiment", { body: { spec: two } });
  const tasks: string[] = [];
  for (let cursor: string | undefined; ; ) {
    const page = await at.client.call("listTasks", { params: { experiment: id }, query: { limit: 2, cursor } });
    tasks.push(...page.items.map((task) => task.id.replace(/^\d+\./, "")));
    if (page.next_cursor === null) break;
    cursor = page.next_cursor;
  }
  assert.deepEqual(tasks, ["a.0", "a.1", "a.2", "b.0", "b.1", "b.2", "b.3"]);
});

test("the client says in a sentence that nobody answers, or that it is somebody else", async (t) => {
  const closed = createClient({ server: "http://127.0.0.1:1" });
  await assert.rejects(closed.call("health", {}), (error: unknown) => {
    return error instanceof AiravataError && error.code === "server_unreachable";
  });
  const at = await startTestCoordinator(t);
  const wrong = createClient({ server: `${at.url}/somewhere`, token: at.token });
  await assert.rejects(wrong.call("health", {}), { code: "route_not_found" });
});
