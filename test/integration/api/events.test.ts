/** Events over the WebSocket: what is told, resuming without loss, snapshots in place of what is gone, slow watchers. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { WebSocket } from "ws";
import { EVENTS_SUBPROTOCOL, type Subscribe, WatchMessage } from "../../../shared/api/event.ts";
import { API_PREFIX } from "../../../shared/api/routes.ts";
import { watch } from "../../../shared/api/watch.ts";
import { completeEverything, connectAgent, endGroup, enrolTestAgent, until } from "../../support/agent-peer.ts";
import { startTestCoordinator, type TestCoordinator } from "../../support/coordinator.ts";

const SPEC = "name: s\ntasks: { a: { command: 'echo {n}', task_inputs: { n: 1..20 } } }";

type Sequenced = Extract<WatchMessage, { at: string }>;

class Watching {
  readonly messages: WatchMessage[] = [];
  readonly socket: WebSocket;
  closed: string | undefined;

  constructor(at: TestCoordinator, subscribe: Omit<Subscribe, "type">) {
    const url = `${at.url.replace(/^http/, "ws")}${API_PREFIX}/events`;
    this.socket = new WebSocket(url, EVENTS_SUBPROTOCOL, { headers: { authorization: `Bearer ${at.token}` } });
    this.socket.on("open", () => this.socket.send(JSON.stringify({ type: "subscribe", ...subscribe })));
    this.socket.on("message", (data) => this.messages.push(WatchMessage.parse(JSON.parse(String(data)))));
    this.socket.on("close", (_code, reason) => (this.closed = reason.toString()));
    this.socket.on("error", () => {});
  }

  events(): Sequenced[] {
    return this.messages.filter((message): message is Sequenced => "at" in message);
  }

  async seen(type: WatchMessage["type"], count = 1): Promise<void> {
    const has = () => this.messages.filter((message) => message.type === type).length >= count;
    await until(has, `${count} × ${type}`);
  }

  close(): void {
    this.socket.close();
  }
}

/** Tasks of an experiment by how often an end of theirs was told. */
function endsTold(events: Sequenced[]): Map<number, number> {
  const told = new Map<number, number>();
  for (const event of events) {
    if (event.type !== "tasks.ended") continue;
    for (const index of event.indexes) told.set(index, (told.get(index) ?? 0) + 1);
  }
  return told;
}

async function runOne(at: TestCoordinator): Promise<number> {
  const { id } = await at.client.call("submitExperiment", { body: { spec: SPEC } });
  await until(async () => {
    const experiment = await at.client.call("getExperiment", { params: { experiment: id } });
    // Its last task ends before the experiment is noted as ended: that is an event of its own.
    return experiment.state === "COMPLETED" && experiment.ended_at !== null;
  }, "the experiment to complete");
  return id;
}

async function withAgent(t: TestContext): Promise<TestCoordinator> {
  const at = await startTestCoordinator(t);
  completeEverything(await connectAgent(at, await enrolTestAgent(at)));
  return at;
}

test("from the submit to the end, in order, each task once", async (t) => {
  const at = await withAgent(t);
  const all = new Watching(at, {});
  await all.seen("snapshot");
  const id = await runOne(at);
  await all.seen("experiment.ended");
  const events = all.events();
  assert.equal(events[0]?.type, "experiment.submitted");
  assert.equal(events.at(-1)?.type, "experiment.ended");
  assert.deepEqual(
    [...endsTold(events)].sort(([a], [b]) => a - b),
    Array.from({ length: 20 }, (_, index) => [index, 1]),
  );
  const cursors = events.map(({ cursor }) => cursor.split(".").map(Number));
  for (const [i, [timeline = 0, seq = 0, after = 0]] of cursors.entries()) {
    const [beforeTimeline, beforeSeq = 0, beforeAfter = 0] = cursors[i - 1] ?? [timeline, 0, 0];
    assert.equal(timeline, beforeTimeline);
    assert.ok(seq > beforeSeq || (seq === beforeSeq && after < beforeAfter), `${cursors[i - 1]} then ${cursors[i]}`);
  }
  await until(
    () => all.messages.some((m) => m.type === "progress" && m.experiments[0]?.state === "COMPLETED"),
    "the last progress",
  );
  all.close();
  assert.ok(events.every(({ experiment }) => experiment === id));
});

test("filters: only what was asked for", async (t) => {
  const at = await withAgent(t);
  const first = await runOne(at);
  const one = new Watching(at, { experiments: [first] });
  const other = new Watching(at, { project: "nowhere" });
  const agent = new Watching(at, { agents: [1] });
  const nobody = new Watching(at, { agents: [99] });
  await Promise.all([one.seen("snapshot"), other.seen("snapshot"), agent.seen("snapshot"), nobody.seen("snapshot")]);
  const snapshot = one.messages.find((message) => message.type === "snapshot");
  assert.equal(snapshot?.experiments[0]?.state, "COMPLETED");
  assert.equal(snapshot?.agents.length, 0);
  const second = await runOne(at);
  await until(() => endsTold(agent.events()).size === 20, "what the agent did");
  assert.ok(agent.events().every(({ type, experiment }) => type.startsWith("tasks.") && experiment === second));
  assert.deepEqual([one.events(), other.events(), nobody.events()], [[], [], []]);
  const found = agent.messages.find((message) => message.type === "snapshot");
  assert.equal(found?.agents[0]?.name, "peer-1");
  for (const watching of [one, other, agent, nobody]) watching.close();
});

test("a watcher that comes back with its cursor gets exactly what it missed", async (t) => {
  const at = await withAgent(t);
  const whole = new Watching(at, {});
  await whole.seen("snapshot");
  const before = new Watching(at, {});
  await before.seen("snapshot");
  await runOne(at);
  await before.seen("experiment.ended");
  before.close();
  // From every place of what was told, also from the middle of one batch.
  await runOne(at);
  await whole.seen("experiment.ended", 2);
  const expected = whole.events().map(({ cursor }) => cursor);
  for (const [i, cursor] of expected.entries()) {
    if (i % 3 !== 0 && i !== expected.length - 1) continue;
    const again = new Watching(at, { cursor });
    await again.seen("subscribed");
    await until(() => again.events().length >= expected.length - i - 1, "the rest");
    assert.deepEqual(
      again.events().map((event) => event.cursor),
      expected.slice(i + 1),
    );
    assert.ok(!again.messages.some(({ type }) => type === "snapshot"));
    again.close();
  }
  whole.close();
});

test("a cursor of another timeline, of the future or of before the ring gets a snapshot first", async (t) => {
  const at = await withAgent(t);
  const id = await runOne(at);
  await at.restart();
  completeEverything(await connectAgent(at, await enrolTestAgent(at, "peer-2")));
  for (const cursor of ["9.1.0", "1.999999.0", "1.1.0"]) {
    const watching = new Watching(at, { experiments: [id], cursor });
    await watching.seen("snapshot");
    assert.deepEqual(
      watching.messages.map(({ type }) => type),
      ["subscribed", "snapshot"],
    );
    watching.close();
  }
});

test("the client's watch goes on through a restart and misses no end", async (t) => {
  const at = await startTestCoordinator(t);
  const identity = await enrolTestAgent(at);
  const { id } = await at.client.call("submitExperiment", { body: { spec: SPEC } });
  const stop = new AbortController();
  t.after(() => stop.abort());
  const states: string[] = [];
  let lost = 0;
  const watching = (async () => {
    const messages = watch({
      server: at.url,
      token: at.token,
      subscribe: { experiments: [id] },
      signal: stop.signal,
      onLost: () => lost++,
    });
    for await (const message of messages) {
      if ("experiments" in message) states.push(...message.experiments.map(({ state }) => state));
      if (message.type === "experiment.ended") states.push(message.state);
      if (states.at(-1) === "COMPLETED") return;
    }
  })();
  await until(() => states.length > 0, "the snapshot");
  await at.restart();
  completeEverything(await connectAgent(at, identity));
  await watching;
  assert.ok(lost >= 1);
});

test("a watcher that does not read is not waited for, and is told all of it later", async (t) => {
  const at = await startTestCoordinator(t);
  const peer = await connectAgent(at, await enrolTestAgent(at));
  const slow = new Watching(at, {});
  const quick = new Watching(at, {});
  await Promise.all([slow.seen("snapshot"), quick.seen("snapshot")]);
  slow.socket.pause();
  // Each end names 2,000 tasks: some hundred kilobytes of JSON each, beyond what the sockets between hold.
  const spec =
    "tasks: { a: { command: 'x', task_inputs: { n: 1..150000 }, requires: { cpu: 0.0001, ram_gb: 0.00001 } } }";
  peer.on((message) => {
    if (message.type !== "leases") return;
    for (const group of message.groups) endGroup(peer, group);
  });
  peer.send({ type: "free", ahead: 1_000, lastsMs: null, draining: false });
  const { id } = await at.client.call("submitExperiment", { body: { spec } });
  await until(() => quick.events().some((event) => event.type === "experiment.ended"), "the end", 60_000);
  assert.equal(endsTold(quick.events()).size, 150_000);
  slow.socket.resume();
  await until(
    () =>
      slow.messages.some(
        (message) =>
          (message.type === "experiment.ended" && message.experiment === id) ||
          (message.type === "snapshot" && message.experiments.some((e) => e.id === id && e.state === "COMPLETED")),
      ),
    "what it missed",
    30_000,
  );
  assert.equal(slow.closed, undefined);
  slow.close();
  quick.close();
});

test("what is no subscribe is refused with a sentence; silence is not waited for", async (t) => {
  const at = await startTestCoordinator(t);
  for (const text of ["{", "[]", '{"type":"subscribe","colour":1}', '{"type":"subscribe","cursor":"x"}']) {
    const watching = new Watching(at, {});
    watching.socket.removeAllListeners("open");
    watching.socket.on("open", () => watching.socket.send(text));
    await watching.seen("error");
    await until(() => watching.closed, "the end");
    const error = watching.messages.find((message) => message.type === "error");
    assert.equal(error?.code, "request_invalid");
  }
  const binary = new Watching(at, {});
  binary.socket.removeAllListeners("open");
  binary.socket.on("open", () => binary.socket.send(Buffer.from([1, 2, 3])));
  await binary.seen("error");
});
