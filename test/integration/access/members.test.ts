/** Members of projects over HTTP: one role each, the last owner, and what becomes of the work of who leaves. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { ApiError, type Client } from "../../../shared/api/client.ts";
import { startTestCoordinator, type TestCoordinator } from "../../support/coordinator.ts";
import { until } from "../../support/fault-process.ts";
import { createUser } from "../../support/users.ts";

const params = { project: "physics" };
type Role = "owner" | "operator" | "submitter" | "viewer";

async function start(t: TestContext) {
  const at = await startTestCoordinator(t);
  await at.client.call("createProject", { body: { name: "physics" } });
  const [alice, bob, carol] = await Promise.all(
    ["alice", "bob", "carol"].map(async (username) => (await createUser(at, { username })).client),
  );
  return { at, root: at.client, alice: alice as Client, bob: bob as Client, carol: carol as Client };
}

const refused = (code: string, message = /./) => {
  return (error: unknown) => error instanceof ApiError && error.code === code && message.test(error.message);
};
const set = (client: Client, user: string, role: Role) =>
  client.call("setProjectMember", { params, body: { user, role } });
const remove = (client: Client, user: string) => client.call("removeProjectMember", { params, query: { user } });
const submit = async (client: Client): Promise<number> =>
  (await client.call("submitExperiment", { body: { spec: 'tasks: { a: { command: "true" } }', project: "physics" } }))
    .id;

test("each member has one role, and what the role may is in force when it is answered", async (t) => {
  const { root, alice, bob } = await start(t);
  await assert.rejects(bob.call("getProject", { params }), refused("project_not_found"));
  await set(root, "alice", "owner");
  for (const role of ["viewer", "submitter", "operator", "owner", "viewer"] as const) {
    const { items } = await set(alice, "bob", role);
    assert.deepEqual(
      items.map((one) => [one.member.name, one.role]),
      [
        ["alice", "owner"],
        ["bob", role],
      ],
    );
    assert.deepEqual(await set(alice, "bob", role), { items }, "again it is the same");
    await bob.call("getProject", { params });
    if (role === "viewer") await assert.rejects(submit(bob), refused("forbidden"));
    else await submit(bob);
    if (role === "owner") await set(bob, "bob", "owner");
    else await assert.rejects(set(bob, "bob", "owner"), refused("forbidden", /manage/));
  }
  await remove(alice, "bob");
  await remove(alice, "bob");
  await assert.rejects(bob.call("getProject", { params }), refused("project_not_found"));
  await assert.rejects(set(alice, "nobody", "viewer"), refused("user_not_found"));
});

test("the last owner stays, unless an administrator takes him out", async (t) => {
  const { root, alice } = await start(t);
  await set(root, "alice", "owner");
  for (const role of ["viewer", "operator"] as const) {
    await assert.rejects(set(alice, "alice", role), refused("last_owner", /alice is the last owner/));
  }
  await assert.rejects(remove(alice, "alice"), refused("last_owner"));
  await set(alice, "bob", "owner");
  await set(alice, "alice", "viewer");
  await assert.rejects(remove(alice, "bob"), refused("forbidden"));
  await remove(root, "bob");
  assert.deepEqual(
    (await root.call("listProjectMembers", { params })).items.map(({ role }) => role),
    ["viewer"],
  );
});

test("two owners who take each other out: one of them stays", async (t) => {
  const { root, alice, bob } = await start(t);
  for (let round = 0; round < 5; round++) {
    await set(root, "alice", "owner");
    await set(root, "bob", "owner");
    await Promise.allSettled([remove(alice, "bob"), remove(bob, "alice")]);
    const { items } = await root.call("listProjectMembers", { params });
    assert.equal(items.length, 1, `round ${round}`);
  }
});

test("owners say what becomes of the work of who leaves; weight and limits are the administrators'", async (t) => {
  const { root, alice, bob } = await start(t);
  await set(root, "alice", "owner");
  await set(root, "bob", "operator");
  assert.equal((await alice.call("changeProject", { params, body: { on_removal: "pause" } })).on_removal, "pause");
  const both = { on_removal: "keep", weight: 100 } as const;
  await assert.rejects(alice.call("changeProject", { params, body: both }), refused("forbidden", /whole installation/));
  await assert.rejects(bob.call("changeProject", { params, body: { on_removal: "keep" } }), refused("forbidden"));
  const seen = await root.call("changeProject", { params, body: { weight: 3 } });
  assert.deepEqual([seen.on_removal, seen.weight], ["pause", 3]);
});

test("who leaves by his role, a group, a group's group or his account: his work is stopped as the project says", async (t) => {
  const { at, root, alice, bob, carol } = await start(t);
  await set(root, "alice", "owner");
  await alice.call("changeProject", { params, body: { on_removal: "pause" } });
  const kept = await submit(alice);

  await set(alice, "bob", "submitter");
  const first = await submit(bob);
  await set(alice, "bob", "operator");
  await stays(at, first, "CREATED");
  await set(alice, "bob", "viewer");
  await becomes(at, first, "PAUSED");
  assert.match(
    await reason(at, first),
    /paused because bob may not submit to project physics any more; alice took that/,
  );
  // Whoever resumes it has the last word, also after further changes.
  await alice.call("resumeExperiment", { params: { experiment: first } });
  await remove(alice, "bob");
  await stays(at, first, "CREATED");

  await root.call("createGroup", { body: { name: "lab" } });
  await root.call("createGroup", { body: { name: "faculty" } });
  await root.call("addGroupMember", { params: { group: "faculty" }, body: { group: "lab" } });
  await root.call("addGroupMember", { params: { group: "lab" }, body: { user: "carol" } });
  await alice.call("setProjectMember", { params, body: { group: "faculty", role: "submitter" } });
  await alice.call("changeProject", { params, body: { on_removal: "cancel" } });
  const byGroup = await submit(carol);
  await root.call("removeGroupMember", { params: { group: "faculty" }, query: { group: "lab" } });
  await becomes(at, byGroup, "CANCELED");

  await set(alice, "carol", "submitter");
  const byAccount = await submit(carol);
  await root.call("disableUser", { params: { user: "carol" } });
  await becomes(at, byAccount, "CANCELED");
  await stays(at, kept, "CREATED");
});

async function becomes({ client }: TestCoordinator, experiment: number, state: string): Promise<void> {
  const look = async () => (await client.call("getExperiment", { params: { experiment } })).state === state;
  await until(`experiment ${experiment} is ${state}`, look);
}

/** Through a change that lets the work of who left be looked at again, and is looked at itself. */
async function stays(at: TestCoordinator, experiment: number, state: string): Promise<void> {
  const { client } = at;
  const name = `marker-${experiment}-${Date.now()}`;
  await client.call("createProject", { body: { name, on_removal: "pause" } });
  const marker = await createUser(at, { username: name });
  await client.call("setProjectMember", { params: { project: name }, body: { user: name, role: "submitter" } });
  const body = { spec: 'tasks: { a: { command: "true" } }', project: name };
  const { id } = await marker.client.call("submitExperiment", { body });
  await client.call("removeProjectMember", { params: { project: name }, query: { user: name } });
  await becomes(at, id, "PAUSED");
  assert.equal((await client.call("getExperiment", { params: { experiment } })).state, state);
}

async function reason({ client }: TestCoordinator, experiment: number): Promise<string> {
  const { items } = await client.call("experimentTimeline", { params: { experiment } });
  return items.map(({ message, data }) => `${message} ${JSON.stringify(data)}`).join("\n");
}
