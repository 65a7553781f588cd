/** Groups over HTTP: who makes, sees and manages them, how they nest, and what their end takes along. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { ApiError, type Client } from "../../../shared/api/client.ts";
import { GROUP_DEPTH_MAX, GROUPS_PER_PERSON_MAX } from "../../../shared/model/constants.ts";
import { startTestCoordinator } from "../../support/coordinator.ts";
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
const add = (client: Client, group: string, body: { user?: string; group?: string; role?: "member" | "manager" }) =>
  client.call("addGroupMember", { params: { group }, body });

test("whoever makes a group manages it, members see it, others find nothing", async (t) => {
  const { root, alice, bob } = await start(t);
  const made = await alice.call("createGroup", { body: { name: "lab", description: "room 12" } });
  assert.deepEqual([made.managers.map(({ name }) => name), made.members, made.version], [["alice"], [], 1]);
  const params = { group: "lab" };
  await assert.rejects(bob.call("getGroup", { params }), refused("group_not_found"));
  await assert.rejects(bob.call("getGroup", { params: { group: String(made.id) } }), refused("group_not_found"));
  await assert.rejects(add(bob, "lab", { user: "bob" }), refused("group_not_found"));
  assert.deepEqual((await bob.call("listGroups", {})).items, []);

  await add(alice, "lab", { user: "bob" });
  const again = await add(alice, "lab", { user: "BOB" });
  assert.deepEqual(
    again.members.map(({ name }) => name),
    ["bob"],
  );
  assert.equal((await bob.call("getGroup", { params: { group: String(made.id) } })).name, "lab");
  await assert.rejects(add(bob, "lab", { user: "alice" }), refused("forbidden", /permission to manage/));
  await assert.rejects(bob.call("deleteGroup", { params }), refused("forbidden"));

  await add(alice, "lab", { user: "bob", role: "manager" });
  await add(bob, "lab", { user: "alice" });
  await bob.call("removeGroupMember", { params, query: { user: "alice", role: "manager" } });
  await assert.rejects(add(alice, "lab", { user: "alice", role: "manager" }), refused("forbidden"));
  await bob.call("removeGroupMember", { params, query: { user: "alice" } });
  await bob.call("removeGroupMember", { params, query: { user: "alice" } });
  await assert.rejects(alice.call("getGroup", { params }), refused("group_not_found"));
  assert.equal((await root.call("getGroup", { params })).managers.length, 1);

  const change = { description: "room 14", version: 1 };
  assert.equal((await bob.call("changeGroup", { params, body: change })).version, 2);
  await assert.rejects(bob.call("changeGroup", { params, body: change }), refused("group_changed", /version 2, not 1/));
  await assert.rejects(alice.call("createGroup", { body: { name: "lab" } }), refused("group_name_taken"));
  for (const name of ["Lab", "12", "a b", ""]) {
    await assert.rejects(alice.call("createGroup", { body: { name } }), refused("request_invalid"));
  }
  await assert.rejects(add(bob, "lab", { user: "nobody" }), refused("user_not_found"));
  await assert.rejects(add(bob, "lab", { user: "bob", group: "lab" }), refused("request_invalid", /either/));
  await assert.rejects(add(bob, "lab", { group: "lab", role: "manager" }), refused("request_invalid", /people/));
});

test("groups nest, in no circle and not without end", async (t) => {
  const { root, alice } = await start(t);
  for (const name of ["a", "b", "c"]) await root.call("createGroup", { body: { name } });
  await add(root, "a", { group: "b" });
  await add(root, "b", { group: "c" });
  await add(root, "c", { user: "alice" });
  assert.deepEqual(
    (await alice.call("listGroups", {})).items.map(({ name }) => name),
    ["a", "b", "c"],
  );
  await assert.rejects(add(root, "a", { group: "a" }), refused("group_nesting_refused", /in itself/));
  await assert.rejects(add(root, "c", { group: "a" }), refused("group_nesting_refused", /circle/));
  await assert.rejects(add(root, "b", { group: "a" }), refused("group_nesting_refused", /circle/));
  // Two ways to the same group are no circle.
  await add(root, "a", { group: "c" });
  await root.call("removeGroupMember", { params: { group: "b" }, query: { group: "c" } });
  assert.deepEqual(
    (await alice.call("listGroups", {})).items.map(({ name }) => name),
    ["a", "c"],
  );

  for (let i = 0; i <= GROUP_DEPTH_MAX + 1; i++) await root.call("createGroup", { body: { name: `d${i}` } });
  for (let i = 0; i < GROUP_DEPTH_MAX; i++) await add(root, `d${i}`, { group: `d${i + 1}` });
  const deepest = `d${GROUP_DEPTH_MAX}`;
  await assert.rejects(
    add(root, deepest, { group: `d${GROUP_DEPTH_MAX + 1}` }),
    refused("group_nesting_refused", /deep/),
  );
  await assert.rejects(add(root, `d${GROUP_DEPTH_MAX + 1}`, { group: "d0" }), refused("group_nesting_refused", /deep/));
  // What is within the bound counts to its end.
  await root.call("setProjectMember", { params: { project: "default" }, body: { group: "d0", role: "viewer" } });
  await add(root, deepest, { user: "alice" });
  assert.deepEqual(
    (await alice.call("listProjects", {})).items.map(({ name }) => name),
    ["default"],
  );
});

test("two that would close a circle together: one of them is refused", async (t) => {
  const { root } = await start(t);
  for (let round = 0; round < 5; round++) {
    for (const name of ["x", "y"]) await root.call("createGroup", { body: { name: `${name}${round}` } });
    const both = await Promise.allSettled([
      add(root, `x${round}`, { group: `y${round}` }),
      add(root, `y${round}`, { group: `x${round}` }),
    ]);
    assert.deepEqual(both.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  }
});

test("a group whose people have something by it is deleted by force only, and they lose it at once", async (t) => {
  const { root, alice, bob } = await start(t);
  await alice.call("createGroup", { body: { name: "lab" } });
  await add(alice, "lab", { user: "bob" });
  await root.call("setProjectMember", { params: { project: "default" }, body: { group: "lab", role: "submitter" } });
  const { id } = await bob.call("submitExperiment", { body: { spec: 'tasks: { a: { command: "true" } }' } });
  const params = { group: "lab" };
  await assert.rejects(alice.call("deleteGroup", { params }), refused("group_in_use", /are submitter of project 1/));
  assert.equal((await bob.call("getExperiment", { params: { experiment: id } })).id, id);
  assert.equal((await alice.call("deleteGroup", { params, query: { force: true } })).name, "lab");
  await assert.rejects(bob.call("getExperiment", { params: { experiment: id } }), refused("experiment_not_found"));
  await assert.rejects(root.call("getGroup", { params }), refused("group_not_found"));
  const { items } = await root.call("listProjectMembers", { params: { project: "default" } });
  assert.deepEqual(items, []);
  // A new one of that name has nothing of the old one's.
  await alice.call("createGroup", { body: { name: "lab" } });
  await add(alice, "lab", { user: "bob" });
  await assert.rejects(bob.call("getExperiment", { params: { experiment: id } }), refused("experiment_not_found"));
});

test("one person makes so many groups; lists come in pages", async (t) => {
  const { root, alice } = await start(t);
  const names = Array.from({ length: GROUPS_PER_PERSON_MAX }, (_, i) => `g${String(i).padStart(3, "0")}`);
  for (const name of names) await alice.call("createGroup", { body: { name } });
  await assert.rejects(alice.call("createGroup", { body: { name: "more" } }), refused("groups_too_many", /100/));
  await root.call("createGroup", { body: { name: "more" } });
  const seen: string[] = [];
  for (let cursor: string | undefined; ; ) {
    const page = await alice.call("listGroups", { query: { limit: 30, cursor } });
    seen.push(...page.items.map(({ name }) => name));
    if (page.next_cursor === null) break;
    cursor = page.next_cursor;
  }
  assert.deepEqual(seen, names);
});
