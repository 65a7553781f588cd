/** One identity and several connections or machines: who has the session, and what becomes of what the other one had. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SESSION_TTL_MS } from "../../../shared/model/constants.ts";
import { leased, report } from "./stage.ts";

test("a hello that was overtaken by a later connection of its agent does not take the session", () => {
  const { stage } = leased();
  stage.hello(1, 9);
  const [told] = stage.effects.splice(0, 1);
  assert.ok(told?.type === "send" && told.peer === 9 && told.message.type === "error");
  assert.equal(told.message.reaction, "stop");
  stage.expect({ type: "close", peer: 9, reason: "agent a1 has opened a later connection than this one" });
  stage.renew(10);
  assert.equal(stage.sent()[0]?.message.type, "renewed");
});

test("a second machine with the same identity waits until the first one's leases have run out", () => {
  const { stage, id } = leased();
  for (const other of [{ hostname: "h9" }, { root: "root9" }]) {
    stage.hello(1, 20, other);
    const [error] = stage.sent();
    assert.ok(error?.message.type === "error" && error.message.code === "agent_identity_shared");
    assert.match(error.message.message, /a1 works on h1 .* (h1|h9) has the same identity/);
    stage.expect();
  }
  stage.renew(10);
  assert.equal(stage.sent()[0]?.message.type, "renewed");
  stage.step({ type: "disconnected", peer: 10 });
  stage.hello(1, 21, { hostname: "h9" });
  assert.equal(stage.sent()[0]?.message.type, "error");
  stage.pass(SESSION_TTL_MS + 1_000);
  stage.settle();
  stage.skip();
  stage.hello(1, 22, { hostname: "h9" });
  assert.equal(stage.sent()[0]?.message.type, "welcome");
  assert.deepEqual(stage.states(id), ["QUEUED"]);
});

test("a second machine that comes while we were stopped is not let in: the first one was not heard because of us", () => {
  const { stage, id } = leased();
  stage.mono += SESSION_TTL_MS + 1_000;
  stage.hello(1, 20, { hostname: "h9" });
  assert.equal(stage.sent()[0]?.message.type, "error");
  stage.step({ type: "tick" });
  stage.renew(10);
  assert.equal(stage.sent().at(-1)?.message.type, "renewed");
  assert.deepEqual(stage.states(id), ["LEASED"]);
});

test("another machine is let in at once when the first one has left or holds nothing", () => {
  const { stage, id } = leased();
  stage.ended(10, report(id, [[0, 1]]));
  stage.settle();
  stage.step({ type: "disconnected", peer: 10 });
  stage.skip();
  stage.hello(1, 20, { hostname: "h9" });
  assert.equal(stage.sent()[0]?.message.type, "welcome");
  stage.step({ type: "message", peer: 20, message: { type: "goodbye", reason: "drained" } });
  stage.skip();
  stage.hello(1, 21, { hostname: "h8" });
  assert.equal(stage.sent()[0]?.message.type, "welcome");
});
