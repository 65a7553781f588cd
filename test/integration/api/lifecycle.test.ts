/** An experiment through the real API, dispatcher, database and an agent's socket: submitted, leased, ended, read back. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError } from "../../../shared/api/client.ts";
import type { ExperimentDetail } from "../../../shared/api/experiment.ts";
import { completeEverything, connectAgent, endGroup, enrolTestAgent, until } from "../../support/agent-peer.ts";
import { startTestCoordinator, type TestCoordinator } from "../../support/coordinator.ts";

const SPEC = `
name: sweep
tasks:
  a:
    command: echo {n}
    task_inputs: { n: 1..5 }
    retries: { max: 1, on: [exit] }
`;

function ended(at: TestCoordinator, experiment: number): Promise<ExperimentDetail> {
  return until(async () => {
    const detail = await at.client.call("getExperiment", { params: { experiment } });
    return ["COMPLETED", "FAILED", "CANCELED"].includes(detail.state) && detail;
  }, `the end of experiment ${experiment}`);
}

test("a sweep is submitted, run and read back", async (t) => {
  const at = await startTestCoordinator(t);
  const peer = await connectAgent(at, await enrolTestAgent(at));
  completeEverything(peer);
  const submitted = await at.client.call("submitExperiment", { body: { spec: SPEC, priority: 7 } });
  assert.equal(submitted.name, "sweep");
  assert.equal(submitted.priority, 7);
  const detail = await ended(at, submitted.id);
  assert.equal(detail.state, "COMPLETED");
  assert.equal(detail.tasks.completed, 5);
  assert.equal(detail.templates[0]?.tasks.completed, 5);

  const tasks = await at.client.call("listTasks", { params: { experiment: submitted.id } });
  assert.deepEqual(
    tasks.items.map(({ id, state, attempt }) => [id, state, attempt]),
    [0, 1, 2, 3, 4].map((index) => [`${submitted.id}.a.${index}`, "COMPLETED", 1]),
  );
  const task = await at.client.call("getTask", { params: { task: `${submitted.id}.0.2` } });
  assert.deepEqual(task.inputs, { n: "3" });
  const attempts = await at.client.call("listAttempts", { params: { task: task.id } });
  assert.equal(attempts.items.length, 1);
  assert.equal(attempts.items[0]?.outcome, "COMPLETED");
  assert.equal(attempts.items[0]?.agent_name, "peer-1");
  const spec = await at.client.call("getExperiment", {
    params: { experiment: submitted.id },
    query: { include: "spec" },
  });
  assert.equal(spec.spec, SPEC);

  const agents = await at.client.call("listAgents", {});
  assert.equal(agents.items[0]?.state, "READY");
  assert.equal(agents.items[0]?.session?.capacity.cpus, 4);
  const metrics = await (await at.client.open("metrics", {})).text();
  assert.match(metrics, /^scheduler_tasks_total\{state="completed"\} 5$/m);
  assert.match(metrics, /^scheduler_tasks_duration_seconds_count 5$/m);
  assert.match(metrics, /^scheduler_workers_active 1$/m);
  assert.match(metrics, /^scheduler_lease_seconds_count 5$/m);
  assert.match(metrics, /^scheduler_acknowledgement_seconds_count 5$/m);
  assert.match(metrics, /^scheduler_dispatch_journal_lag_seconds 0$/m);
  assert.match(metrics, /^nodejs_eventloop_lag_p99_seconds /m);
  assert.match(
    metrics,
    /^scheduler_api_requests_total\{method="POST",route="\/api\/v1\/experiments",status="201"\} 1$/m,
  );
});

test("failures are grouped, explained and retried", async (t) => {
  const at = await startTestCoordinator(t);
  const peer = await connectAgent(at, await enrolTestAgent(at));
  let broken = true;
  peer.on((message) => {
    if (message.type !== "leases") return;
    for (const group of message.groups) endGroup(peer, group, broken ? 3 : 0, broken ? "no such ligand\n" : undefined);
  });
  peer.send({ type: "free", ahead: 10, lastsMs: null, draining: false });
  const spec = SPEC.replace("max: 1", "max: 0");
  const { id } = await at.client.call("submitExperiment", { body: { spec } });
  assert.equal((await ended(at, id)).state, "FAILED");
  const explained = await at.client.call("explainExperiment", { params: { experiment: id } });
  assert.deepEqual(explained.failures, [
    {
      template: "a",
      blame: "exit",
      exit_code: 3,
      signal: null,
      tasks: 5,
      example: explained.failures[0]?.example,
      stderr_tail: "no such ligand\n",
      detail: null,
    },
  ]);
  broken = false;
  const retried = await at.client.call("retryExperiment", { params: { experiment: id }, body: { reason: "mended" } });
  assert.equal(retried.affected, 5);
  assert.equal((await ended(at, id)).state, "COMPLETED");
  const { items } = await at.client.call("experimentTimeline", { params: { experiment: id } });
  assert.deepEqual(
    items.map(({ kind }) => kind),
    ["submitted", "ended", "retry", "ended"],
  );
  const first = await at.client.call("experimentTimeline", { params: { experiment: id }, query: { limit: 2 } });
  const second = await at.client.call("experimentTimeline", {
    params: { experiment: id },
    query: { limit: 2, cursor: first.next_cursor ?? "" },
  });
  assert.deepEqual([...first.items, ...second.items], items);
  assert.equal(second.next_cursor, null);
});

test("what a restart of the coordinator leaves: everything", async (t) => {
  const at = await startTestCoordinator(t);
  const identity = await enrolTestAgent(at);
  const { id } = await at.client.call("submitExperiment", { body: { spec: SPEC } });
  const done = await at.client.call("submitExperiment", { body: { spec: SPEC } });
  await at.client.call("cancelExperiment", { params: { experiment: done.id } });
  await at.restart();
  assert.equal((await at.client.call("getExperiment", { params: { experiment: id } })).state, "CREATED");
  assert.equal((await at.client.call("getExperiment", { params: { experiment: done.id } })).state, "CANCELED");
  const page = await at.client.call("listExperiments", {});
  assert.deepEqual(
    page.items.map((item) => [item.id, item.state]),
    [
      [done.id, "CANCELED"],
      [id, "CREATED"],
    ],
  );
  const canceled = await at.client.call("listExperiments", { query: { state: "CANCELED" } });
  assert.deepEqual(
    canceled.items.map((item) => item.id),
    [done.id],
  );
  const tasks = await at.client.call("listTasks", { params: { experiment: done.id }, query: { state: "CANCELED" } });
  assert.equal(tasks.items.length, 5);
  completeEverything(await connectAgent(at, identity));
  assert.equal((await ended(at, id)).state, "COMPLETED");
});

test("single tasks are canceled by name, and a cancel reaches the agent", async (t) => {
  const at = await startTestCoordinator(t);
  const peer = await connectAgent(at, await enrolTestAgent(at));
  peer.send({ type: "free", ahead: 0, lastsMs: null, draining: false });
  const { id } = await at.client.call("submitExperiment", { body: { spec: SPEC } });
  const leases = await peer.next("leases");
  const held = leases.groups[0]!;
  const index = held.indexes[0]!;
  await at.client.call("cancelTask", { params: { task: `${id}.a.${index}` }, body: { reason: "wrong input" } });
  const cancel = await peer.next("cancel");
  assert.deepEqual(cancel.groups[0]?.indexes, [index]);
  const queued = 4;
  const task = await at.client.call("cancelTask", { params: { task: `${id}.a.${queued}` } });
  assert.equal(task.state, "CANCELED");
  await assert.rejects(
    at.client.call("cancelTask", { params: { task: `${id}.a.77` } }),
    (error: unknown) => error instanceof ApiError && error.status === 404 && /tasks 0 to 4/.test(error.message),
  );
  const drained = await at.client.call("drainAgent", { params: { agent: 1 }, body: { reason: "maintenance" } });
  assert.equal(drained.id, 1);
  await until(() => peer.received.some(({ type }) => type === "drain"), "a drain");
});
