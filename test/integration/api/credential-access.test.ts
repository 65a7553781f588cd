/** Who may what with a credential: its owner, those it is shared with, strangers, and whoever may change a resource. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError, type Client } from "../../../shared/api/client.ts";
import { startTestCoordinator } from "../../support/coordinator.ts";
import { createUser } from "../../support/users.ts";

const secret = Buffer.from("hunter2").toString("base64");

/** What somebody is answered: `ok`, or the code of the refusal. */
async function told(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "ok";
  } catch (error) {
    assert.ok(error instanceof ApiError, String(error));
    return error.code;
  }
}

/** Everything that one may ask about a credential, the gravest last. */
async function everything(client: Client, credential: number): Promise<Record<string, string>> {
  const params = { credential };
  const asks: [string, () => Promise<unknown>][] = [
    ["show", () => client.call("getCredential", { params })],
    ["test", () => client.call("testCredential", { params })],
    ["usage", () => client.call("credentialUsage", { params })],
    ["change", () => client.call("changeCredential", { params, body: { description: "d" } })],
    ["rotate", () => client.call("rotateCredential", { params, body: { secret } })],
    ["share", () => client.call("shareCredential", { params, body: { user: "erin" } })],
  ];
  const answers: Record<string, string> = {};
  for (const [what, ask] of asks) answers[what] = await told(ask());
  return answers;
}

const all = (answer: string) => ({
  show: answer,
  test: answer,
  usage: answer,
  change: answer,
  rotate: answer,
  share: answer,
});

test("owner, reader, writer, stranger, member of a group, administrator", async (t) => {
  const at = await startTestCoordinator(t);
  const [alice, bob, erin, root] = await Promise.all([
    createUser(at, { username: "alice" }),
    createUser(at, { username: "bob" }),
    createUser(at, { username: "erin" }),
    createUser(at, { username: "root-like", role: "administrator" }),
  ]);
  const body = { name: "key", type: "PASSWORD" as const, secret };
  const { id: credential, owner } = await alice.client.call("createCredential", { body });
  assert.equal(owner.id, alice.id);
  const params = { credential };
  const listed = async (client: Client): Promise<number> => (await client.call("listCredentials", {})).items.length;
  assert.deepEqual(await everything(alice.client, credential), all("ok"));
  assert.deepEqual(await everything(root.client, credential), all("ok"));
  await alice.client.call("unshareCredential", { params, query: { user: "erin" } });
  // A stranger is told what he would be told of one that never was.
  assert.deepEqual(await everything(bob.client, credential), all("credential_not_found"));
  assert.deepEqual([await listed(alice.client), await listed(bob.client)], [1, 0]);
  // Two people may use the same name; nobody learns of the other's.
  await bob.client.call("createCredential", { body });

  const forbidden = { share: "forbidden" };
  await alice.client.call("shareCredential", { params, body: { user: "bob" } });
  const reads = { ...all("ok"), change: "forbidden", rotate: "forbidden", ...forbidden };
  assert.deepEqual(await everything(bob.client, credential), reads);
  assert.equal(await listed(bob.client), 2);
  await alice.client.call("shareCredential", { params, body: { user: "bob", access: "write" } });
  assert.deepEqual(await everything(bob.client, credential), { ...all("ok"), ...forbidden });
  assert.equal(await told(bob.client.call("deleteCredential", { params })), "forbidden");
  await alice.client.call("unshareCredential", { params, query: { user: "bob" } });
  assert.deepEqual(await everything(bob.client, credential), all("credential_not_found"));

  await at.client.call("createGroup", { body: { name: "lab" } });
  await at.client.call("addGroupMember", { params: { group: "lab" }, body: { user: "erin" } });
  await alice.client.call("shareCredential", { params, body: { group: "lab" } });
  assert.deepEqual(await everything(erin.client, credential), reads);
  await at.client.call("removeGroupMember", { params: { group: "lab" }, query: { user: "erin" } });
  assert.deepEqual(await everything(erin.client, credential), all("credential_not_found"));
  assert.equal(await told(alice.client.call("deleteCredential", { params })), "ok");
  // The owner may look back; to whom it was shared nothing is left.
  assert.ok((await alice.client.call("getCredential", { params })).deleted_at);
});

test("binding needs to change the credential and to change the resource; a project's credential is its managers'", async (t) => {
  const at = await startTestCoordinator(t);
  const alice = await createUser(at, { username: "alice" });
  const bob = await createUser(at, { username: "bob" });
  const body = { name: "key", type: "PASSWORD" as const, secret };
  const { id: credential } = await alice.client.call("createCredential", { body });
  const configuration = { host: "login.example" };
  await at.client.call("createComputeResource", { body: { name: "hpc", kind: "slurm", configuration } });
  const params = { credential };
  const bind = (client: Client) => told(client.call("bindCredential", { params, body: { compute_resource: "hpc" } }));
  assert.equal(await bind(alice.client), "resource_not_found");
  await at.client.call("shareComputeResource", { params: { resource: "hpc" }, body: { user: "alice" } });
  assert.equal(await bind(alice.client), "forbidden");
  await at.client.call("shareComputeResource", {
    params: { resource: "hpc" },
    body: { user: "alice", access: "write" },
  });
  assert.equal(await bind(alice.client), "ok");
  await at.client.call("shareComputeResource", { params: { resource: "hpc" }, body: { user: "bob", access: "write" } });
  assert.equal(await bind(bob.client), "credential_not_found");
  // The vault is the operators' business.
  assert.equal(await told(alice.client.call("getVault", {})), "forbidden");
  assert.equal(await told(alice.client.call("rotateVaultKey", {})), "forbidden");

  await at.client.call("createProject", { body: { name: "physics" } });
  const forProject = { ...body, name: "shared", project: "physics" };
  assert.equal(await told(alice.client.call("createCredential", { body: forProject })), "project_not_found");
  await at.client.call("setProjectMember", {
    params: { project: "physics" },
    body: { user: "alice", role: "submitter" },
  });
  await at.client.call("setProjectMember", { params: { project: "physics" }, body: { user: "bob", role: "owner" } });
  const { id } = await alice.client.call("createCredential", { body: forProject });
  assert.deepEqual(await everything(bob.client, id), { ...all("ok"), share: "user_not_found" });
});

test("whose credential it is takes every binding away, and who may change a resource those of it; readers bind nothing", async (t) => {
  const at = await startTestCoordinator(t);
  const [ada, mallory] = await Promise.all([
    createUser(at, { username: "ada" }),
    createUser(at, { username: "mallory" }),
  ]);
  for (const [project, owner] of [
    ["adas", "ada"],
    ["mallorys", "mallory"],
  ] as const) {
    await at.client.call("createProject", { body: { name: project } });
    await at.client.call("setProjectMember", { params: { project }, body: { user: owner, role: "owner" } });
  }
  const body = { name: "key", type: "PASSWORD" as const, secret, project: "adas" };
  const { id: credential } = await ada.client.call("createCredential", { body });
  for (const name of ["trap", "other"]) {
    const configuration = { host: "login.example" };
    await mallory.client.call("createComputeResource", {
      body: { name, kind: "slurm", configuration, project: "mallorys" },
    });
  }
  const params = { credential };
  const bind = ({ client }: { client: Client }) =>
    told(client.call("bindCredential", { params, body: { compute_resource: "trap" } }));
  const unbind = ({ client }: { client: Client }, compute_resource: string) =>
    told(client.call("unbindCredential", { params, query: { compute_resource } }));
  await ada.client.call("shareCredential", { params, body: { user: "mallory" } });
  assert.equal(await bind(mallory), "forbidden");
  await ada.client.call("shareCredential", { params, body: { user: "mallory", access: "write" } });
  assert.equal(await bind(mallory), "ok");
  await ada.client.call("unshareCredential", { params, query: { user: "mallory" } });
  assert.equal(await told(ada.client.call("deleteCredential", { params })), "credential_bound");
  // What it is not bound to is as little there for her as what never was.
  assert.equal(await unbind(ada, "other"), "resource_not_found");
  assert.equal(await unbind(ada, "never"), "resource_not_found");
  assert.equal(await unbind(ada, "trap"), "ok");

  await ada.client.call("shareCredential", { params, body: { user: "mallory", access: "write" } });
  assert.equal(await bind(mallory), "ok");
  await ada.client.call("unshareCredential", { params, query: { user: "mallory" } });
  // He may still free his resource; what else the credential is bound to is not shown to him.
  const left = await mallory.client.call("unbindCredential", { params, query: { compute_resource: "trap" } });
  assert.deepEqual(left.items, []);
  assert.equal(await told(ada.client.call("deleteCredential", { params })), "ok");
  const { items } = await ada.client.call("listAudit", { query: { project: "adas" } });
  const ties = items.map(({ action }) => action).filter((action) => /bind$/.test(action));
  assert.deepEqual(
    ties.sort(),
    ["bind", "bind", "unbind", "unbind"].map((verb) => `credential.${verb}`),
  );
});
