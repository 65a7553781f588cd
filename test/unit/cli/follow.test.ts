import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { afterEach, beforeEach, test } from "node:test";
import { follow } from "../../../agent/cli/follow.ts";
import { createClient } from "../../../shared/api/client.ts";
import type { Experiment } from "../../../shared/api/experiment.ts";
import { CliServer, sendProblem } from "../../support/cli-server.ts";

let server: CliServer;
let heard: EventEmitter;
let states: Experiment[];
let reconnecting: boolean[];
let stop: AbortController;

beforeEach(async () => {
  server = new CliServer();
  await server.start();
  heard = new EventEmitter();
  states = [];
  reconnecting = [];
  stop = new AbortController();
});
afterEach(async () => {
  stop.abort(new Error("test over"));
  await server.stop();
});

function begin(find?: Parameters<typeof follow>[0]["find"]) {
  const promise = follow({
    client: createClient({ server: server.url }),
    experiment: 17,
    signal: stop.signal,
    onState: (state) => {
      states.push(state);
      heard.emit("state");
    },
    onReconnecting: (now) => {
      if (reconnecting.at(-1) === now) return;
      reconnecting.push(now);
      heard.emit("reconnecting");
    },
    find,
  });
  promise.catch(() => {});
  return promise;
}

async function until(condition: () => boolean, event: string): Promise<void> {
  while (!condition()) await once(heard, event);
}

test("it hands on the states it is told and ends with the final one", async () => {
  const following = begin();
  await until(() => states.length === 1, "state");
  server.set({ completed: 40, leased: 2 });
  await until(() => states.at(-1)?.tasks.completed === 40, "state");
  server.set({ completed: 99, failed: 1 }, "FAILED");
  const { final } = await following;
  assert.equal(final.state, "FAILED");
  assert.equal(final.tasks.failed, 1);
});

test("after a lost server it goes on from its cursor, with the state and not a sum", async () => {
  const following = begin();
  await until(() => states.length === 1, "state");
  server.set({ completed: 40 });
  await until(() => states.at(-1)?.tasks.completed === 40, "state");
  await server.stop();
  await until(() => reconnecting.at(-1) === true, "reconnecting");
  server.set({ completed: 41 });
  await server.start();
  await until(() => states.at(-1)?.tasks.completed === 41, "state");
  assert.equal(reconnecting.at(-1), false);
  assert.equal(server.subscriptions.at(-1)?.cursor, "1.2.0");
  server.set({ completed: 100 }, "COMPLETED");
  assert.equal((await following).final.state, "COMPLETED");
});

test("an end that no event told is found by asking", async () => {
  const following = begin();
  await until(() => states.length === 1, "state");
  server.set({ completed: 100 }, "COMPLETED", true);
  assert.equal((await following).final.state, "COMPLETED");
});

test("an end without its time yet is asked for once more", async () => {
  let asked = 0;
  server.intercept = (seen, response) => {
    if (!seen.path.endsWith("/experiments/17") || ++asked > 1) return false;
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ ...server.experiment, ended_at: null }));
    return true;
  };
  const following = begin();
  await until(() => states.length === 1, "state");
  server.set({ completed: 100 }, "COMPLETED");
  const { final } = await following;
  assert.equal(final.ended_at, "2026-01-01T00:00:10.000Z");
  assert.equal(asked, 2);
});

test("a refusal ends it", async () => {
  server.intercept = (_, response) => {
    sendProblem(response, 401, "unauthorized", "a token is needed");
    return true;
  };
  await assert.rejects(begin(), { code: "unauthorized" });
});

test("a server that came back elsewhere is found there", async () => {
  const other = new CliServer();
  await other.start();
  try {
    other.set({ completed: 100 }, "COMPLETED", true);
    const following = begin(async () => createClient({ server: other.url }));
    await until(() => states.length === 1, "state");
    await server.stop();
    const { final, client } = await following;
    assert.equal(final.state, "COMPLETED");
    assert.equal(client.server, other.url);
    assert.equal(other.subscriptions[0]?.cursor, "1.1.0", "it goes on where it was");
  } finally {
    await other.stop();
  }
});

test("it stops when it is told to", async () => {
  const following = begin();
  await until(() => states.length === 1, "state");
  stop.abort(new Error("enough"));
  await assert.rejects(following, { message: "enough" });
});
