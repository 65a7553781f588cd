/** "Why is it not running?": what holds a task back is said, and nothing that does not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { explainTask } from "../../../coordinator/dispatch/explain.ts";
import { Blame, Outcome } from "../../../shared/model/attempt.ts";
import type { AgentId, ProjectId } from "../../../shared/model/ids.ts";
import { experiment, type TemplatePart } from "./definitions.ts";
import { capacity, helloOf, report, Stage } from "./stage.ts";

/** To whoever may see everything. */
const ALL = { agents: null, projects: null };

function submitted(template: TemplatePart) {
  const stage = new Stage();
  const id = stage.submit(experiment([template]));
  stage.hello(1, 10, { capacity: capacity({ cpus: 1 }) });
  stage.settle();
  stage.skip();
  const why = (index: number) => explainTask(stage.core, id, 0, index, stage.now(), ALL);
  const codes = (index: number) => why(index).map((reason) => reason.code);
  return { stage, id, why, codes };
}

test("a queued task waits for room; when its experiment is paused it waits for that alone", () => {
  const { stage, id, codes } = submitted({ count: 3 });
  assert.deepEqual(codes(2), ["agents_busy"]);
  stage.decide("pause", id);
  stage.settle();
  assert.deepEqual(codes(2), ["paused"]);
});

test("a task that fits nowhere says so with amounts that a person reads, also while it is paused", () => {
  const requires = { cpus: 64, memoryBytes: 1.5 * 2 ** 40, labels: { site: "x" } };
  const { stage, id, why, codes } = submitted({ requires });
  const [reason] = why(0);
  assert.match(reason?.message ?? "", /is too small: 64 cpus needed, 1 cpus there; 1536 GiB of memory needed, /);
  assert.match(reason?.message ?? "", /label site x needed, \(none\) there\.$/);
  stage.decide("pause", id);
  stage.settle();
  assert.deepEqual(codes(0), ["paused", "does_not_fit"]);
});

test("a task that failed says how many of its tries that took", () => {
  const { stage, id, why } = submitted({ retries: { max: 0, on: ["exit"] } });
  stage.ended(10, report(id, [[0, 1]], { outcome: Outcome.FAILED, blame: Blame.EXIT, exitCodes: [3] } as never));
  stage.settle();
  assert.deepEqual(why(0), [{ code: "failed", message: "It failed for good: 1 of 1 tries used." }]);
});

test("agents of other projects are counted, and one that is not seen is not named", () => {
  const stage = new Stage();
  const id = stage.submit(experiment([{ requires: { cpus: 64 } }]), 2);
  const small = capacity({ cpus: 1 });
  stage.hello(1, 10, { capacity: small });
  for (const agent of [2, 3]) {
    stage.step({ type: "hello", peer: agent * 10, hello: helloOf(agent, { capacity: small }), serves: 3 as ProjectId });
  }
  stage.step({ type: "drain", agent: 3 as AgentId, reason: "for a test" });
  stage.settle();
  const { name } = [...stage.core.peers.values()][0] as { name: string };
  const why = (agents: Set<string> | null) =>
    explainTask(stage.core, id, 0, 0, stage.now(), { agents, projects: new Set(["2"]) });
  const other = {
    code: "other_project",
    message: `2 connected agents serve other projects than ${stage.core.projects.get(2 as ProjectId).config.name}.`,
    data: { agents: 2 },
  };
  for (const [seen, begin] of [
    [new Set<string>(), "An agent"],
    [new Set(["1"]), name],
    [null, name],
  ] as const) {
    const [first, ...rest] = why(seen);
    assert.ok(first?.message.startsWith(`${begin} is too small: 64 cpus needed`), first?.message);
    assert.equal(first?.data?.agent, begin === name ? 1 : undefined);
    assert.deepEqual(rest, [other]);
  }
});
