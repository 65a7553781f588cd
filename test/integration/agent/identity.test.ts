/** A real agent's identity at a real coordinator: another key under running tasks, interrupted anywhere; and its end. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { AgentOptions, RunningAgent } from "../../../agent/agent.ts";
import { generateIdentityKey, publicKeyText, readIdentityKey } from "../../../shared/identity/identity.ts";
import type { AgentId } from "../../../shared/model/ids.ts";
import { agentDirectory, removeAgentDirectory, startAgent } from "../../support/agent.ts";
import { AgentPeer, helloOf, rotationOf, until } from "../../support/agent-peer.ts";
import { airavata } from "../../support/cli.ts";
import { startTestCoordinator, type TestCoordinator } from "../../support/coordinator.ts";
import { FaultProcess } from "../../support/fault-process.ts";

const LIMIT_MS = 60_000;

async function stage(t: TestContext, more: Partial<AgentOptions> = {}) {
  const at = await startTestCoordinator(t, { sessionTtlMs: 60_000 });
  const directory = await agentDirectory();
  const { token: enrolmentToken } = await at.client.call("createEnrolmentToken", {});
  let agent: RunningAgent | undefined;
  const start = async (): Promise<RunningAgent> => {
    agent = await startAgent(at.url, directory, { name: "node", enrolmentToken, ...more });
    await until(async () => (await shown(at, agent?.agent ?? 0)).state === "READY", "its session", LIMIT_MS);
    return agent;
  };
  at.defer(async () => {
    await agent?.stop();
    await removeAgentDirectory(directory);
  });
  const key = (name = "agent.key"): string => readFileSync(join(directory, "state", name), "utf8");
  return { at, directory, start, key };
}

async function shown(at: TestCoordinator, agent: number) {
  return at.client.call("getAgent", { params: { agent } });
}

async function submit(at: TestCoordinator, command: string): Promise<number> {
  const spec = `tasks:\n  a:\n    command: ${JSON.stringify(command)}\n    requires: { cpu: 1, ram_gb: 0.01, disk_gb: 0 }\n`;
  return (await at.client.call("submitExperiment", { body: { spec } })).id;
}

async function stateOf(at: TestCoordinator, experiment: number): Promise<string> {
  return (await at.client.call("getExperiment", { params: { experiment } })).state;
}

test("another key under a running task: the former one is worth nothing, the task counts", async (t) => {
  const { at, directory, start, key } = await stage(t);
  const agent = await start();
  const go = join(directory, "go");
  const id = await submit(at, `touch ${directory}/begun; while [ ! -e ${go} ]; do sleep 0.05; done`);
  await until(() => existsSync(join(directory, "begun")), "the task", LIMIT_MS);
  const before = await shown(at, agent.agent);
  const former = key();
  const done = await airavata(["agent", "rotate-key", "--output-dir", directory, "--json"]);
  assert.deepEqual([done.code, JSON.parse(done.stdout).agent], [0, agent.agent], done.stderr);
  assert.notEqual(key(), former);
  assert.ok(!existsSync(join(directory, "state", "agent.key.next")));
  await until(
    async () => ((await shown(at, agent.agent)).session?.epoch ?? 0) > (before.session?.epoch ?? 0),
    "it is back",
  );
  assert.notEqual((await shown(at, agent.agent)).key_changed_at, before.key_changed_at);
  const thief = new AgentPeer(at.url);
  const identity = { agent: agent.agent as AgentId, name: "node", privatePem: former };
  thief.send(helloOf(identity, await thief.next("challenge")));
  assert.equal((await thief.next("error")).code, "hello_refused");
  await assert.rejects(at.client.call("rotateAgentKey", { body: rotationOf(identity).body }), {
    code: "hello_refused",
  });
  writeFileSync(go, "");
  await until(async () => (await stateOf(at, id)) === "COMPLETED", "its end", LIMIT_MS);
  assert.equal((await at.client.call("listAttempts", { params: { task: `${id}.a.0` } })).items.length, 1);
  const { items } = await at.client.call("listAudit", { query: { action: "agent.rotate" } });
  assert.equal(items.length, 1);
  assert.doesNotMatch(JSON.stringify(items), /PRIVATE|MC4CAQ/);
});

for (const known of [false, true]) {
  const which = known ? "the new one" : "the former one";
  test(`a process that dies while its key is changed, when ${which} counts: the next one finds out and is the same`, async (t) => {
    const { at, directory, start, key } = await stage(t);
    const first = await start();
    await first.stop();
    const former = readIdentityKey(key());
    const { body, next } = rotationOf({ agent: first.agent as AgentId, name: "node", privatePem: key() });
    writeFileSync(join(directory, "state", "agent.key.next"), next.privatePem, { mode: 0o600 });
    if (known) await at.client.call("rotateAgentKey", { body });
    const second = await start();
    assert.equal(second.agent, first.agent);
    await until(() => key() === next.privatePem, "the new key", LIMIT_MS);
    assert.ok(!existsSync(join(directory, "state", "agent.key.next")));
    assert.notEqual(publicKeyText(former), body.public_key);
    assert.equal((await at.client.call("listAgents", {})).items.length, 1);
  });
}

test("a key that grew old is replaced without anybody", async (t) => {
  const { at, start, key } = await stage(t, { keyMaxAgeMs: 500 });
  const { agent } = await start();
  const { key_changed_at: since } = await shown(at, agent);
  const former = key();
  await until(async () => (await shown(at, agent)).key_changed_at !== since, "another key", LIMIT_MS);
  await until(() => key() !== former, "that key on the disk", LIMIT_MS);
});

test("a statement that was changed, or of another's new key, changes nothing", async (t) => {
  const { at, start, key } = await stage(t);
  const { agent } = await start();
  const { body } = rotationOf({ agent: agent as AgentId, name: "node", privatePem: key() });
  const other = generateIdentityKey().publicKey;
  const changed = [
    { ...body, public_key: other },
    { ...body, previous_key: other },
    { ...body, name: "other" },
    { ...body, agent: agent + 1 },
    { ...body, new_proof: body.proof },
    { ...body, proof: body.new_proof },
  ];
  for (const one of changed)
    await assert.rejects(at.client.call("rotateAgentKey", { body: one }), { code: "hello_refused" });
  assert.equal((await shown(at, agent)).state, "READY");
});

test("revoked, an agent ends what it runs and leaves; the task runs elsewhere at nobody's expense; the name is free", async (t) => {
  const { at, directory, start } = await stage(t);
  const agent = await start();
  const pid = join(directory, "pid");
  const id = await submit(at, `echo $$ > ${pid}; [ "$AIRAVATA_ATTEMPT" = 2 ] || sleep 1000`);
  const running = await until(() => existsSync(pid) && readFileSync(pid, "utf8").trim(), "the task", LIMIT_MS);
  await at.client.call("revokeAgent", { params: { agent: agent.agent }, body: { reason: "gone bad" } });
  const { reason, message } = await agent.over;
  assert.equal(reason, "revoked");
  assert.match(message, /agent node was revoked.*to enrol anew remove .*agent\.json/);
  assert.ok(!existsSync(`/proc/${running}`), "its process is gone");
  await assert.rejects(shown(at, agent.agent), { code: "agent_not_found" });

  const elsewhere = await agentDirectory();
  const { token } = await at.client.call("createEnrolmentToken", {});
  const second = await startAgent(at.url, elsewhere, { name: "node", enrolmentToken: token });
  at.defer(async () => {
    await second.stop();
    await removeAgentDirectory(elsewhere);
  });
  await until(async () => (await stateOf(at, id)) === "COMPLETED", "the task elsewhere", LIMIT_MS);
  const { items } = await at.client.call("listAttempts", { params: { task: `${id}.a.0` } });
  const lost = items.find(({ attempt }) => attempt === 1);
  assert.deepEqual([lost?.outcome, lost?.charged_to], ["LOST", "none"]);
  assert.match(lost?.detail ?? "", /agent node was revoked/);
});

test("one that was away when it was revoked hears it when it comes back, and ends what it runs then", async (t) => {
  const { at, directory, start } = await stage(t);
  const first = await start();
  const pid = join(directory, "pid");
  await submit(at, `echo $$ > ${pid}; exec sleep 1000`);
  const running = await until(() => existsSync(pid) && readFileSync(pid, "utf8").trim(), "the task", LIMIT_MS);
  await first.stop();
  assert.ok(existsSync(`/proc/${running}`), "the task outlives its agent");
  await at.client.call("revokeAgent", { params: { agent: first.agent } });
  const back = new FaultProcess({
    name: "agent",
    program: join(import.meta.dirname, "../../../bin/airavata"),
    words: ["agent"],
    env: { ...process.env, API_URL: at.url, OUTPUT_DIR: directory, AIRAVATA_METRICS_INTERVAL: "0s" },
    log: join(directory, "agent.log"),
  });
  back.start();
  await until(() => back.ended !== undefined, "its end", LIMIT_MS);
  assert.equal(back.ended, 2, readFileSync(join(directory, "agent.log"), "utf8"));
  assert.match(readFileSync(join(directory, "agent.log"), "utf8"), /was revoked/);
  assert.ok(!existsSync(`/proc/${running}`), "its process is gone");
});

test("revoked through a replica, or by another coordinator altogether, the session ends as well", async (t) => {
  const { at, start } = await stage(t);
  const beside = await startTestCoordinator(t, { beside: at, leading: false });
  const agent = await start();
  await beside.client.call("revokeAgent", { params: { agent: agent.agent } });
  assert.equal((await agent.over).reason, "revoked");

  const { token } = await at.client.call("createEnrolmentToken", {});
  const directory = await agentDirectory();
  const second = await startAgent(at.url, directory, { name: "second", enrolmentToken: token });
  at.defer(async () => {
    await second.stop();
    await removeAgentDirectory(directory);
  });
  await until(async () => (await shown(at, second.agent)).state === "READY", "its session", LIMIT_MS);
  // As a coordinator that had not heard yet that it does not lead any more.
  const { openConnection } = await import("../../../db/connection.ts");
  const { parseDatabaseUrl } = await import("../../../db/address.ts");
  const connection = await openConnection(parseDatabaseUrl(at.databaseUrl), { name: "by hand" });
  await connection.query(`update agent set revoked_at = now() where agent = ${second.agent}`, 5_000);
  await connection.end();
  assert.equal((await second.over).reason, "revoked");
});
