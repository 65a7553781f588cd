/** `on_disconnect: wait`: a task is kept for the agent that was lost with it, bounded, also through a takeover. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Blame, Outcome } from "../../../shared/model/attempt.ts";
import { SESSION_TTL_MS } from "../../../shared/model/constants.ts";
import type { AgentId } from "../../../shared/model/ids.ts";
import { heldGroup, leased, report, Stage, WALL_START } from "./stage.ts";

test("on_disconnect wait: the task is kept for its agent, until a person cancels it", () => {
  const { stage, id } = leased({ onDisconnect: "wait" });
  stage.hello(2, 20);
  for (let i = 0; i < 20; i++) {
    stage.pass(5_000);
    stage.renew(20);
  }
  assert.deepEqual([stage.batch, stage.states(id)], [null, ["LEASED"]]);
  stage.decide("cancel", id);
  stage.commit();
  stage.tick();
  stage.settle();
  assert.deepEqual(stage.states(id), ["CANCELED"]);
});

test("on_disconnect wait: its agent comes back and goes on; its report counts", () => {
  const { stage, id } = leased({ onDisconnect: "wait", waitMs: 3_600_000 });
  stage.pass(3_000_000);
  stage.hello(1, 11, { held: [heldGroup(id, [[0, 1, 1]])] });
  stage.tick();
  assert.equal(stage.core.agents.get(1 as never)?.awaySinceWall, null);
  stage.ended(11, report(id, [[0, 1]]));
  stage.settle();
  assert.deepEqual(stage.states(id), ["COMPLETED"]);
});

test("on_disconnect wait: when the time is over the task is lost like any other, to the millisecond", () => {
  const { stage, id } = leased({ onDisconnect: "wait", waitMs: 60_000 });
  // Lost at the tick that sees the session run out.
  stage.pass(SESSION_TTL_MS);
  const since = stage.core.agents.get(1 as never)?.awaySinceWall;
  assert.equal(since, WALL_START + stage.mono);
  stage.pass(58_000);
  stage.mono = (since as number) - WALL_START + 60_000 - 1;
  stage.tick();
  assert.deepEqual([stage.batch, stage.states(id)], [null, ["LEASED"]]);
  stage.mono += 1;
  stage.tick();
  const [end] = stage.commit().ends;
  assert.deepEqual([end?.outcomes, end?.blames], [[Outcome.LOST], [Blame.AGENT_LOST]]);
  assert.deepEqual(stage.states(id), ["QUEUED"]);
});

test("on_disconnect wait: a takeover counts on from when the agent was lost", () => {
  const { stage, id } = leased({ onDisconnect: "wait", waitMs: 600_000 });
  const lost = WALL_START + stage.mono + 1_000;
  const absences = [{ agent: 1 as AgentId, sinceMs: lost }];
  const next = new Stage({ ledger: stage.core.ledger, absences });
  next.mono = stage.mono;
  next.pass(600_000);
  assert.deepEqual(next.states(id), ["LEASED"]);
  next.pass(1_000);
  next.settle();
  assert.deepEqual(next.states(id), ["QUEUED"]);
});
