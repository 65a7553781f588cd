/** Projects over HTTP and PostgreSQL: made and changed, agents bound to one, shares in the end. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError } from "../../../shared/api/client.ts";
import { generateIdentityKey } from "../../../shared/identity/identity.ts";
import type { AgentId } from "../../../shared/model/ids.ts";
import { completeEverything, connectAgent, until } from "../../support/agent-peer.ts";
import { startTestCoordinator, type TestCoordinator } from "../../support/coordinator.ts";

function spec(project: string, tasks: number): string {
  return `name: sweep\nproject: ${project}\ntasks:\n  a:\n    command: echo {n}\n    task_inputs: { n: 1..${tasks} }\n`;
}

async function enrol(at: TestCoordinator, name: string, body: { project?: string; any_project?: boolean }) {
  const { token } = await at.client.call("createEnrolmentToken", { body });
  const { privatePem, publicKey } = generateIdentityKey();
  const enrolled = await at.client.call("enrolAgent", { body: { token, name, public_key: publicKey } });
  return { agent: enrolled.agent as AgentId, name, privatePem };
}

function refusedWith(code: string, message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof ApiError);
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  };
}

test("projects are made, listed, changed and refused by name", async (t) => {
  const { client } = await startTestCoordinator(t);
  const made = await client.call("createProject", { body: { name: "physics", weight: 3, max_running_tasks: 10 } });
  assert.deepEqual([made.name, made.weight, made.max_running_tasks, made.max_cpus], ["physics", 3, 10, null]);
  await assert.rejects(
    client.call("createProject", { body: { name: "physics" } }),
    refusedWith("project_name_taken", /physics/),
  );
  const params = { project: "physics" };
  const changed = await client.call("changeProject", {
    params,
    body: { max_running_tasks: null, max_cpu_hours: 5, version: made.version },
  });
  assert.deepEqual([changed.weight, changed.max_running_tasks, changed.max_cpu_hours], [3, null, 5]);
  await assert.rejects(
    client.call("changeProject", { params, body: { weight: 1, version: made.version } }),
    refusedWith("project_changed", /version/),
  );
  const { items } = await client.call("listProjects", {});
  assert.deepEqual(
    items.map(({ name }) => name),
    ["default", "physics"],
  );
  await assert.rejects(
    client.call("submitExperiment", { body: { spec: spec("chem", 1) } }),
    refusedWith("project_not_found", /no project "chem", or you may not see it; yours are "default", "physics"$/),
  );
});

test("an agent that was enrolled for one project gets nothing of another", async (t) => {
  const at = await startTestCoordinator(t);
  await at.client.call("createProject", { body: { name: "physics" } });
  completeEverything(await connectAgent(at, await enrol(at, "bound", {})));
  const { id } = await at.client.call("submitExperiment", { body: { spec: spec("physics", 3) } });
  const own = await at.client.call("submitExperiment", { body: { spec: spec("default", 3) } });
  const state = async (experiment: number) => (await at.client.call("getExperiment", { params: { experiment } })).state;
  await until(async () => (await state(own.id)) === "COMPLETED", "the agent's own project");
  assert.equal(await state(id), "CREATED");
  const explained = await at.client.call("explainTask", { params: { task: `${id}.a.0` } });
  assert.deepEqual(
    explained.reasons.map(({ code }) => code),
    ["other_project"],
  );
  completeEverything(await connectAgent(at, await enrol(at, "shared", { any_project: true })));
  await until(async () => (await state(id)) === "COMPLETED", "an agent for all projects");
});

test("with weights 3 to 1 one agent's many short tasks end three to one while both have work", async (t) => {
  const at = await startTestCoordinator(t);
  await at.client.call("createProject", { body: { name: "heavy", weight: 3 } });
  await at.client.call("createProject", { body: { name: "light" } });
  const heavy = await at.client.call("submitExperiment", { body: { spec: spec("heavy", 600) } });
  const light = await at.client.call("submitExperiment", { body: { spec: spec("light", 600) } });
  const order: number[] = [];
  const peer = await connectAgent(at, await enrol(at, "shared", { any_project: true }));
  peer.on((message) => {
    if (message.type !== "leases") return;
    for (const { experiment, indexes } of message.groups) for (const _ of indexes) order.push(experiment);
  });
  completeEverything(peer);
  await until(() => order.length >= 1_200, "all tasks", 60_000);
  const lastHeavy = order.lastIndexOf(heavy.id);
  const beside = order.slice(0, lastHeavy).filter((experiment) => experiment === light.id).length;
  assert.ok(beside > 150 && beside < 250, `${beside} of the light beside 600 of the heavy`);
  const metrics = await (await at.client.open("metrics", {})).text();
  assert.match(metrics, /^scheduler_project_share\{project="heavy"\} [\d.]+$/m);
});

test("what a project used and may use outlives the coordinator", async (t) => {
  const at = await startTestCoordinator(t);
  await at.client.call("createProject", { body: { name: "physics", max_cpus: 2, weight: 5 } });
  const { id } = await at.client.call("submitExperiment", { body: { spec: spec("physics", 40) } });
  const peer = await connectAgent(at, await enrol(at, "shared", { any_project: true }));
  peer.on((message) => {
    if (message.type !== "leases") return;
    for (const group of message.groups) {
      const all = (value: number): number[] => group.indexes.map(() => value);
      const { experiment, template, indexes, attempts } = group;
      const ended = { outcomes: all(0), blames: all(0), exitCodes: all(0), signals: all(0), cpuMs: all(1) };
      const times = { startedAtMs: all(Date.now() - 900), endedAtMs: all(Date.now()), memoryMaxBytes: all(1) };
      peer.send({ type: "ended", groups: [{ experiment, template, indexes, attempts, ...ended, ...times }] });
    }
  });
  const state = async () => (await at.client.call("getExperiment", { params: { experiment: id } })).state;
  await until(async () => (await state()) === "COMPLETED", "the end");
  const before = await at.client.call("getProject", { params: { project: "physics" } });
  // 40 × 0.9 s on one cpu each are a hundredth of an hour.
  assert.ok(Math.abs(before.usage_cpu_hours - 0.01) < 0.0005, `${before.usage_cpu_hours}`);
  await at.restart();
  const after = await at.client.call("getProject", { params: { project: "physics" } });
  assert.ok(Math.abs(after.usage_cpu_hours - before.usage_cpu_hours) < 0.0005, `${after.usage_cpu_hours}`);
  assert.ok(Math.abs(after.period_cpu_hours - before.period_cpu_hours) < 0.0005, `${after.period_cpu_hours}`);
  assert.deepEqual([after.weight, after.max_cpus], [5, 2]);
});
