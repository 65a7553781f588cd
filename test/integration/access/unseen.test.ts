/** What somebody learns of what he may not see, and can do to it: nothing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError } from "../../../shared/api/client.ts";
import { connectAgent, enrolTestAgent } from "../../support/agent-peer.ts";
import { startTestCoordinator, type TestCoordinator } from "../../support/coordinator.ts";
import { createUser } from "../../support/users.ts";

/** Somebody who owns the project `<name>s`. */
async function owner(at: TestCoordinator, username: string) {
  const user = await createUser(at, { username });
  const project = `${username}s`;
  await at.client.call("createProject", { body: { name: project } });
  await at.client.call("setProjectMember", { params: { project }, body: { user: username, role: "owner" } });
  return { ...user, project };
}

async function refusal(call: Promise<unknown>): Promise<string> {
  const error = await call.then(
    () => assert.fail("it was not refused"),
    (error: unknown) => error,
  );
  assert.ok(error instanceof ApiError, String(error));
  return `${error.code}: ${error.message}`;
}

test("what is there unseen is refused in the words for what is not there", async (t) => {
  const at = await startTestCoordinator(t);
  const [ada, mallory] = await Promise.all([owner(at, "ada"), owner(at, "mallory")]);
  const configuration = { host: "login.example" };
  await ada.client.call("createComputeResource", {
    body: { name: "hidden", kind: "slurm", configuration, project: "adas" },
  });
  const secret = Buffer.from("hunter2").toString("base64");
  const key = { name: "key", type: "PASSWORD" as const, secret };
  const { id: credential } = await mallory.client.call("createCredential", { body: key });
  const params = { credential };
  const asks: ((name: string) => Promise<unknown>)[] = [
    (compute_resource) =>
      mallory.client.call("createEnrolmentToken", { body: { project: "mallorys", compute_resource } }),
    (compute_resource) => mallory.client.call("bindCredential", { params, body: { compute_resource } }),
    (compute_resource) => mallory.client.call("unbindCredential", { params, query: { compute_resource } }),
  ];
  for (const ask of asks) {
    assert.equal((await refusal(ask("hidden"))).replaceAll("hidden", "absent"), await refusal(ask("absent")));
  }
  const inProject = (project: string) => mallory.client.call("createCredential", { body: { ...key, project } });
  assert.equal((await refusal(inProject("adas"))).replaceAll("adas", "nones"), await refusal(inProject("nones")));
});

test("an Idempotency-Key is its caller's: nobody is answered with another one's enrolment token", async (t) => {
  const at = await startTestCoordinator(t);
  const [ada, mallory] = await Promise.all([owner(at, "ada"), owner(at, "mallory")]);
  await at.client.call("setProjectMember", {
    params: { project: "adas" },
    body: { user: "mallory", role: "operator" },
  });
  const ask = { body: { project: "adas" }, idempotencyKey: "tuesday" };
  const [hers, his, again] = [
    await ada.client.call("createEnrolmentToken", ask),
    await mallory.client.call("createEnrolmentToken", ask),
    await ada.client.call("createEnrolmentToken", ask),
  ];
  assert.notEqual(his.token, hers.token);
  assert.equal(again.token, hers.token);
});

test("explaining names no agent that one may not see, and counts those of other projects", async (t) => {
  const at = await startTestCoordinator(t);
  const mallory = await owner(at, "mallory");
  const agent = await enrolTestAgent(at, "secretive");
  await connectAgent(at, agent);
  const specOf = (project: string) => `project: ${project}\ntasks: { a: { command: "true", requires: { cpu: 9999 } } }`;
  const own = await mallory.client.call("submitExperiment", { body: { spec: specOf("mallorys") } });
  const { reasons } = await mallory.client.call("explainTask", { params: { task: `${own.id}.a.0` } });
  assert.deepEqual(reasons, [
    {
      code: "other_project",
      message: "1 connected agent serves other projects than mallorys.",
      data: { agents: 1 },
    },
  ]);
  const shared = await at.client.call("submitExperiment", { body: { spec: specOf("default") } });
  const params = { experiment: shared.id };
  await at.client.call("shareExperiment", { params, body: { user: "mallory" } });
  const told = await mallory.client.call("explainExperiment", { params });
  assert.match(told.waiting[0]?.reasons[0]?.message ?? "", /^An agent is too small: 9999 cpus needed/);
  assert.doesNotMatch(JSON.stringify(told), /secretive|"agent":/);
  const said = await at.client.call("explainExperiment", { params });
  assert.match(said.waiting[0]?.reasons[0]?.message ?? "", /^secretive is too small/);
  assert.equal(said.waiting[0]?.reasons[0]?.data?.agent, agent.agent);
});

test("a group that one does not see is put into no other, so that nobody keeps it from being deleted", async (t) => {
  const at = await startTestCoordinator(t);
  const [ada, mallory] = await Promise.all([owner(at, "ada"), owner(at, "mallory")]);
  const { id } = await ada.client.call("createGroup", { body: { name: "lab" } });
  await mallory.client.call("createGroup", { body: { name: "pit" } });
  const params = { group: "pit" };
  const put = (group: string) => mallory.client.call("addGroupMember", { params, body: { group } });
  for (const [there, absent] of [
    ["lab", "none"],
    [String(id), "999999"],
  ] as const) {
    assert.equal((await refusal(put(there))).replaceAll(there, absent), await refusal(put(absent)));
  }
  await ada.client.call("addGroupMember", { params: { group: "lab" }, body: { user: "mallory" } });
  assert.equal((await put("lab")).members[0]?.name, "lab");
  await mallory.client.call("removeGroupMember", { params, query: { group: "lab" } });
  // Roles and shares may go to any group.
  await ada.client.call("removeGroupMember", { params: { group: "lab" }, query: { user: "mallory" } });
  const project = { project: mallory.project };
  await mallory.client.call("setProjectMember", { params: project, body: { group: "lab", role: "viewer" } });
});
