/**
 * A task that runs as its agent's user takes everything that it finds there: key, identity, outbox, the agent's environment
 * and command line. What somebody can do with that through the coordinator ends at the project that the agent serves: what
 * it can do is shown, what it cannot is tried, and a revocation ends all of it within a second.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { WebSocket } from "ws";
import { ACCESS } from "../../shared/api/access.ts";
import { API_PREFIX, type Route, type RouteId, routes } from "../../shared/api/routes.ts";
import type { AgentId, ExperimentId } from "../../shared/model/ids.ts";
import { agentDirectory, removeAgentDirectory, startAgent } from "../support/agent.ts";
import { type AgentIdentityForTest, AgentPeer, endGroup, helloOf, rotationOf, until } from "../support/agent-peer.ts";
import { AIRAVATA } from "../support/cli.ts";
import { startTestCoordinator, type TestCoordinator } from "../support/coordinator.ts";
import { FaultProcess } from "../support/fault-process.ts";

const LIMIT_MS = 60_000;
const REQUIRES = "{ cpu: 1, ram_gb: 0.01, disk_gb: 0 }";
/** Walks up to the agent's root and takes what there is. */
const THEFT = [
  's="$PWD"; while [ ! -d "$s/state" ]; do s=$(dirname "$s"); done',
  'mkdir loot; cp -r "$s/state" loot/ 2>/dev/null || true',
  'cp "$s/.root" loot/root',
  String.raw`pid=$(sed 's/.*"pid":\([0-9]*\).*/\1/' "$s/state/owner.json")`,
  String.raw`tr '\0' '\n' < "/proc/$pid/environ" > loot/environ`,
  String.raw`tr '\0' ' ' < "/proc/$pid/cmdline" > loot/cmdline`,
  "env > loot/own",
  "touch loot/done; sleep 1000",
];

interface Loot {
  identity: AgentIdentityForTest;
  root: string;
  /** Everything that looks like a secret, and the contents of what was taken. */
  bearers: string[];
  enrolmentToken: string;
}

test("what a task can steal from its agent reaches nothing outside of the agent's project, and nothing once it is revoked", async (t) => {
  const at = await startTestCoordinator(t);
  const { client } = at;
  for (const name of ["alpha", "beta"]) await client.call("createProject", { body: { name } });

  // Another project's agent, with a task that runs, a log, an output, and work that waits.
  const betaDir = await agentDirectory();
  const go = join(betaDir, "go");
  const { token: betaToken } = await client.call("createEnrolmentToken", { body: { project: "beta" } });
  const resources = { cpus: 1, memoryBytes: 2 ** 30, gpus: 0, labels: [], custom: [] };
  const beta = await startAgent(at.url, betaDir, { name: "b", enrolmentToken: betaToken, resources });
  t.after(async () => {
    await beta.stop();
    await removeAgentDirectory(betaDir);
  });
  const secret = "echo secret-of-beta | tee out.txt";
  const betaWork = await submit(at, "beta", 3, `${secret}; while [ ! -e ${go} ]; do sleep 0.05; done`);
  await until(async () => (await taskState(at, betaWork, 0)).state === "LEASED", "beta's task", LIMIT_MS);

  const loot = await steal(t, at);
  const { identity } = loot;

  await t.test("no bearer of the loot opens any route that is not open to strangers", async () => {
    for (const bearer of loot.bearers) {
      for (const [id, route] of Object.entries<Route>(routes)) {
        if (ACCESS[id as RouteId].kind === "open" || id === "metrics") continue;
        const status = route.webSocket ? await upgrade(at, route.path, bearer) : await ask(at, route, betaWork, bearer);
        assert.equal(status, 401, `${id} with ${bearer.slice(0, 12)}…`);
      }
    }
    assert.ok(loot.bearers.length >= 4, `${loot.bearers.length} were tried`);
  });

  await t.test("the enrolment token is used up, and the key is nobody else's", async () => {
    const body = { token: loot.enrolmentToken, name: "second", public_key: rotationOf(identity).body.public_key };
    await assert.rejects(client.call("enrolAgent", { body }), { code: "enrolment_token_used" });
    const asBeta = { ...identity, agent: beta.agent as AgentId, name: "b" };
    const peer = new AgentPeer(at.url);
    peer.send(helloOf(asBeta, await peer.next("challenge")));
    assert.equal((await peer.next("error")).code, "hello_refused");
    const rotation = { ...rotationOf(asBeta).body };
    await assert.rejects(client.call("rotateAgentKey", { body: rotation }), { code: "hello_refused" });
  });

  await t.test("from another machine it is refused while the agent works, and the operator sees it", async () => {
    const peer = new AgentPeer(at.url);
    peer.send(helloOf(identity, await peer.next("challenge"), { hostname: "elsewhere", root: "another" }));
    assert.equal((await peer.next("error")).code, "agent_identity_shared");
    const seen = await client.call("getAgent", { params: { agent: identity.agent } });
    assert.equal(seen.notice?.kind, "identity_shared");
    assert.match(seen.notice?.message ?? "", /elsewhere has the same identity/);
  });

  // From the same machine it takes the identity over: it is the agent from here on.
  const thief = new AgentPeer(at.url);
  const first = { experiment: betaWork as ExperimentId, template: 0, indexes: [0, 1, 2], attempts: [1, 1, 1] };
  const hello = { hostname: hostname(), root: loot.root, held: [{ ...first, phases: [1, 0, 0] }] };
  thief.send(helloOf(identity, await thief.next("challenge"), hello));
  const welcome = await thief.next("welcome");
  const renewal = setInterval(() => thief.send({ type: "renew", sentAtMs: 1 }), welcome.ttlMs / 4);
  thief.socket.on("close", () => clearInterval(renewal));

  await t.test("the process that had the identity is told to stop, and the operator is told why", async () => {
    const notice = async () => (await client.call("getAgent", { params: { agent: identity.agent } })).notice;
    await until(async () => /opened a later session/.test((await notice())?.message ?? ""), "the notice", LIMIT_MS);
  });

  await t.test("what it says to hold of another project is not its own", () => {
    assert.ok(welcome.superseded.some(({ experiment }) => experiment === betaWork));
  });

  await t.test("as its agent it gets and ends its own project's work, and none of another", async () => {
    thief.send({ type: "free", ahead: 10, lastsMs: null, draining: false });
    const own = await submit(at, "alpha", 2, "echo mine");
    await thief.next("leases", ({ groups }) => groups.some(({ experiment }) => experiment === own));
    thief.on((message) => {
      if (message.type !== "leases") return;
      for (const group of message.groups) if (group.experiment === own) endGroup(thief, group);
    });
    await until(async () => (await experimentState(at, own)) === "COMPLETED", "alpha's own work", LIMIT_MS);
    const leased = thief.received.flatMap((message) => (message.type === "leases" ? message.groups : []));
    assert.ok(leased.every(({ experiment }) => experiment !== betaWork));
    assert.ok(!JSON.stringify(thief.received).includes("secret-of-beta"));
  });

  await t.test(
    "its claims to another project's task change nothing, are answered alike, and stand in the audit",
    async () => {
      const before = await taskState(at, betaWork, 0);
      const all = <T>(value: T): T[] => [value, value, value];
      thief.send({ type: "started", groups: [{ ...first, startedAtMs: all(1) }] });
      const usage = { cpuMs: all(1), cpuPermille: all(1), memoryBytes: all(77_777_777), memoryPeakBytes: all(1) };
      const stored = { readBytes: all(1), writtenBytes: all(1) };
      thief.send({ type: "metrics", atMs: 1, groups: [{ ...first, ...usage, ...stored }] });
      thief.send({ type: "update_state", rollout: 1, version: "9", phase: "HEALTHY", message: "" });
      endGroup(thief, first);
      const of = (experiment: number) => (message: { refused?: { group: { experiment: number } }[] }) =>
        message.refused?.some(({ group }) => group.experiment === experiment) ?? false;
      const refused = await thief.next("ack", of(betaWork));
      endGroup(thief, { ...first, experiment: 999 as ExperimentId });
      await thief.next("ack", of(999));
      assert.match(refused.refused?.[0]?.message ?? "", /has ended, or is of a project that this agent does not serve/);
      const after = await taskState(at, betaWork, 0);
      assert.deepEqual([after.state, after.attempt, after.agent], [before.state, before.attempt, before.agent]);
      assert.ok(!JSON.stringify(after).includes("77777777"));
      const seen = await client.call("getAgent", { params: { agent: identity.agent } });
      assert.equal(seen.notice?.kind, "forged");
      const { items } = await client.call("listAudit", { query: { action: "agent.forged" } });
      assert.ok(items.length > 0);
    },
  );

  await t.test("what it sends in place of another agent's files reaches nobody", async () => {
    const task = `${betaWork}.a.0`;
    for (let request = 0; request < 100; request++) {
      const data = Buffer.from("forged");
      thief.send({ type: "chunk", request, offset: 0, data, totalBytes: 6, end: true });
    }
    const response = await fetch(`${at.url}${API_PREFIX}/tasks/${task}/logs`, {
      headers: { authorization: `Bearer ${at.token}` },
    });
    assert.equal(await response.text(), "secret-of-beta\n");
  });

  await t.test("revoked, it is gone within a second and does not come back by any way", async () => {
    const next = rotationOf(identity);
    const revokedAt = performance.now();
    const revoking = client.call("revokeAgent", { params: { agent: identity.agent }, body: { reason: "stolen" } });
    await thief.waitClosed();
    const tookMs = performance.now() - revokedAt;
    assert.ok(tookMs < 1_000, `${Math.round(tookMs)} ms`);
    t.diagnostic(`the session ended ${Math.round(tookMs)} ms after the request`);
    await revoking;
    assert.equal((await thief.next("error", ({ code }) => code === "agent_revoked")).reaction, "enrol");
    const again = new AgentPeer(at.url);
    again.send(helloOf(identity, await again.next("challenge"), hello));
    assert.equal((await again.next("error")).code, "agent_revoked");
    await assert.rejects(client.call("rotateAgentKey", { body: next.body }), { code: "agent_revoked" });
    const { items } = await client.call("listAgents", {});
    assert.deepEqual(
      items.map(({ name }) => name),
      ["b"],
    );
  });

  // Nobody else noticed anything.
  writeFileSync(go, "");
  await until(async () => (await experimentState(at, betaWork)) === "COMPLETED", "beta's work", LIMIT_MS);
});

/** Starts the agent of project alpha as a site does, and lets a task of that project take what it finds. */
async function steal(t: TestContext, at: TestCoordinator): Promise<Loot> {
  const directory = await agentDirectory();
  const { token } = await at.client.call("createEnrolmentToken", { body: { project: "alpha" } });
  const agent = new FaultProcess({
    name: "agent",
    program: AIRAVATA,
    words: ["agent"],
    env: {
      ...process.env,
      API_URL: at.url,
      OUTPUT_DIR: directory,
      WORKER_ID: "a",
      AIRAVATA_ENROLMENT_TOKEN: token,
      AIRAVATA_CPUS: "2",
      AIRAVATA_METRICS_INTERVAL: "0s",
    },
    log: join(directory, "agent.log"),
  });
  agent.start();
  t.after(async () => {
    await agent.kill("SIGKILL");
    await removeAgentDirectory(directory);
  });
  const id = await submit(at, "alpha", 1, THEFT.join("\n        "));
  const attempt = join(directory, ".attempts", String(id), "a", "0", "1");
  await until(() => existsSync(join(attempt, "loot", "done")), "the theft", LIMIT_MS);
  const take = (name: string): string => readFileSync(join(attempt, "loot", name), "utf8");
  const { agent: number, name } = JSON.parse(take("state/agent.json"));
  const taken = readdirSync(join(attempt, "loot", "state"));
  assert.ok(taken.includes("agent.key"), `the theft worked: ${taken}`);
  const environ = take("environ");
  assert.ok(environ.includes(token), "the token of the first start is in the agent's environment");
  assert.ok(!take("own").includes(token), "and in no task's");
  assert.ok(!take("cmdline").includes(token));
  const privatePem = take("state/agent.key");
  const words =
    [environ, take("own"), take("state/agent.json"), privatePem].join("\n").match(/[\w./+-]{16,200}/g) ?? [];
  const bearers = [...new Set([token, privatePem.replaceAll(/-----.*?-----|\s/g, ""), String(number), name, ...words])];
  const identity = { agent: number as AgentId, name, privatePem };
  return { identity, root: take("root").trim(), bearers: bearers.slice(0, 6), enrolmentToken: token };
}

async function submit(at: TestCoordinator, project: string, tasks: number, command: string): Promise<number> {
  const spec = `project: ${project}
tasks:
  a:
    command: |
        ${command}
    task_inputs: { i: 1..${tasks} }
    task_outputs: { OUT: "*.txt" }
    requires: ${REQUIRES}
`;
  return (await at.client.call("submitExperiment", { body: { spec } })).id;
}

async function taskState(at: TestCoordinator, experiment: number, index: number) {
  return at.client.call("getTask", { params: { task: `${experiment}.a.${index}` } });
}

async function experimentState(at: TestCoordinator, experiment: number): Promise<string> {
  return (await at.client.call("getExperiment", { params: { experiment } })).state;
}

/** The status of a route with this bearer, asked about what is there. */
async function ask(at: TestCoordinator, route: Route, experiment: number, bearer: string): Promise<number> {
  const path = route.path
    .replace("{experiment}", String(experiment))
    .replace("{task}", `${experiment}.a.0`)
    .replace("{project}", "beta")
    .replace("{path}", "a/0/out.txt")
    .replaceAll(/\{\w+\}/g, "1");
  const body = route.method === "GET" || route.method === "DELETE" ? {} : { body: "{}" };
  const headers = { authorization: `Bearer ${bearer}`, ...(body.body ? { "content-type": "application/json" } : {}) };
  const response = await fetch(at.url + path, { method: route.method, headers, ...body });
  await response.body?.cancel();
  return response.status;
}

function upgrade(at: TestCoordinator, path: string, bearer: string): Promise<number> {
  const socket = new WebSocket(at.url.replace(/^http/, "ws") + path, {
    headers: { authorization: `Bearer ${bearer}` },
  });
  return new Promise((resolve) => {
    socket.on("unexpected-response", (_request, response) => resolve(response.statusCode ?? 0));
    socket.on("open", () => resolve(101));
    socket.on("error", () => {});
  });
}
