/** Sessions: hello with held attempts, renewal, loss, stalls, drain, and the dispatcher's own deadline. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { evictEnded } from "../../../coordinator/dispatch/evict.ts";
import { encodeCheckpoint } from "../../../coordinator/dispatch/ledger/snapshot.ts";
import { step } from "../../../coordinator/dispatch/step.ts";
import { Blame, Disposition, Outcome } from "../../../shared/model/attempt.ts";
import { LEADERSHIP_LEASE_MS, SESSION_TTL_MS } from "../../../shared/model/constants.ts";
import type { ToAgent } from "../../../shared/protocol/messages.ts";
import { experiment } from "./definitions.ts";
import { capacity, endRow, heldGroup, helloOf, leased, leasesSent, report, Stage } from "./stage.ts";

function welcomeOf(stage: Stage): Extract<ToAgent, { type: "welcome" }> {
  const welcome = stage.sent().find(({ message }) => message.type === "welcome")?.message;
  assert.ok(welcome?.type === "welcome");
  return welcome;
}

test("a hello with what is still its own goes on; the older connection is closed", () => {
  const { stage, id } = leased();
  stage.hello(1, 11, { held: [heldGroup(id, [[0, 1, 1]])] });
  const epoch = stage.core.agents.get(1 as never)?.epoch as number;
  const [told] = stage.effects.splice(0, 1);
  assert.ok(told?.type === "send" && told.peer === 10 && told.message.type === "error");
  assert.deepEqual([told.message.code, told.message.reaction], ["agent_identity_shared", "stop"]);
  const [first, note] = stage.effects.splice(0, 2);
  assert.deepEqual(first, { type: "close", peer: 10, reason: "agent a1 opened another session" });
  assert.ok(note?.type === "send" && note.peer === 11 && note.message.type === "error");
  assert.deepEqual([note.message.code, note.message.reaction], ["agent_identity_shared", "none"]);
  stage.expect({
    type: "send",
    peer: 11,
    message: { type: "welcome", epoch, timeline: 1, ttlMs: 20_000, superseded: [] },
  });
  stage.ended(10, report(id, [[0, 1]]));
  stage.expect();
  stage.ended(11, report(id, [[0, 1]]));
  stage.settle();
  assert.deepEqual(stage.states(id), ["COMPLETED"]);
});

test("each hello raises the epoch, and a later term stands above every epoch before it", () => {
  const first = new Stage();
  first.hello(1, 10);
  const a = welcomeOf(first).epoch;
  first.hello(1, 11);
  const b = welcomeOf(first).epoch;
  const second = new Stage({ config: { term: 2 } });
  second.hello(1, 10);
  assert.ok(a < b && b < welcomeOf(second).epoch);
});

test("what the first machine finished counts although a second one with its identity does not have it", () => {
  const { stage, id } = leased({ onDisconnect: "wait" });
  stage.step({ type: "disconnected", peer: 10 });
  stage.pass(SESSION_TTL_MS + 1_000);
  stage.skip();
  stage.hello(1, 20, { hostname: "h9" });
  const { blame } = endRow(stage.batch?.ends[0]);
  assert.equal(blame, Blame.AGENT_LOST);
  stage.settle();
  stage.step({ type: "message", peer: 20, message: { type: "goodbye", reason: "stopped" } });
  stage.hello(1, 21, { held: [heldGroup(id, [[0, 1, 2]])] });
  stage.ended(21, report(id, [[0, 1]]));
  stage.settle();
  assert.deepEqual(stage.states(id), ["COMPLETED"]);
});

test("an experiment stays in memory while an agent still goes on with a task of it, so that its room comes back", () => {
  const { stage, id } = leased();
  stage.step({ type: "disconnected", peer: 10 });
  stage.pass(SESSION_TTL_MS + 1_000);
  stage.settle();
  stage.hello(1, 20, { held: [heldGroup(id, [[0, 1, 1]])] });
  stage.decide("cancel", id);
  stage.settle();
  assert.deepEqual(stage.states(id), ["CANCELED"]);
  encodeCheckpoint(stage.core.ledger, 0, 1);
  evictEnded(stage.core, stage.now().wall, 0);
  stage.ended(20, report(id, [[0, 1]], { outcome: Outcome.CANCELED, blame: Blame.CANCELED }));
  stage.settle();
  const floor = stage.core.agents.get(1 as never);
  assert.deepEqual([floor?.free.cpus, floor?.held.size], [1, 0]);
  evictEnded(stage.core, stage.now().wall, 0);
  assert.equal(stage.core.ledger.experiments.size, 0);
});

test("a reconnect does not give an agent another helping of leases ahead", () => {
  const { stage, id } = leased({}, 12);
  const held: [number, number, number][] = [[0, 1, 1]];
  for (let peer = 20; peer < 24; peer++) {
    stage.hello(1, peer, { capacity: capacity(), held: [heldGroup(id, held)] });
    stage.free(peer, 2);
    stage.settle();
    for (const line of leasesSent(stage.sent())) {
      for (const [, index, attempt] of line.matchAll(/(\d+)#(\d+)/g)) held.push([Number(index), Number(attempt), 0]);
    }
    assert.equal(held.length, 3);
  }
});

test("a machine that slept hears nobody before its reign has ended", () => {
  const { stage } = leased();
  const asleep = { mono: stage.mono, wall: stage.now().wall + 2_001 };
  const renew = { type: "message", peer: 10, message: { type: "renew", sentAtMs: 1 } } as const;
  const effects = step(stage.core, renew, asleep);
  assert.ok(effects.length === 1 && effects[0]?.type === "resign");
  assert.match(effects[0].reason, /slept/);
});

test("a wall clock that is set back, or forward by little, ends nothing", () => {
  const { stage } = leased();
  for (const byMs of [-3_600_000, 1_999]) {
    const effects = step(stage.core, { type: "tick" }, { mono: stage.mono, wall: stage.now().wall + byMs });
    assert.deepEqual(effects, []);
    stage.core.clockOffsetMs = stage.now().wall - stage.mono;
  }
});

test("a lease that the agent does not name was never there: given anew at once, at nobody's cost", () => {
  const { stage, id } = leased();
  stage.hello(1, 11);
  const row = endRow(stage.commit().ends[0]);
  const { disposition, outcome, blame, charge, notBeforeMs } = row;
  assert.deepEqual([disposition, outcome, blame, charge, notBeforeMs], [Disposition.REQUEUE, 3, Blame.NOT_HELD, 0, 0]);
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), [`11: ${id}.0 0#2`]);
});

test("an agent that never keeps a lease is not given it in a circle: from the fourth time on the next one waits", () => {
  const { stage, id } = leased();
  const delays: number[] = [];
  for (let times = 1; times <= 5; times++) {
    stage.hello(1, 10 + times);
    const { notBeforeMs = 0 } = endRow(stage.commit().ends[0]);
    delays.push(notBeforeMs === 0 ? 0 : notBeforeMs - stage.now().wall);
    stage.pass(5_000);
    stage.renew(10 + times);
    stage.settle();
    stage.skip();
  }
  assert.deepEqual(delays, [0, 0, 0, 750, 1_500], "the backoff of the first and second try, at random 0.5");
  assert.deepEqual(stage.states(id), ["LEASED"]);
});

test("a lease that becomes durable after its session is given back", () => {
  const stage = new Stage();
  const id = stage.submit(experiment([{}]));
  stage.hello(1, 10);
  assert.equal(stage.batch?.leases.length, 1);
  stage.hello(1, 11);
  stage.skip();
  stage.commit();
  assert.deepEqual(leasesSent(stage.sent()), [], "the new session never heard of it");
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), [`11: ${id}.0 0#2`]);
});

test("a connection lost while its lease is on its way keeps the lease until the agent says otherwise", () => {
  const stage = new Stage();
  const id = stage.submit(experiment([{}]));
  stage.hello(1, 10);
  stage.step({ type: "disconnected", peer: 10 });
  stage.settle();
  assert.deepEqual(stage.states(id), ["LEASED"]);
  stage.hello(1, 11);
  stage.settle();
  assert.equal(stage.journal.flatMap((batch) => batch.ends)[0]?.blames[0], Blame.NOT_HELD);
});

test("superseded: what another one got, what ended, what was never given; ended reports are not named but answered", () => {
  const { stage, id } = leased({}, 3);
  stage.ended(10, report(id, [[1, 1]]));
  stage.settle();
  stage.pass(21_000);
  stage.settle();
  stage.hello(2, 20);
  stage.pass(2_000);
  stage.settle();
  assert.deepEqual(stage.states(id), ["LEASED", "COMPLETED", "QUEUED"]);
  stage.skip();
  const held = [
    heldGroup(id, [
      [0, 1, 1],
      [1, 1, 2],
      [2, 1, 1],
      [9, 1, 0],
    ]),
    heldGroup(77 as never, [[0, 1, 0]]),
  ];
  stage.hello(1, 11, { held });
  assert.deepEqual(welcomeOf(stage).superseded, [
    { experiment: id, template: 0, indexes: [0, 9], attempts: [1, 1] },
    { experiment: 77, template: 0, indexes: [0], attempts: [1] },
  ]);
});

test("a lost agent that returns before anyone got its task goes on with it; nobody gets it while that session lives", () => {
  const { stage, id } = leased();
  stage.pass(21_000);
  stage.settle();
  stage.hello(1, 11, { held: [heldGroup(id, [[0, 1, 1]])] });
  assert.deepEqual(welcomeOf(stage).superseded, []);
  stage.hello(2, 20);
  stage.pass(5_000);
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), []);
  // It is lost again: now the task is free.
  for (let i = 0; i < 5; i++) {
    stage.pass(5_000);
    stage.renew(20);
  }
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), [`20: ${id}.0 0#2`]);
});

test("an agent that returns while the loss of its lease is on its way is welcomed after it", () => {
  const { stage, id } = leased();
  stage.pass(20_000);
  stage.skip();
  stage.hello(1, 11, { held: [heldGroup(id, [[0, 1, 1]])] });
  stage.hello(2, 20);
  assert.deepEqual(
    stage.sent().map(({ peer }) => peer),
    [20],
    "only the other one is welcomed now",
  );
  stage.commit();
  assert.deepEqual(welcomeOf(stage).superseded, [], "it is still the latest attempt");
  stage.pass(2_000);
  assert.deepEqual(stage.states(id), ["QUEUED"]);
  assert.equal(stage.batch, null, "and nobody else got it");
});

test("an agent that returned and went away again meanwhile is not welcomed", () => {
  const { stage, id } = leased();
  stage.pass(20_000);
  stage.hello(1, 11, { held: [heldGroup(id, [[0, 1, 1]])] });
  stage.step({ type: "disconnected", peer: 11 });
  stage.skip();
  stage.commit();
  assert.deepEqual(stage.sent(), []);
  assert.equal(stage.core.agents.get(1 as never)?.peer, null);
});

test("a canceled task that a returning agent still runs is not its own any more, and its report is refused", () => {
  const { stage, id } = leased();
  stage.pass(21_000);
  stage.settle();
  stage.hello(1, 11, { held: [heldGroup(id, [[0, 1, 1]])] });
  stage.decide("cancel", id);
  stage.skip();
  stage.commit();
  const cancels = stage.sent().filter(({ message }) => message.type === "cancel");
  assert.deepEqual(
    cancels.map(({ peer }) => peer),
    [11],
  );
  stage.settle();
  stage.skip();
  stage.ended(11, report(id, [[0, 1]], { outcome: Outcome.CANCELED, blame: Blame.CANCELED }));
  stage.settle();
  const [answer] = stage.sent();
  assert.ok(answer?.message.type === "ack");
  assert.equal(answer.message.refused?.[0]?.code, "task_ended");
  assert.deepEqual(stage.states(id), ["CANCELED"]);
});

test("expiry: all leases of a session run out together, at the ttl and not before", () => {
  const { stage, id } = leased({}, 3);
  stage.pass(SESSION_TTL_MS - 1);
  stage.expect();
  stage.pass(1);
  const record = stage.batch?.ends[0];
  assert.deepEqual(
    [record?.indexes, record?.blames],
    [
      [0, 1, 2],
      [Blame.AGENT_LOST, 9, 9],
    ],
  );
  assert.deepEqual(stage.effects[0], { type: "close", peer: 10, reason: "the session was not renewed in time" });
  stage.settle();
  assert.deepEqual(stage.states(id), ["QUEUED", "QUEUED", "QUEUED"]);
  assert.equal(stage.core.agents.get(1 as never)?.state, "LOST");
});

test("a renewal extends the session from when it is heard, and echoes the agent's own time", () => {
  const { stage, id } = leased();
  stage.pass(15_000);
  stage.step({ type: "message", peer: 10, message: { type: "renew", sentAtMs: 42 } });
  stage.expect({ type: "send", peer: 10, message: { type: "renewed", sentAtMs: 42 } });
  stage.pass(SESSION_TTL_MS - 1);
  assert.deepEqual(stage.states(id), ["LEASED"]);
  stage.expect();
});

test("an agent that is away without holding anything is LOST as well", () => {
  const stage = new Stage();
  stage.hello(1, 10);
  stage.step({ type: "disconnected", peer: 10 });
  stage.pass(21_000);
  assert.equal(stage.core.agents.get(1 as never)?.state, "LOST");
});

test("a stall of this process extends every session by the gap", () => {
  const { stage, id } = leased();
  stage.pass(10_000);
  stage.mono += 60_000;
  stage.tick();
  stage.pass(9_999);
  assert.deepEqual([stage.batch, stage.states(id)], [null, ["LEASED"]]);
  stage.pass(1);
  assert.notEqual(stage.batch, null);
});

test("a gap of exactly a quarter of the ttl is no stall", () => {
  const { stage } = leased();
  stage.pass(16_000);
  stage.mono += 5_000;
  stage.tick();
  assert.notEqual(stage.batch, null);
});

test("after its own deadline the core says nothing but that it resigns", () => {
  const { stage } = leased();
  stage.step({ type: "leadership", untilMono: stage.mono + 4_000 });
  stage.expect();
  stage.mono += 3_999;
  stage.renew(10);
  assert.equal(stage.sent().length, 1);
  stage.mono += 1;
  stage.renew(10);
  stage.expect({ type: "resign", reason: "leadership was not renewed before its own deadline" });
  stage.hello(2, 20);
  stage.expect({ type: "resign", reason: "leadership was not renewed before its own deadline" });
});

test("after a takeover leases count as held for ttl + the leadership lease", () => {
  const { stage, id } = leased();
  const next = new Stage({ ledger: stage.core.ledger, config: { term: 2 } });
  next.pass(SESSION_TTL_MS + LEADERSHIP_LEASE_MS - 1);
  next.expect();
  next.pass(1);
  assert.deepEqual(next.batch?.ends[0]?.blames, [Blame.AGENT_LOST]);
  const third = new Stage({ ledger: stage.core.ledger, config: { term: 3 } });
  third.hello(1, 10, { held: [heldGroup(id, [[0, 1, 1]])] });
  third.pass(5_000);
  third.ended(10, report(id, [[0, 1]]));
  third.settle();
  assert.deepEqual(third.states(id), ["COMPLETED"]);
});

test("what a former reign let a lost agent go on with is given to nobody until that agent's trust has ended", () => {
  const { stage, id } = leased();
  stage.pass(21_000);
  stage.settle();
  stage.hello(1, 11, { held: [heldGroup(id, [[0, 1, 1]])] });
  assert.deepEqual(stage.states(id), ["QUEUED"]);
  for (const retried of [false, true]) {
    if (retried) {
      stage.decide("cancel", id);
      stage.settle();
    }
    const next = new Stage({ ledger: stage.core.ledger, config: { term: 2 } });
    next.hello(2, 20);
    next.skip();
    if (retried) next.decide("retry", id);
    next.settle();
    for (let ms = 0; ms < 25_000; ms += 5_000) {
      next.pass(5_000);
      next.renew(20);
    }
    next.settle();
    assert.deepEqual(leasesSent(next.sent()), []);
    next.pass(1_000);
    assert.equal(next.batch?.leases[0]?.attempts[0], 2);
    next.skip();
  }
});

test("drain: the agent is told and gets nothing new; what it gives back goes to others", () => {
  const { stage, id } = leased({}, 1);
  stage.step({ type: "drain", agent: 1 as never, reason: "maintenance" });
  stage.expect({ type: "send", peer: 10, message: { type: "drain", reason: "maintenance" } });
  stage.hello(2, 20, { capacity: capacity({ cpus: 9 }) });
  stage.skip();
  stage.ended(10, report(id, [[0, 1]], { outcome: Outcome.RELEASED, blame: Blame.RELEASED }));
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), [`20: ${id}.0 0#2`]);
});

test("an agent that drains says so itself, in hello or with its credit", () => {
  const stage = new Stage();
  stage.submit(experiment([{ count: 5 }]));
  stage.hello(1, 10, { draining: true });
  stage.expect(...stage.effects.filter((effect) => effect.type === "send"));
  stage.hello(2, 20);
  stage.settle();
  stage.step({ type: "message", peer: 20, message: { type: "free", ahead: 9, lastsMs: null, draining: true } });
  assert.equal(stage.batch, null);
});

test("goodbye: what the agent never heard of is free at once", () => {
  const { stage, id } = leased();
  stage.hello(2, 20);
  stage.step({ type: "message", peer: 10, message: { type: "goodbye", reason: "drained" } });
  assert.equal(stage.effects.at(-2)?.type, "close");
  stage.settle();
  assert.equal(stage.core.agents.get(1 as never)?.state, "GONE");
  assert.deepEqual(leasesSent(stage.sent()), [`20: ${id}.0 0#2`]);
});

test("a second hello on one connection closes it", () => {
  const { stage } = leased();
  const hello = helloOf(1);
  stage.step({ type: "message", peer: 10, message: hello });
  stage.expect({ type: "close", peer: 10, reason: "a second hello on one connection" });
});
