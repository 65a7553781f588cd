/** Who sees what of the audit; the same from whichever of two coordinators; and the chain after one of them is gone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createStore } from "../../../coordinator/store/store.ts";
import { createClient } from "../../../shared/api/client.ts";
import { until } from "../../support/agent-peer.ts";
import { checkAll } from "../../support/audit.ts";
import { startTestCoordinator } from "../../support/coordinator.ts";
import { createUser } from "../../support/users.ts";

const PATIENCE_MS = 60_000;

test("an owner sees what concerns his projects, others nothing, and the chain is the administrators'", async (t) => {
  const at = await startTestCoordinator(t, { auditSealMs: 100 });
  const [owner, viewer] = [await createUser(at, { username: "owner" }), await createUser(at, { username: "viewer" })];
  for (const name of ["physics", "chemistry"]) await at.client.call("createProject", { body: { name } });
  const params = { project: "physics" };
  await at.client.call("setProjectMember", { params, body: { user: "owner", role: "owner" } });
  await at.client.call("setProjectMember", { params, body: { user: "viewer", role: "viewer" } });
  const body = { spec: { tasks: { a: { command: "true" } } }, project: "physics" };
  const { id } = await owner.client.call("submitExperiment", { body });
  const list = async (client: typeof owner.client) => (await client.call("listAudit", { query: { limit: 500 } })).items;
  const his = await list(owner.client);
  assert.ok(his.length >= 4);
  assert.deepEqual([...new Set(his.map(({ project_name }) => project_name))], ["physics"]);
  const [submit] = his;
  assert.deepEqual(
    [submit?.action, submit?.resource_id, submit?.actor_name, submit?.address],
    ["experiment.submit", String(id), "owner", "127.0.0.1"],
  );
  assert.match(submit?.via ?? "", /^session \d+$/);
  assert.deepEqual(await list(viewer.client), []);
  const all = await list(at.client);
  assert.ok(all.length > his.length);
  const foreign = all.find(({ project_name }) => project_name === "chemistry");
  const show = { params: { entry: foreign?.entry ?? 0 } };
  await assert.rejects(owner.client.call("getAuditEntry", show), { code: "audit_entry_not_found" });
  assert.equal((await at.client.call("getAuditEntry", show)).project_name, "chemistry");
  const lines = (await (await owner.client.open("exportAudit", { query: {} })).text()).trimEnd().split("\n");
  assert.deepEqual(
    lines.map((line) => JSON.parse(line).entry),
    his.map(({ entry }) => entry).reverse(),
  );
  await assert.rejects(owner.client.call("exportAudit", { query: { sealed: "true" } }), { code: "forbidden" });
  for (const route of ["auditHead", "listAuditSeals", "checkAudit"] as const) {
    await assert.rejects(owner.client.call(route, {}), { code: "forbidden" });
  }
});

test("two coordinators have one audit, and the one that is left goes on sealing it", async (t) => {
  const first = await startTestCoordinator(t, { auditSealMs: 100 });
  const second = await startTestCoordinator(t, { auditSealMs: 100, beside: first, leading: false });
  // Forwarded, with whom and from where.
  await second.client.call("createProject", { body: { name: "physics" } });
  const stranger = createClient({ server: second.url, token: "wrong" });
  await assert.rejects(stranger.call("listProjects", {}), { code: "unauthorized" });
  for (const at of [second, first]) {
    await until(
      async () => {
        const { items } = await at.client.call("listAudit", { query: { outcome: "refused" } });
        return items.length === 1 && items[0]?.action === "listProjects";
      },
      "the refusal",
      PATIENCE_MS,
    );
    const [made] = (await at.client.call("listAudit", { query: { action: "project.create" } })).items;
    assert.deepEqual([made?.via, made?.address], ["operator_token", "127.0.0.1"]);
  }
  const sealed = (at: typeof first) =>
    until(
      async () => {
        const { head, waiting } = await at.client.call("auditHead", {});
        return waiting === 0 && head !== null && head.seal;
      },
      "seals",
      PATIENCE_MS,
    );
  const before = await sealed(second);
  await first.coordinator.stop();
  await second.coordinator.leading;
  await second.client.call("createProject", { body: { name: "chemistry" } });
  assert.ok((await sealed(second)) > before);
  const store = createStore(second.databaseUrl);
  second.defer(() => store.close());
  assert.equal((await checkAll(store.audit)).fault, null);
});
