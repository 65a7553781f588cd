/** Sockets of watchers, with rights that change, or cannot be asked, while they are asked for. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { type TestContext, test } from "node:test";
import type { WebSocket } from "ws";
import type { Caller } from "../../../coordinator/api/http/access.ts";
import { watcherRights } from "../../../coordinator/api/socket/watcher-rights.ts";
import { createWatcherSockets } from "../../../coordinator/api/socket/watchers.ts";
import type { AccessControl } from "../../../coordinator/domain/access/access.ts";
import type { EventFilter, EventRights } from "../../../coordinator/domain/event/event.ts";
import type { EventHub, WatcherSink } from "../../../coordinator/domain/event/hub.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { silentLogger } from "../../../shared/log/log.ts";
import type { ActorId, ExperimentId } from "../../../shared/model/ids.ts";

const ADA: Caller = { actor: 117 as ActorId, via: "token 4", scopes: null, address: null, request: "r" };
const AWAY = new AiravataError("authorization_unavailable", "the engine is away");

class FakeSocket extends EventEmitter {
  readonly OPEN = 1;
  readyState = 1;
  readonly bufferedAmount = 0;
  readonly sent: { type: string; code?: string }[] = [];
  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }
  close(): void {
    this.readyState = 3;
    this.emit("close");
  }
  terminate(): void {
    this.close();
  }
  subscribe(subscribe: object = {}): void {
    this.emit("message", Buffer.from(JSON.stringify({ type: "subscribe", ...subscribe })), false);
  }
}

function rightsOn(...projects: string[]): EventRights {
  const visible = { projects: new Set<string>(), experiments: new Set<string>() };
  return { projects: new Set(projects), experiments: new Set(), agents: null, visible };
}

function stage(t: TestContext, { caller = ADA, over = new Set<string>(), recognizedEachMs = 5 } = {}) {
  const state = {
    rights: rightsOn("physics"),
    away: false,
    asked: 0,
    askedAtOnce: 0,
    looks: 0,
    over,
    gate: Promise.resolve(),
    watched: [] as { filter: EventFilter; sink: WatcherSink; pumped: number; stopped: boolean }[],
    snapshot: Promise.resolve(),
  };
  let running = 0;
  const hub: Pick<EventHub, "watch"> = {
    watch: (filter, _cursor, sink) => {
      const watched = { filter, sink, pumped: 0, stopped: false };
      const read = state.snapshot;
      state.watched.push(watched);
      return {
        pump: () => void watched.pumped++,
        stop: () => {
          watched.stopped = true;
        },
        idle: () => read,
      };
    },
  };
  const sockets = createWatcherSockets({
    hub: hub as EventHub,
    rights: async () => {
      state.asked++;
      state.askedAtOnce = Math.max(state.askedAtOnce, ++running);
      const { rights } = state;
      await Promise.resolve();
      running--;
      if (state.away) throw AWAY;
      return rights;
    },
    sees: async (_caller, experiments, isWanted) => {
      await state.gate;
      for (const _ of experiments) {
        if (!isWanted()) break;
        state.looks++;
        await turn();
      }
      return new Set(experiments);
    },
    over: async () => state.over,
    log: silentLogger,
    recognizedEachMs,
    retryMs: 5,
  });
  const socket = new FakeSocket();
  sockets.accept(socket as unknown as WebSocket, caller);
  t.after(() => sockets.close());
  return { state, sockets, socket };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function until(holds: () => boolean): Promise<void> {
  for (const untilMono = performance.now() + 10_000; !holds(); await turn()) {
    assert.ok(performance.now() < untilMono, `it never came: ${holds}`);
  }
}

test("rights that are taken while they are asked for are not given", async (t) => {
  const { state, sockets, socket } = stage(t);
  const gate = Promise.withResolvers<void>();
  state.gate = gate.promise;
  socket.subscribe();
  await until(() => state.asked === 1);
  await turn();
  state.rights = rightsOn();
  sockets.recheck();
  gate.resolve();
  await until(() => state.watched.length === 1);
  assert.deepEqual(state.watched[0]?.filter.rights, rightsOn());
});

test("nothing is sent from the change of a right until it was asked, however long the engine is away", async (t) => {
  const { state, sockets, socket } = stage(t);
  socket.subscribe();
  await until(() => state.watched.length === 1);
  const watched = state.watched[0]!;
  assert.ok(watched.sink.ready());
  state.away = true;
  state.rights = rightsOn("chemistry");
  sockets.recheck();
  assert.equal(watched.sink.ready(), false);
  await until(() => state.asked > 4);
  assert.equal(watched.sink.ready(), false);
  assert.equal(socket.readyState, socket.OPEN);
  state.away = false;
  await until(() => watched.pumped === 1);
  assert.ok(watched.sink.ready());
  assert.deepEqual(watched.filter.rights, rightsOn("chemistry"));
});

test("of many changes and subscriptions one is asked for at a time, and the newest follows", async (t) => {
  const { state, sockets, socket } = stage(t);
  const gate = Promise.withResolvers<void>();
  state.gate = gate.promise;
  const experiments = Array.from({ length: 100 }, (_, i) => i + 1);
  socket.subscribe({ experiments });
  await until(() => state.asked === 1);
  for (let i = 0; i < 50; i++) socket.subscribe({ project: "physics", experiments: [i + 1] });
  gate.resolve();
  await until(() => state.watched.length === 1);
  assert.deepEqual([...(state.watched[0]?.filter.experiments ?? [])], [50]);
  assert.equal(state.asked, 2);
  assert.equal(state.looks, 1);
  for (let i = 0; i < 50; i++) sockets.recheck();
  await until(() => state.watched[0]?.sink.ready() === true);
  assert.ok(state.asked <= 4, `${state.asked} questions`);
  assert.equal(state.askedAtOnce, 1);
});

test("a subscription waits for the snapshot of the one before it", async (t) => {
  const { state, socket } = stage(t);
  const snapshot = Promise.withResolvers<void>();
  state.snapshot = snapshot.promise;
  socket.subscribe();
  await until(() => state.watched.length === 1);
  socket.subscribe();
  for (let i = 0; i < 10; i++) await turn();
  assert.equal(state.asked, 1);
  assert.ok(state.watched[0]?.stopped);
  snapshot.resolve();
  await until(() => state.watched.length === 2);
});

test("a socket ends with the token or the session that opened it", async (t) => {
  const { state, socket } = stage(t);
  const other = stage(t, { caller: { ...ADA, via: "session 4" } });
  for (const { socket: each } of [{ socket }, other]) each.subscribe();
  await until(() => state.watched.length === 1);
  other.state.over = new Set(["token 4"]);
  state.over = new Set(["token 4"]);
  await until(() => socket.readyState !== socket.OPEN);
  assert.equal(socket.sent.at(-1)?.code, "unauthorized");
  assert.equal(other.socket.readyState, socket.OPEN);
});

test("a login that ended while its upgrade was forwarded opens nothing for long", async (t) => {
  const { socket } = stage(t, { over: new Set(["token 4"]), recognizedEachMs: 60_000 });
  await until(() => socket.readyState !== socket.OPEN);
  assert.equal(socket.sent.at(-1)?.code, "unauthorized");
});

test("that it cannot be asked about an experiment is not that there is none", async () => {
  const access = { allowsExperiment: async () => true } as unknown as AccessControl;
  const failing = (code: "experiment_not_found" | "database_unavailable") =>
    watcherRights(access, { projects: {} as never }, async () => {
      throw new AiravataError(code, "no");
    }).sees(ADA, [7 as ExperimentId], () => true);
  assert.deepEqual(await failing("experiment_not_found"), new Set());
  await assert.rejects(failing("database_unavailable"), { code: "database_unavailable" });
});
