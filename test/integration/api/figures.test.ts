/**
 * From a real task under a real agent through a real coordinator to whoever asks: while it runs, at its end, by the API,
 * the command line, /metrics and SQL, also through a coordinator that does not lead.
 */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { parseDatabaseUrl } from "../../../db/address.ts";
import { openConnection } from "../../../db/connection.ts";
import { agentDirectory, countsStorage, removeAgentDirectory, startAgent } from "../../support/agent.ts";
import { connectAgent, enrolTestAgent, until } from "../../support/agent-peer.ts";
import { airavata } from "../../support/cli.ts";
import { startTestCoordinator } from "../../support/coordinator.ts";

const MIB = 2 ** 20;

test("a running task's figures, and what stays of them", async (t) => {
  const at = await startTestCoordinator(t);
  const replica = await startTestCoordinator(t, { beside: at, leading: false });
  const directory = await agentDirectory();
  const { token } = await at.client.call("createEnrolmentToken", {});
  const agent = await startAgent(at.url, directory, { name: "node-1", enrolmentToken: token, metricsIntervalMs: 300 });
  at.defer(async () => {
    await agent.stop();
    await removeAgentDirectory(directory);
  });
  const writtenMin = (await countsStorage(directory)) ? 9 * MIB : 0;
  const stop = join(directory, "stop");
  const script = `head -c ${10 * MIB} /dev/zero > written; sync written; while ! [ -e ${stop} ]; do :; done`;
  const spec = { name: "burn", tasks: { burn: { command: script } } };
  const { id } = await at.client.call("submitExperiment", { body: { spec } });
  const params = { task: `${id}.burn.0` };

  const running = await until(async () => {
    const task = await at.client.call("getTask", { params });
    return task.usage !== null && task.usage.recent.length > 2 && task;
  }, "figures of the running task");
  assert.equal(running.phase, "RUNNING");
  assert.ok(Math.abs(Date.parse(running.started_at ?? "") - Date.now()) < 60_000);
  assert.ok((running.usage?.cpu_seconds ?? 0) > 0.1);
  assert.ok((running.usage?.written_bytes ?? 0) >= writtenMin, `${running.usage?.written_bytes} written`);
  const forwarded = await replica.client.call("getTask", { params });
  assert.equal(forwarded.started_at, running.started_at);
  assert.notEqual(forwarded.usage, null);
  const [held] = (await at.client.call("listAttempts", { params })).items;
  assert.equal(held?.started_at, running.started_at);

  const env = { AIRAVATA_SERVER: at.url, AIRAVATA_TOKEN: at.token };
  const shown = await airavata(["task", "show", params.task], { env });
  assert.match(shown.stdout, /^started .* ago$/m);
  assert.match(shown.stdout, /^storage +.* read, .* written$/m);
  const node = (await replica.client.call("getAgent", { params: { agent: agent.agent } })).figures;
  assert.equal(node?.tasks_running, 1);
  assert.ok((node?.memory_used_bytes ?? 0) > 64 * MIB);
  const history = await replica.client.call("getAgentMetrics", { params: { agent: agent.agent } });
  assert.ok(history.items.length >= 1);
  const later = await at.client.call("getAgentMetrics", {
    params: { agent: agent.agent },
    query: { since: new Date(Date.now() + 60_000).toISOString() },
  });
  assert.deepEqual(later.items, []);
  assert.match((await airavata(["agent", "show", "node-1"], { env })).stdout, /^node cpu +\d+ % of \d+, load /m);
  const list = JSON.parse((await airavata(["agent", "list", "--json"], { env })).stdout);
  assert.equal(list.items[0].figures.tasks_running, 1);
  assert.match((await airavata(["agent", "list"], { env })).stdout, /CPU +MEM +FREE/);
  const metrics = await (await at.client.open("metrics", {})).text();
  assert.match(metrics, /^scheduler_agent_tasks_running\{agent="node-1"\} 1$/m);
  assert.doesNotMatch(await (await replica.client.open("metrics", {})).text(), /scheduler_agent_cpus\{/);

  await writeFile(stop, "");
  const [attempt] = await until(async () => {
    const { items } = await at.client.call("listAttempts", { params });
    return items[0]?.outcome === "COMPLETED" && items;
  }, "its end");
  assert.ok((attempt?.written_bytes ?? 0) >= writtenMin, `${attempt?.written_bytes} written`);
  const ended = await at.client.call("getTask", { params });
  assert.deepEqual([ended.usage, ended.started_at], [null, null]);
  const connection = await openConnection(parseDatabaseUrl(at.databaseUrl), { name: "test" });
  const rows = await connection.rows<{ written_bytes: string }>(
    "select read_bytes, written_bytes from attempt",
    [],
    10_000,
  );
  await connection.end();
  assert.equal(Number(rows[0]?.written_bytes), attempt?.written_bytes);
});

test("figures stay while an agent changes its connection, and go when its coordinator stops leading", async (t) => {
  const at = await startTestCoordinator(t);
  const identity = await enrolTestAgent(at);
  const params = { agent: identity.agent as number };
  const peer = await connectAgent(at, identity);
  const figures = async () => (await at.client.call("getAgent", { params })).figures;
  assert.equal(await figures(), null);
  peer.send({ type: "metrics", atMs: 1, node: [0.25, 4], groups: [] });
  await until(figures, "its figures");
  peer.close();
  await peer.waitClosed();
  const next = await connectAgent(at, identity);
  assert.equal((await figures())?.cpu, 0.25);
  assert.equal((await figures())?.load1, null);
  next.send({ type: "metrics", atMs: 2, node: [0.5, 4], groups: [] });
  await until(async () => (await figures())?.cpu === 0.5, "the next sample");
  next.close();
  await at.restart();
  await connectAgent(at, identity);
  assert.equal(await figures(), null);
});
