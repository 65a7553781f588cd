/** What an agent may touch, whatever it says: nothing of other projects, nothing of other agents; and its end by decree. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Blame, Outcome } from "../../../shared/model/attempt.ts";
import { SESSION_TTL_MS } from "../../../shared/model/constants.ts";
import type { ProjectId } from "../../../shared/model/ids.ts";
import { endRow, heldGroup, helloOf, leased, leasesSent, report, type Stage } from "./stage.ts";

/** The default project of submits in these tests is 1. */
const OTHER = 2 as ProjectId;

function helloOfOther(stage: Stage, agent: number, peer: number, held: Parameters<typeof heldGroup>[] = []): void {
  const hello = helloOf(agent, { held: held.map(([id, rows]) => heldGroup(id, rows)) });
  stage.step({ type: "hello", peer, hello, serves: OTHER });
}

function refusals(stage: Stage): string[] {
  const all = stage.sent().flatMap(({ message }) => (message.type === "ack" ? (message.refused ?? []) : []));
  return all.map(({ message }) => message);
}

function forged(stage: Stage): number[] {
  return stage.effects.flatMap((effect) => (effect.type === "forged" ? [effect.agent] : []));
}

test("an agent reports nothing of a project that it does not serve, and does not learn what there is of it", () => {
  const { stage, id } = leased();
  helloOfOther(stage, 2, 20);
  stage.skip();
  stage.ended(20, report(id, [[0, 1]]));
  stage.settle();
  const unlike = `experiment ${id} has ended, or is of a project that this agent does not serve; nothing is counted for it`;
  assert.deepEqual(forged(stage), [2]);
  assert.deepEqual(refusals(stage), [unlike]);
  assert.deepEqual(stage.states(id), ["LEASED"]);
  assert.equal(stage.core.figures.forged, 1);
});

test("nor what was lost and waits for its next attempt; nor does it get hold of that by saying that it has it", () => {
  const { stage, id } = leased();
  stage.pass(SESSION_TTL_MS + 1);
  stage.settle();
  assert.deepEqual(stage.states(id), ["QUEUED"]);
  stage.skip();
  helloOfOther(stage, 2, 20, [[id, [[0, 1, 1]]]]);
  assert.deepEqual(forged(stage), [2]);
  const welcome = stage.sent().find(({ message }) => message.type === "welcome")?.message;
  assert.ok(welcome?.type === "welcome");
  assert.deepEqual(welcome.superseded, [{ experiment: id, template: 0, indexes: [0], attempts: [1] }]);
  stage.ended(20, report(id, [[0, 1]]));
  stage.settle();
  assert.deepEqual(stage.states(id), ["QUEUED"]);
  assert.equal(stage.core.held.size, 0);
});

test("within one project an agent reports and holds its own attempts only, also after they were lost", () => {
  const { stage, id } = leased();
  stage.hello(2, 20, { capacity: { ...helloOf(2).capacity, cpus: 0 } });
  stage.skip();
  stage.ended(20, report(id, [[0, 1]]));
  stage.settle();
  assert.match(refusals(stage)[0] ?? "", /is with agent 1, not with/);
  stage.pass(SESSION_TTL_MS + 1);
  stage.settle();
  assert.deepEqual(stage.states(id), ["QUEUED"]);
  stage.skip();
  stage.hello(2, 21, { held: [heldGroup(id, [[0, 1, 1]])], capacity: { ...helloOf(2).capacity, cpus: 0 } });
  stage.ended(21, report(id, [[0, 1]]));
  stage.settle();
  assert.match(refusals(stage)[0] ?? "", /is with agent 1, not with/);
  assert.deepEqual(stage.states(id), ["QUEUED"]);
  stage.skip();
  // Whose it was comes back, and its report counts.
  stage.hello(1, 11, { held: [heldGroup(id, [[0, 1, 2]])] });
  stage.ended(11, report(id, [[0, 1]]));
  stage.settle();
  assert.deepEqual(stage.states(id), ["COMPLETED"]);
});

test("revoked: the session ends at once, what it held is queued at nobody's expense, it does not come back", () => {
  const { stage, id } = leased();
  stage.step({ type: "revoke", agent: 1 as never, message: "agent a1 was revoked" });
  assert.ok(stage.effects.some((effect) => effect.type === "close" && effect.peer === 10));
  const told = stage.sent().find(({ message }) => message.type === "error");
  assert.ok(told?.message.type === "error");
  assert.deepEqual([told.peer, told.message.code, told.message.reaction], [10, "agent_revoked", "enrol"]);
  const end = endRow(stage.batch?.ends[0]);
  assert.deepEqual([end.outcome, end.blame], [Outcome.LOST, Blame.NOT_HELD]);
  stage.settle();
  assert.deepEqual(stage.states(id), ["QUEUED"]);
  stage.skip();
  stage.ended(10, report(id, [[0, 1]]));
  stage.hello(1, 11, { held: [heldGroup(id, [[0, 1, 1]])] });
  assert.ok(stage.sent().every(({ message }) => message.type === "error" && message.code === "agent_revoked"));
  assert.deepEqual(stage.states(id), ["QUEUED"]);
  stage.hello(2, 20);
  stage.settle();
  assert.deepEqual(stage.states(id), ["LEASED"]);
});

test("a lease that is on its way into the journal when its agent is revoked is not delivered and given back", () => {
  const { stage, id } = leased();
  stage.ended(10, report(id, [[0, 1]], { outcome: Outcome.RELEASED, blame: Blame.RELEASED }));
  stage.commit();
  assert.equal(stage.batch?.leases.length, 1, "the second lease is being appended");
  stage.step({ type: "revoke", agent: 1 as never, message: "agent a1 was revoked" });
  stage.skip();
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), []);
  assert.deepEqual(stage.states(id), ["QUEUED"]);
  assert.equal(stage.core.held.size, 0);
});
