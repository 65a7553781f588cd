/** Who watches sees what he may see, and no longer than he may: through the coordinator that leads, and through another. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { WebSocket } from "ws";
import { BEARER_SUBPROTOCOL_PREFIX, EVENTS_SUBPROTOCOL } from "../../../shared/api/event.ts";
import { until } from "../../support/agent-peer.ts";
import { startTestCoordinator, type TestCoordinator } from "../../support/coordinator.ts";
import { rowsOf } from "../../support/postgres.ts";
import { createUser, type TestUser } from "../../support/users.ts";

const SPEC = { tasks: { a: { argv: ["/bin/true"] } } };

interface Watching {
  messages: { type: string; code?: string; [key: string]: unknown }[];
  /** Those that events named. */
  experiments(): number[];
  closed(): boolean;
}

async function watch(t: TestContext, url: string, user: TestUser, subscribe: object): Promise<Watching> {
  const protocols = [EVENTS_SUBPROTOCOL, BEARER_SUBPROTOCOL_PREFIX + user.login.access_token];
  const socket = new WebSocket(`${url.replace("http", "ws")}/api/v1/events`, protocols);
  t.after(() => socket.terminate());
  const messages: Watching["messages"] = [];
  socket.on("open", () => socket.send(JSON.stringify({ type: "subscribe", ...subscribe })));
  socket.on("message", (data) => void messages.push(JSON.parse(String(data))));
  await until(() => messages.some(({ type }) => type === "snapshot" || type === "error"), "the first answer");
  return {
    messages,
    experiments: () =>
      messages.flatMap((message) => (typeof message.experiment === "number" ? [message.experiment] : [])),
    closed: () => socket.readyState === WebSocket.CLOSED,
  };
}

async function stage(t: TestContext): Promise<{ at: TestCoordinator; url: string; ada: TestUser; bob: TestUser }> {
  const at = await startTestCoordinator(t);
  const replica = await startTestCoordinator(t, { beside: at, leading: false });
  for (const name of ["physics", "chemistry"]) await at.client.call("createProject", { body: { name } });
  const [ada, bob] = [await createUser(at, { username: "ada" }), await createUser(at, { username: "bob" })];
  await member(at, "physics", "ada");
  await member(at, "physics", "bob");
  await member(at, "chemistry", "bob");
  return { at, url: replica.url, ada, bob };
}

async function member(at: TestCoordinator, project: string, user: string): Promise<void> {
  await at.client.call("setProjectMember", { params: { project }, body: { user, role: "submitter" } });
}

async function submit(at: TestCoordinator, project: string): Promise<number> {
  return (await at.client.call("submitExperiment", { body: { spec: { ...SPEC, project } } })).id;
}

test("events, snapshots and lists hold what the caller may see", async (t) => {
  const { at, url, ada, bob } = await stage(t);
  const [first, second] = [await submit(at, "physics"), await submit(at, "chemistry")];
  for (const server of [at.url, url]) {
    const [hers, his] = [await watch(t, server, ada, {}), await watch(t, server, bob, {})];
    const named = (watching: Watching): number[] =>
      ((watching.messages.find(({ type }) => type === "snapshot")?.experiments ?? []) as { id: number }[]).map(
        ({ id }) => id,
      );
    assert.ok(named(hers).includes(first) && !named(hers).includes(second));
    assert.ok(named(his).includes(first) && named(his).includes(second));
    const secret = await submit(at, "chemistry");
    const seen = await submit(at, "physics");
    await until(() => hers.experiments().includes(seen) && his.experiments().includes(seen), "the event");
    assert.ok(his.experiments().includes(secret));
    assert.ok(!hers.experiments().includes(secret));
    const refused = await watch(t, server, ada, { project: "chemistry" });
    assert.equal(refused.messages.find(({ type }) => type === "error")?.code, "project_not_found");
  }
  const listed = await ada.client.call("listExperiments", { query: {} });
  assert.deepEqual(new Set(listed.items.map(({ project }) => project)), new Set(["physics"]));
  await assert.rejects(ada.client.call("getExperiment", { params: { experiment: second } }), {
    status: 404,
    code: "experiment_not_found",
  });
});

test("a right that is taken ends what stands on it and leaves the rest; so does the end of a login", async (t) => {
  const { at, url, ada, bob } = await stage(t);
  const experiment = await submit(at, "physics");
  for (const server of [at.url, url]) {
    await member(at, "physics", "ada");
    const byProject = await watch(t, server, ada, { project: "physics" });
    const byExperiment = await watch(t, server, ada, { experiments: [experiment] });
    const byNothing = await watch(t, server, ada, {});
    const other = await watch(t, server, bob, { project: "physics" });
    await at.client.call("removeProjectMember", { params: { project: "physics" }, query: { user: "ada" } });
    // It was answered once it is in force.
    await assert.rejects(ada.client.call("getExperiment", { params: { experiment } }), { status: 404 });
    await until(() => byProject.closed() && byExperiment.closed(), "both end");
    assert.equal(byProject.messages.at(-1)?.code, "project_not_found");
    assert.equal(byExperiment.messages.at(-1)?.code, "experiment_not_found");
    const later = await submit(at, "physics");
    await until(() => other.experiments().includes(later), "the other one's event");
    assert.ok(!byNothing.experiments().includes(later));
    assert.ok(!byNothing.closed());
  }
  const [direct, through] = [await watch(t, at.url, bob, {}), await watch(t, url, bob, {})];
  await bob.client.call("logOut", { body: {} });
  await until(() => direct.closed() && through.closed(), "the logged out one's end");
  assert.equal(direct.messages.at(-1)?.code, "unauthorized");
});

test("a change that another coordinator committed while it lost its reign comes into force by itself", async (t) => {
  const { at, ada } = await stage(t);
  const experiment = await submit(at, "chemistry");
  const view = () => ada.client.call("getExperiment", { params: { experiment } });
  await assert.rejects(view(), { status: 404 });
  const project = (await at.client.call("getProject", { params: { project: "chemistry" } })).id;
  await rowsOf(
    at.databaseUrl,
    `select relationship_write('{touch}', '{project}', '{${project}}', '{viewer}', '{user}', '{${ada.id}}', '{""}', 0)`,
  );
  await until(
    () =>
      view().then(
        () => true,
        () => false,
      ),
    "the change is in force",
    20_000,
  );
});
