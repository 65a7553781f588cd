/** Every way to be refused is in the audit, with who, from where and why; a flood is a number, and no secret of it is kept. */
import assert from "node:assert/strict";
import { test } from "node:test";
import WebSocket from "ws";
import { createClient } from "../../../shared/api/client.ts";
import { API_PREFIX } from "../../../shared/api/routes.ts";
import { connectAgent, enrolTestAgent, until } from "../../support/agent-peer.ts";
import { startTestCoordinator, type TestCoordinator } from "../../support/coordinator.ts";
import { createUser } from "../../support/users.ts";

/** Under whatever load. */
const PATIENCE_MS = 60_000;

interface Kept {
  actor_name: string | null;
  via: string;
  address: string | null;
  action: string;
  resource_type: string | null;
  resource_id: string | null;
  code: string | null;
  after: unknown;
}

async function refusalsOf(at: TestCoordinator, atLeast: number): Promise<Kept[]> {
  let items: Kept[] = [];
  await until(
    async () => {
      items = (await at.client.call("listAudit", { query: { outcome: "refused", limit: 500 } })).items;
      return items.length >= atLeast;
    },
    `${atLeast} refusals in the audit`,
    PATIENCE_MS,
  );
  return items;
}

test("whoever is refused is in the audit, by what he was known and why", async (t) => {
  const at = await startTestCoordinator(t);
  const ada = await createUser(at, { username: "ada" });
  const { id: experiment } = await at.client.call("submitExperiment", {
    body: { spec: "tasks: { a: { command: x } }" },
  });
  const { token: limited } = await ada.client.call("createToken", { body: { name: "ci", scopes: ["read"] } });
  const refused = (call: Promise<unknown>, code: string) => assert.rejects(call, { code });
  const params = { experiment };
  const nobody = createClient({ server: at.url });
  const forged = "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.";
  const mistaken = "aop_somebody-guessed-this-one";
  await refused(nobody.call("listExperiments", {}), "unauthorized");
  await refused(createClient({ server: at.url, token: mistaken }).call("listProjects", {}), "unauthorized");
  await refused(createClient({ server: at.url, token: forged }).call("listAgents", {}), "unauthorized");
  await fetch(`${at.url}${API_PREFIX}/nothing`);
  await fetch(`${at.url}${API_PREFIX}/groups?token=${at.token}`);
  await refused(ada.client.call("getExperiment", { params }), "experiment_not_found");
  await refused(ada.client.call("cancelExperiment", { params, body: {} }), "experiment_not_found");
  await refused(ada.client.call("createProject", { body: { name: "hers" } }), "forbidden");
  const ci = createClient({ server: at.url, token: limited });
  await refused(ci.call("submitExperiment", { body: { spec: "tasks: { a: { command: x } }" } }), "scope_missing");
  const wrongPassword = "not her password at all";
  await refused(nobody.call("logIn", { body: { username: "ada", password: wrongPassword } }), "login_refused");
  await refused(
    nobody.call("enrolAgent", { body: { token: "aet_guessed-by-somebody", name: "x", public_key: "AAAA" } }),
    "request_invalid",
  );
  const socket = new WebSocket(`${at.url.replace("http", "ws")}${API_PREFIX}/events`);
  await new Promise<void>((resolve) => socket.once("error", () => resolve()));
  // What is only wrong is no refusal of access.
  await refused(at.client.call("getExperiment", { params: { experiment: 99 } }), "experiment_not_found");

  const kept = (await refusalsOf(at, 11)).map((entry) => {
    assert.equal(entry.address, "127.0.0.1");
    const who = entry.actor_name === "ada" ? entry.via.replace(/\d+/, "N") : entry.via;
    const thing = entry.resource_type === null ? "" : ` ${entry.resource_type}:${entry.resource_id}`;
    return `${who} ${entry.action}${thing} ${entry.code}`;
  });
  assert.deepEqual(
    kept.sort(),
    [
      `nobody events unauthorized`,
      `nobody listAgents unauthorized`,
      `nobody listExperiments unauthorized`,
      `nobody listGroups token_in_query`,
      `nobody listProjects unauthorized`,
      `nobody logIn user:${ada.id} login_refused`,
      `nobody none unauthorized`,
      `session N cancelExperiment experiment:${experiment} experiment_not_found`,
      `session N createProject forbidden`,
      `session N getExperiment experiment:${experiment} experiment_not_found`,
      `token N submitExperiment scope_missing`,
    ].sort(),
  );
  const trail = await (await at.client.open("exportAudit", { query: {} })).text();
  for (const secret of [forged, mistaken, wrongPassword, limited, at.token, ada.password]) {
    assert.ok(!trail.includes(secret), secret);
  }
});

test("a flood of strangers is one entry and a number, and holds up nobody", async (t) => {
  const at = await startTestCoordinator(t);
  const nobody = createClient({ server: at.url, token: "wrong" });
  const ask = () => assert.rejects(nobody.call("listExperiments", {}), { code: "unauthorized" });
  await Promise.all(
    Array.from({ length: 20 }, async () => {
      for (let i = 0; i < 10; i++) await ask();
    }),
  );
  assert.equal((await refusalsOf(at, 1)).length, 1);
  // The number is written at the end of the minute, or of the coordinator.
  await at.restart();
  const kept = await refusalsOf(at, 2);
  assert.deepEqual(
    kept.map(({ after }) => after),
    [{ more: 199, within_seconds: 60 }, null],
  );
});

test("an agent that was revoked, or is somebody else, is refused in the audit", async (t) => {
  const at = await startTestCoordinator(t);
  const identity = await enrolTestAgent(at);
  const other = { ...(await enrolTestAgent(at, "peer-2")), privatePem: identity.privatePem };
  await at.client.call("revokeAgent", { params: { agent: identity.agent }, body: {} });
  await assert.rejects(connectAgent(at, identity));
  await assert.rejects(connectAgent(at, other));
  const kept = (await refusalsOf(at, 2)).map(({ action, resource_id, code }) => [action, resource_id, code]);
  assert.deepEqual(kept, [
    ["agentSession", null, "hello_refused"],
    ["agentSession", String(identity.agent), "agent_revoked"],
  ]);
});
