/** Shares of experiments and resources over HTTP, the registry of resources, and what the audit says of all that. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { parseDatabaseUrl } from "../../../db/address.ts";
import { openConnection } from "../../../db/connection.ts";
import { ApiError } from "../../../shared/api/client.ts";
import { startTestCoordinator, type TestCoordinator } from "../../support/coordinator.ts";
import { createUser } from "../../support/users.ts";

async function start(t: TestContext) {
  const at = await startTestCoordinator(t);
  const alice = await createUser(at, { username: "alice" });
  const bob = await createUser(at, { username: "bob" });
  return { at, root: at.client, alice: alice.client, bob: bob.client };
}

const refused = (code: string, message = /./) => {
  return (error: unknown) => error instanceof ApiError && error.code === code && message.test(error.message);
};

async function rows<T extends object>({ databaseUrl }: TestCoordinator, text: string): Promise<T[]> {
  const connection = await openConnection(parseDatabaseUrl(databaseUrl), { name: "shares test" });
  try {
    return await connection.rows<T>(text, [], 10_000);
  } finally {
    await connection.end();
  }
}

const relations = (at: TestCoordinator, type: string) =>
  rows<{ relation: string }>(
    at,
    `select relation, subject_type, subject_id from relationship where resource_type = '${type}' order by relation`,
  ).then((all) => all.map(({ relation }) => relation));

test("an experiment has relationships only while it is shared, and who was given it does not pass it on", async (t) => {
  const { at, root, alice, bob } = await start(t);
  await root.call("setProjectMember", { params: { project: "default" }, body: { user: "alice", role: "submitter" } });
  const { id } = await alice.call("submitExperiment", { body: { spec: 'tasks: { a: { command: "true" } }' } });
  const params = { experiment: id };
  const other = await root.call("submitExperiment", { body: { spec: 'tasks: { a: { command: "true" } }' } });
  assert.deepEqual(await relations(at, "experiment"), []);
  await assert.rejects(bob.call("getExperiment", { params }), refused("experiment_not_found"));

  const once = await alice.call("shareExperiment", { params, body: { user: "bob" } });
  assert.deepEqual(
    once.items.map((share) => [share.with.name, share.access]),
    [["bob", "read"]],
  );
  assert.deepEqual(await alice.call("shareExperiment", { params, body: { user: "bob" } }), once);
  assert.deepEqual(await relations(at, "experiment"), ["project", "reader"]);
  assert.deepEqual(
    (await bob.call("listExperiments", {})).items.map((one) => one.id),
    [id],
  );
  await assert.rejects(bob.call("cancelExperiment", { params }), refused("forbidden"));
  await assert.rejects(
    bob.call("getExperiment", { params: { experiment: other.id } }),
    refused("experiment_not_found"),
  );

  await alice.call("shareExperiment", { params, body: { user: "bob", access: "write" } });
  assert.deepEqual(await relations(at, "experiment"), ["project", "writer"]);
  assert.equal((await bob.call("pauseExperiment", { params })).experiment.state, "PAUSED");
  await assert.rejects(
    bob.call("shareExperiment", { params, body: { user: "bob" } }),
    refused("forbidden", /pass it on/),
  );
  await assert.rejects(bob.call("unshareExperiment", { params, query: { user: "bob" } }), refused("forbidden"));

  assert.deepEqual((await alice.call("unshareExperiment", { params, query: { user: "bob" } })).items, []);
  assert.deepEqual((await alice.call("unshareExperiment", { params, query: { user: "bob" } })).items, []);
  assert.deepEqual(await relations(at, "experiment"), []);
  await assert.rejects(bob.call("getExperiment", { params }), refused("experiment_not_found"));
  // Who may not submit any more does not give away either what he once submitted.
  await root.call("setProjectMember", { params: { project: "default" }, body: { user: "alice", role: "viewer" } });
  await assert.rejects(alice.call("shareExperiment", { params, body: { user: "bob" } }), refused("forbidden"));
});

test("resources are entered, seen, shared, changed and deleted by whom the rules say", async (t) => {
  const { at, root, alice, bob } = await start(t);
  await root.call("createProject", { body: { name: "physics" } });
  const member = (user: string, role: "operator" | "viewer") =>
    root.call("setProjectMember", { params: { project: "physics" }, body: { user, role } });
  await member("alice", "operator");
  const body = { name: "cluster", kind: "slurm", configuration: { host: "login", port: 22 } } as const;
  const ofProject = { ...body, project: "physics" };
  await assert.rejects(bob.call("createComputeResource", { body: ofProject }), refused("project_not_found"));
  await assert.rejects(alice.call("createComputeResource", { body }), refused("forbidden", /whole installation/));
  const secret = { ...ofProject, configuration: { host: "login", password: "x" } };
  await assert.rejects(alice.call("createComputeResource", { body: secret }), refused("request_invalid", /credential/));
  const made = await alice.call("createComputeResource", { body: ofProject });
  assert.deepEqual([made.project, made.configuration, made.version], ["physics", { host: "login", port: 22 }, 1]);
  await assert.rejects(root.call("createComputeResource", { body }), refused("resource_name_taken"));
  await root.call("createStorageResource", { body: { name: "cluster", kind: "local", configuration: { path: "/s" } } });
  const params = { resource: "cluster" };

  await assert.rejects(bob.call("getComputeResource", { params }), refused("resource_not_found"));
  await alice.call("shareComputeResource", { params, body: { user: "bob" } });
  const byNumber = await bob.call("getComputeResource", { params: { resource: String(made.id) } });
  assert.equal(byNumber.name, "cluster");
  const change = { description: "moved", version: 1 };
  await assert.rejects(bob.call("changeComputeResource", { params, body: change }), refused("forbidden"));
  await alice.call("shareComputeResource", { params, body: { user: "bob", access: "write" } });
  assert.equal((await bob.call("changeComputeResource", { params, body: change })).version, 2);
  await assert.rejects(bob.call("changeComputeResource", { params, body: change }), refused("resource_changed"));
  await assert.rejects(
    bob.call("changeComputeResource", { params, body: { configuration: {} } }),
    refused("request_invalid", /host/),
  );
  await assert.rejects(bob.call("deleteComputeResource", { params }), refused("forbidden", /manage/));

  // Who entered it owns it, also out of the project, until that is taken away.
  await root.call("removeProjectMember", { params: { project: "physics" }, query: { user: "alice" } });
  assert.deepEqual(
    (await alice.call("listComputeShares", { params })).items.map((share) => [share.with.name, share.access]),
    [
      ["alice", "owner"],
      ["bob", "write"],
    ],
  );
  // Sharing takes nothing from an owner.
  await alice.call("shareComputeResource", { params, body: { user: "alice" } });
  await alice.call("getComputeResource", { params });
  await root.call("unshareComputeResource", { params, query: { user: "alice" } });
  await assert.rejects(alice.call("getComputeResource", { params }), refused("resource_not_found"));
  await member("alice", "viewer");
  await alice.call("getComputeResource", { params });
  assert.deepEqual((await bob.call("listStorageResources", {})).items, []);

  await root.call("deleteComputeResource", { params });
  await assert.rejects(bob.call("getComputeResource", { params }), refused("resource_not_found"));
  assert.deepEqual(await relations(at, "compute_resource"), []);
  const response = await fetch(`${at.url}/api/v1/storage-resources/cluster/test`, {
    method: "POST",
    headers: { authorization: `Bearer ${at.token}` },
  });
  assert.match(((await response.json()) as { detail: string }).detail, /nothing provisions or stages yet/);
});

test("the audit names each change once, with who, before and after", async (t) => {
  const { at, root, alice } = await start(t);
  await alice.call("createGroup", { body: { name: "lab" } });
  await alice.call("addGroupMember", { params: { group: "lab" }, body: { user: "bob" } });
  await alice.call("addGroupMember", { params: { group: "lab" }, body: { user: "bob" } });
  const params = { project: "default" };
  await root.call("setProjectMember", { params, body: { group: "lab", role: "viewer" } });
  await root.call("setProjectMember", { params, body: { group: "lab", role: "operator" } });
  await root.call("changeProject", { params, body: { on_removal: "cancel" } });
  await alice.call("deleteGroup", { params: { group: "lab" }, query: { force: true } });
  const entries = await rows<{ action: string; via: string; project: string | null; before: object; after: object }>(
    at,
    `select action, via, project, before, after from audit where (action like 'group.%' or action like 'project.%')
     and outcome = 'done' order by entry`,
  );
  assert.deepEqual(
    entries.map(({ action }) => action),
    ["group.create", "group.member.add", "project.member.set", "project.member.set", "project.change", "group.delete"],
  );
  assert.match(entries[0]!.via, /^session \d+/);
  assert.deepEqual(entries[3]!.before, { group: "lab", relations: ["viewer"] });
  assert.deepEqual(entries[3]!.after, { group: "lab", relations: ["operator"] });
  assert.equal(String(entries[3]!.project), "1");
  assert.match(JSON.stringify(entries[5]!.before), /"relation":"operator"/);
});
