/** What a rollout does next: exact decisions, both sides of every bound. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decideRollout, type RolloutFacts, type UpdatePeer } from "../../../coordinator/domain/release/decide.ts";
import type { StoredTarget, UpdatePolicy } from "../../../coordinator/store/rollouts.ts";
import type { AgentId } from "../../../shared/model/ids.ts";
import type { TargetState } from "../../../shared/model/update.ts";
import { compareVersions } from "../../../shared/model/update.ts";

const MINUTE_MS = 60_000;
const SETTLE_MS = 30_000;

function target(agent: number, state: TargetState, ages: { changed?: number; begun?: number } = {}): StoredTarget {
  return {
    rollout: 1,
    version: "2.0.0",
    agent: agent as AgentId,
    name: `a${agent}`,
    state,
    message: "",
    changedAtMs: 0,
    changedAgoMs: ages.changed ?? 0,
    begunAgoMs: ages.begun ?? 0,
  };
}

const OLD: UpdatePeer = { program: "1.0.0", ready: true, platform: "linux-x64" };
const NEW: UpdatePeer = { ...OLD, program: "2.0.0" };

function decide(targets: StoredTarget[], peers: Record<number, UpdatePeer>, part: Partial<RolloutFacts> = {}) {
  return decideRollout({
    version: "2.0.0",
    platforms: new Set(["linux-x64"]),
    targets,
    peers: new Map(Object.entries(peers).map(([agent, peer]) => [Number(agent) as AgentId, peer])),
    policies: new Map(),
    settleMs: SETTLE_MS,
    ...part,
  });
}

const moved = ({ moves }: ReturnType<typeof decide>) => moves.map(({ agent, to }) => `${agent} ${to}`);

test("one agent first, in the order of the request", () => {
  const decision = decide([target(3, "WAITING"), target(1, "WAITING")], { 1: OLD, 3: OLD });
  assert.deepEqual([moved(decision), decision.ask, decision.end], [["3 ASKED"], [3], null]);
});

test("nobody else while the first one is under way, whatever it is at", () => {
  for (const state of ["ASKED", "DOWNLOADING", "HANDING_OVER"] as const) {
    const decision = decide([target(1, state), target(2, "WAITING")], { 1: OLD, 2: OLD });
    assert.deepEqual(decision, { moves: [], ask: [], end: null });
  }
});

test("back with the new version it proves itself for as long as was said, to the millisecond", () => {
  assert.deepEqual(moved(decide([target(1, "HANDING_OVER")], { 1: NEW })), ["1 PROVING"]);
  assert.deepEqual(moved(decide([target(1, "PROVING", { changed: SETTLE_MS - 1 })], { 1: NEW })), []);
  const proven = decide([target(1, "PROVING", { changed: SETTLE_MS })], { 1: NEW });
  assert.deepEqual([moved(proven), proven.end], [["1 UPDATED"], { state: "DONE", reason: "1 updated, 0 skipped" }]);
  assert.deepEqual(moved(decide([target(1, "PROVING", { changed: SETTLE_MS })], { 1: { ...NEW, ready: false } })), []);
  assert.deepEqual(moved(decide([target(1, "PROVING", { changed: SETTLE_MS })], {})), ["1 HANDING_OVER"]);
});

test("then as many at once as were updated, and never more than fifty", () => {
  for (const [updated, underWay, asked] of [
    [1, 0, 1],
    [2, 1, 1],
    [4, 0, 4],
    [60, 0, 50],
    [60, 49, 1],
    [60, 50, 0],
  ] as const) {
    const targets = [
      ...Array.from({ length: updated }, (_, i) => target(1_000 + i, "UPDATED")),
      ...Array.from({ length: underWay }, (_, i) => target(2_000 + i, "DOWNLOADING")),
      ...Array.from({ length: 100 }, (_, i) => target(1 + i, "WAITING")),
    ];
    const peers = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [1 + i, OLD]));
    assert.equal(decide(targets, peers).ask.length, asked, `${updated} updated, ${underWay} under way`);
  }
});

test("the first failure stops it: nobody is asked, and the sentence is the agent's", () => {
  for (const state of ["FAILED", "ROLLED_BACK"] as const) {
    const failed = { ...target(2, state), message: "no good" };
    const decision = decide([target(1, "UPDATED"), failed, target(3, "WAITING")], { 1: NEW, 2: OLD, 3: OLD });
    assert.deepEqual(decision, { moves: [], ask: [], end: { state: "STOPPED", reason: "a2: no good" } });
  }
  const relapsed = decide([target(1, "PROVING"), target(2, "WAITING")], { 1: OLD, 2: OLD });
  assert.deepEqual([moved(relapsed), relapsed.ask, relapsed.end?.state], [["1 FAILED"], [], "STOPPED"]);
});

test("who may not, cannot or need not be updated is passed by", () => {
  const policy = (part: Partial<UpdatePolicy>): UpdatePolicy => ({
    agent: 1 as AgentId,
    pinnedVersion: null,
    refused: false,
    ...part,
  });
  const only = (peer: UpdatePeer | undefined, one?: UpdatePolicy, changed = 0) => {
    const policies = new Map(one ? [[1 as AgentId, one]] : []);
    const decision = decide([target(1, "WAITING", { changed })], peer ? { 1: peer } : {}, { policies });
    return [moved(decision)[0], decision.end?.state];
  };
  assert.deepEqual(only(OLD, policy({ refused: true })), ["1 SKIPPED", "DONE"]);
  assert.deepEqual(only(OLD, policy({ pinnedVersion: "1.0.0" })), ["1 SKIPPED", "DONE"]);
  assert.deepEqual(only(OLD, policy({ pinnedVersion: "2.0.0" })), ["1 ASKED", undefined]);
  assert.deepEqual(only({ ...OLD, platform: null }), ["1 SKIPPED", "DONE"]);
  assert.deepEqual(only({ ...OLD, platform: "linux-arm64" }), ["1 SKIPPED", "DONE"]);
  assert.deepEqual(only(NEW), ["1 UPDATED", "DONE"]);
  assert.deepEqual(only({ ...OLD, ready: false }), [undefined, undefined]);
  assert.deepEqual(only(undefined, undefined, 60 * MINUTE_MS - 1), [undefined, undefined]);
  assert.deepEqual(only(undefined, undefined, 60 * MINUTE_MS), ["1 SKIPPED", "DONE"]);
});

test("who is silent is asked again, and given up after an hour", () => {
  assert.deepEqual(decide([target(1, "ASKED", { changed: 29_999 })], { 1: OLD }).ask, []);
  assert.deepEqual(decide([target(1, "ASKED", { changed: 30_000 })], { 1: OLD }).ask, [1]);
  assert.deepEqual(decide([target(1, "HANDING_OVER", { changed: 30_000 })], {}).ask, []);
  const late = decide([target(1, "DOWNLOADING", { begun: 60 * MINUTE_MS })], { 1: OLD });
  assert.deepEqual([moved(late), late.ask, late.end?.state], [["1 FAILED"], [], "STOPPED"]);
});

test("versions are ordered as semantic versioning has it", () => {
  const ordered = [
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.2.0",
    "1.10.0",
  ];
  for (let i = 1; i < ordered.length; i++) {
    assert.ok(compareVersions(ordered[i - 1] as string, ordered[i] as string) < 0, `${ordered[i - 1]} ${ordered[i]}`);
    assert.ok(compareVersions(ordered[i] as string, ordered[i - 1] as string) > 0);
  }
  assert.equal(compareVersions("1.0.0+a", "1.0.0+b"), 0);
});
