/** The session in the agent's pure core: exact effects of connecting, hello, trust, renewal, silence and history. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { reconnectDelayMs } from "../../../agent/lease/session.ts";
import { sessionTiming } from "../../../shared/model/constants.ts";
import { attempts, brief, CoreDriver } from "../../support/agent-core.ts";
import { template } from "../../support/agent-templates.ts";

const NOTHING = { type: "adopted", running: [], collecting: [], ended: [] } as const;

test("it connects at once, answers the challenge with hello and asks for work after the welcome", () => {
  const core = new CoreDriver();
  assert.deepEqual(core.feed({ ...NOTHING, running: [], collecting: [], ended: [] }), [
    { type: "connect", connection: 1, delayMs: 0 },
  ]);
  assert.deepEqual(core.feed({ type: "connected", connection: 1 }), []);
  assert.deepEqual(core.receive({ type: "challenge", version: 1, versionOldest: 1, nonce: "n", timeline: 1 }), [
    {
      type: "hello",
      nonce: "n",
      timeline: 1,
      message: {
        type: "hello",
        version: 1,
        agent: 7,
        name: "node-1",
        program: "1.0.0",
        hostname: "host",
        root: "root",
        capacity: core.state.options.capacity,
        lastsMs: null,
        draining: false,
        held: [],
      },
    },
  ]);
  assert.deepEqual(core.receive({ type: "welcome", epoch: 5, timeline: 1, ttlMs: 20_000, superseded: [] }), []);
  assert.deepEqual(core.turn(), [
    { type: "send", message: { type: "free", ahead: 2, lastsMs: null, draining: false } },
  ]);
  assert.deepEqual(core.turn(), []);
});

test("it renews every heartbeat, the first time earlier, and says when it must be woken", () => {
  const core = new CoreDriver().ready();
  const welcomed = core.mono;
  // 5 s × (½ + 0.5 / 2).
  assert.equal(core.state.wakeAtMono, welcomed + 3_750);
  assert.deepEqual(core.wait(3_749).feed({ type: "tick" }), []);
  assert.deepEqual(core.wait(1).feed({ type: "tick" }), [
    { type: "send", message: { type: "renew", sentAtMs: welcomed + 3_750 } },
  ]);
  core.receive({ type: "renewed", sentAtMs: welcomed + 3_750 });
  assert.equal(core.state.trustedUntilMono, welcomed + 3_750 + 16_000);
  assert.equal(core.state.wakeAtMono, welcomed + 8_750);
});

test("trust ends ttl − margin after the last answered renewal was sent: nothing starts until one is answered", () => {
  const core = new CoreDriver().ready();
  core.lease(template(), [0, 1]);
  assert.deepEqual(brief(core.turn()), ["prepare 17.0.0.1", "prepare 17.0.1.1"]);
  core.feed({ type: "prepared", key: "17.0.0.1" });
  // Something keeps being said, but no renewal is answered.
  core.wait(15_999).receive({ type: "recall", groups: [] });
  assert.ok(brief(core.turn()).includes("run 17.0.0.1 lane 0"));
  core.feed({ type: "prepared", key: "17.0.1.1" });
  assert.deepEqual(brief(core.wait(1).turn()), ["note trust_lost"]);
  assert.deepEqual(brief(core.turn()), []);
  core.receive({ type: "renewed", sentAtMs: core.state.renewSentMono });
  assert.deepEqual(brief(core.turn()), ["run 17.0.1.1 lane 1"]);
});

test("a renewal that this session did not send extends no trust", () => {
  const core = new CoreDriver().ready();
  const before = core.state.trustedUntilMono;
  assert.deepEqual(brief(core.receive({ type: "renewed", sentAtMs: core.mono + 1_000 })), ["note renewal_stale"]);
  core.wait(4_000).feed({ type: "tick" });
  const sent = core.state.renewSentMono;
  core.feed({ type: "disconnected", connection: 1, reason: "cut" });
  core.wait(100).session();
  const after = core.state.trustedUntilMono;
  assert.deepEqual(brief(core.receive({ type: "renewed", sentAtMs: sent })), ["note renewal_stale"]);
  assert.equal(core.state.trustedUntilMono, after);
  assert.ok(after > before);
});

test("an answer to what was asked before a sleep restores no trust after it", () => {
  const core = new CoreDriver().ready();
  core.wait(5_000).feed({ type: "tick" });
  const before = core.state.renewSentMono;
  // Asleep for half a minute: the answer waits in the socket.
  core.wallOffset += 30_000;
  assert.ok(brief(core.wait(100).feed({ type: "tick" })).includes("send renew"));
  const after = core.state.renewSentMono;
  assert.deepEqual(brief(core.receive({ type: "renewed", sentAtMs: before })), ["note renewal_stale"]);
  assert.ok(core.state.trustedUntilMono < core.mono);
  core.receive({ type: "renewed", sentAtMs: after });
  assert.ok(core.state.trustedUntilMono > core.mono);
});

test("nor does the welcome to a hello from before a sleep", () => {
  const core = new CoreDriver();
  core.feed({ type: "adopted", running: [], collecting: [], ended: [] });
  core.receive({ type: "challenge", version: 1, versionOldest: 1, nonce: "n", timeline: 1 });
  core.wallOffset += 30_000;
  core.wait(100).feed({ type: "tick" });
  core.receive({ type: "welcome", epoch: 1, timeline: 1, ttlMs: 20_000, superseded: [] });
  assert.ok(core.state.trustedUntilMono < core.mono);
  assert.ok(brief(core.turn()).includes("send renew"));
});

test("a machine that slept trusts nothing until its next renewal, which it sends at once", () => {
  const core = new CoreDriver().ready();
  core.lease(template(), [0]);
  core.turn();
  core.feed({ type: "prepared", key: "17.0.0.1" });
  core.wallOffset += 3_600_000;
  assert.deepEqual(brief(core.wait(10).turn()), ["note clock_jumped", "send renew", "note trust_lost"]);
  core.receive({ type: "renewed", sentAtMs: core.state.renewSentMono });
  assert.deepEqual(brief(core.turn()), ["run 17.0.0.1 lane 0"]);
});

test("a coordinator that is silent for ttl − margin is left; leases live on", () => {
  const core = new CoreDriver().ready();
  core.lease(template(), [0]);
  core.wait(4_000).feed({ type: "tick" });
  assert.deepEqual(brief(core.wait(12_000).feed({ type: "tick" })), ["disconnect", "connect 500", "note trust_lost"]);
  assert.equal(core.state.leases.size, 1);
});

test("a coordinator that never answers the hello is left after ttl", () => {
  const core = new CoreDriver();
  core.feed({ type: "adopted", running: [], collecting: [], ended: [] });
  assert.deepEqual(brief(core.wait(19_999).feed({ type: "tick" })), []);
  assert.deepEqual(brief(core.wait(1).feed({ type: "tick" })), ["disconnect", "connect 500"]);
});

test("reconnects are jittered, doubled and capped, and begin anew after a welcome", () => {
  const core = new CoreDriver().ready();
  const delays: string[] = [];
  for (let i = 0; i < 6; i++) {
    delays.push(...brief(core.feed({ type: "disconnected", connection: core.state.connection, reason: "cut" })));
  }
  const connects = delays.filter((line) => line.startsWith("connect"));
  assert.deepEqual(connects, [
    "connect 500",
    "connect 1500",
    "connect 3000",
    "connect 6000",
    "connect 6000",
    "connect 6000",
  ]);
  core.session();
  assert.deepEqual(brief(core.feed({ type: "disconnected", connection: core.state.connection, reason: "cut" })), [
    "note disconnected",
    "connect 500",
  ]);
});

test("every reconnect delay is positive and below ttl/2, whatever the ttl and the dice", () => {
  fc.assert(
    fc.property(
      fc.nat(1_000),
      fc.integer({ min: 200, max: 60_000 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (failures, ttlMs, random) => {
        const delayMs = reconnectDelayMs(failures, sessionTiming(ttlMs).reconnectCapMs, random);
        assert.ok(delayMs >= 0 && delayMs < ttlMs / 2);
        if (failures > 0) assert.ok(delayMs >= Math.min(sessionTiming(ttlMs).reconnectCapMs, 1_000) / 2);
      },
    ),
  );
});

test("what an old connection says is ignored", () => {
  const core = new CoreDriver().ready();
  core.feed({ type: "disconnected", connection: 1, reason: "cut" });
  assert.deepEqual(core.feed({ type: "disconnected", connection: 1, reason: "cut again" }), []);
  const drain = { type: "drain", reason: "late" } as const;
  assert.deepEqual(core.feed({ type: "received", connection: 1, message: drain }), []);
  assert.equal(core.state.draining, null);
});

test("messages before the welcome are named and ignored; a second challenge ends the connection", () => {
  const core = new CoreDriver();
  core.feed({ type: "adopted", running: [], collecting: [], ended: [] });
  assert.deepEqual(brief(core.lease(template(), [0])), ["note message_unexpected"]);
  const challenge = { type: "challenge", version: 1, versionOldest: 1, nonce: "n", timeline: 1 } as const;
  core.receive(challenge);
  assert.deepEqual(brief(core.receive(challenge)), ["note message_unexpected", "disconnect", "connect 500"]);
});

test("a protocol that neither understands is named", () => {
  const core = new CoreDriver();
  core.feed({ type: "adopted", running: [], collecting: [], ended: [] });
  const challenge = { type: "challenge", version: 9, versionOldest: 8, nonce: "n", timeline: 1 } as const;
  assert.deepEqual(brief(core.receive(challenge)), ["note protocol_version_unsupported", "disconnect", "connect 500"]);
});

test("a coordinator of an earlier history is left; one of a later history ends what is held", () => {
  const core = new CoreDriver({ timeline: 3 });
  core.feed({ type: "adopted", running: [], collecting: [], ended: [core.end("17.0.9.1")] });
  const challenge = { type: "challenge", version: 1, versionOldest: 1, nonce: "n" } as const;
  assert.deepEqual(brief(core.receive({ ...challenge, timeline: 2 })), [
    "note timeline_behind",
    "disconnect",
    "connect 500",
  ]);
  const [hello] = core.receive({ ...challenge, timeline: 4 });
  assert.ok(hello?.type === "hello" && hello.message.held.length === 0);
  assert.deepEqual(core.receive({ type: "welcome", epoch: 1, timeline: 4, ttlMs: 20_000, superseded: [] }), [
    { type: "forget", keys: ["17.0.9.1"] },
  ]);
  assert.equal(core.state.leases.size, 0);
  assert.ok(brief(core.turn()).includes("remember"));
});

test("a later history is remembered only when nothing of the former one runs any more", () => {
  const core = new CoreDriver().ready();
  core.run(template(), [0]);
  core.feed({ type: "disconnected", connection: core.state.connection, reason: "gone" });
  core.session(20_000, 2);
  assert.deepEqual(brief(core.turn()), []);
  // A process that died here would take what it finds running for the former history's.
  core.feed({ type: "exited", key: "17.0.0.1" });
  assert.deepEqual(brief(core.feed({ type: "ended", end: core.end("17.0.0.1") })), ["forget 17.0.0.1"]);
  assert.ok(brief(core.turn()).includes("remember"));
});

test("an attempt whose namesake of a former history is still being ended begins a new session, which does not name it", () => {
  const core = new CoreDriver().ready();
  core.run(template(), [0]);
  core.feed({ type: "disconnected", connection: core.state.connection, reason: "gone" });
  core.session(20_000, 2);
  assert.deepEqual(brief(core.lease(template(), [0])), ["note lease_unusable", "disconnect", "connect 500"]);
  const challenge = { type: "challenge", version: 1, versionOldest: 1, nonce: "n", timeline: 2 } as const;
  const [hello] = core.receive(challenge);
  assert.ok(hello?.type === "hello" && hello.message.held.length === 0);
});

test("errors bring the reaction that they demand", () => {
  const error = { type: "error", code: "x", message: "because" } as const;
  const of = (reaction: "none" | "reconnect" | "stop" | "enrol"): string[] =>
    brief(new CoreDriver().ready().receive({ ...error, reaction }));
  assert.deepEqual(of("none"), ["note x"]);
  assert.deepEqual(of("reconnect"), ["note x", "disconnect", "connect 500"]);
  assert.deepEqual(of("stop"), ["note x", "disconnect", "exit stop"]);
  assert.deepEqual(of("enrol"), ["note x", "disconnect", "exit enrol"]);
});

test("who took an identity over is told so, but for the process that had it before", () => {
  const told = { type: "error", code: "agent_identity_shared", message: "because", reaction: "none" } as const;
  const core = new CoreDriver();
  core.feed({ type: "adopted", running: [], collecting: [], ended: [] });
  assert.deepEqual(brief(core.receive(told)), ["note agent_identity_shared"]);
  assert.deepEqual(brief(core.session().receive(told)), []);
});

test("leases of a template that was never sent begin a new session, which sends it", () => {
  const core = new CoreDriver().ready();
  assert.deepEqual(brief(core.lease(template(), [0], { leased: undefined })), [
    "note lease_unusable",
    "disconnect",
    "connect 500",
  ]);
  assert.equal(core.state.leases.size, 0);
});

test("hello names what is held by phase, and ends are told again after the welcome", () => {
  const core = new CoreDriver().ready();
  const running = core.run(template(), [0, 1, 2, 3]);
  assert.deepEqual(running, ["17.0.0.1", "17.0.1.1"]);
  core.feed({ type: "started", key: "17.0.0.1", startedAtMs: 5 });
  core.feed({ type: "ended", end: core.end("17.0.1.1") });
  core.turn();
  core.feed({ type: "disconnected", connection: 1, reason: "cut" });
  const [hello] = core.receive({ type: "challenge", version: 1, versionOldest: 1, nonce: "n", timeline: 1 });
  assert.ok(hello?.type === "hello");
  assert.deepEqual(hello.message.held, [{ ...attempts(0, [0, 1, 2, 3]), phases: [1, 2, 1, 0] }]);
  core.receive({ type: "welcome", epoch: 2, timeline: 1, ttlMs: 20_000, superseded: [] });
  const [ended] = core.turn().filter((effect) => effect.type === "send");
  assert.ok(ended?.message.type === "ended");
  assert.deepEqual(ended.message.groups[0]?.indexes, [1]);
});
