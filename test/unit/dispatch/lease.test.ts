/** Leasing: what goes to whom, in which order, how much ahead, and only once it is durable. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { JOURNAL_BATCH_TASKS_MAX } from "../../../shared/model/constants.ts";
import { experiment } from "./definitions.ts";
import { capacity, leasesSent, report, Stage, WALL_START } from "./stage.ts";

test("an agent with room gets what fits, after the commit, with the definition once per session", () => {
  const stage = new Stage();
  const id = stage.submit(experiment([{ count: 2 }]));
  stage.hello(1, 10);
  const template = stage.core.ledger.experiments.get(id)?.definition.templates[0];
  const { epoch } = stage.core.agents.get(1 as never) ?? assert.fail();
  const batch = {
    shard: 0,
    term: 1,
    seq: 2,
    atMs: WALL_START + 1_000,
    submits: [],
    leases: [{ agent: 1, epoch, root: "root1", experiment: id, template: 0, indexes: [0], attempts: [1] }],
    ends: [],
    decisions: [],
    deltas: [{ experiment: id, leased: 1, completed: 0, failed: 0, canceled: 0, requeued: 0 }],
  };
  const welcome = { type: "welcome" as const, epoch, timeline: 1, ttlMs: 20_000, superseded: [] };
  stage.expect({ type: "send", peer: 10, message: welcome }, { type: "append", batch } as never);
  stage.commit();
  const leased = {
    experimentName: "test",
    project: "default",
    parameters: {},
    definition: template,
    templateNames: ["t0"],
    parentOutputs: {},
    valuesPerLease: false,
  };
  const group = { experiment: id, template: 0, indexes: [0], attempts: [1], medianMs: 0 };
  stage.expect(
    { type: "send", peer: 10, message: { type: "leases", groups: [{ ...group, leased }] } } as never,
    { type: "committed", batch, changed: [id] } as never,
  );
  stage.ended(10, report(id, [[0, 1]]));
  stage.commit();
  stage.commit();
  const second = stage.sent().filter(({ message }) => message.type === "leases");
  const next = { experiment: id, template: 0, indexes: [1], attempts: [1], medianMs: 20 };
  assert.deepEqual(second, [{ type: "send", peer: 10, message: { type: "leases", groups: [next] } }]);
});

test("credit: so many beyond what fits, absolute, and none at all at −1", () => {
  const stage = new Stage();
  const id = stage.submit(experiment([{ count: 100 }]));
  stage.hello(1, 10, { capacity: capacity({ cpus: 2 }) });
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), [`10: ${id}.0 0#1 1#1`]);
  stage.free(10, 3);
  stage.free(10, 3);
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), [`10: ${id}.0 2#1 3#1 4#1`]);
  // An end promotes what is held ahead, so that one more fits ahead.
  stage.ended(10, report(id, [[0, 1]]));
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), [`10: ${id}.0 5#1`]);
  stage.free(10, -1);
  stage.ended(
    10,
    report(id, [
      [1, 1],
      [2, 1],
      [3, 1],
      [4, 1],
      [5, 1],
    ]),
  );
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), [], "not even what fits");
  stage.free(10, 0);
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), [`10: ${id}.0 6#1 7#1`]);
});

test("nothing is held ahead of a class whose tasks run long", () => {
  const stage = new Stage();
  const id = stage.submit(experiment([{ count: 10 }]));
  stage.hello(1, 10);
  stage.settle();
  const long = report(id, [[0, 1]]);
  stage.ended(10, { ...long, startedAtMs: [0], endedAtMs: [60_001] });
  stage.settle();
  stage.skip();
  stage.free(10, 5);
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), []);
});

test("priority first, then age, then place in the file", () => {
  const stage = new Stage();
  const old = stage.submit(experiment([{ count: 1 }, { count: 1 }]));
  const young = stage.submit(experiment([{ count: 1 }]));
  const urgent = stage.submit(experiment([{ count: 1 }], { priority: 5 }));
  stage.hello(1, 10, { capacity: capacity({ cpus: 4 }) });
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), [
    `10: ${urgent}.0 0#1`,
    `10: ${old}.0 0#1`,
    `10: ${old}.1 0#1`,
    `10: ${young}.0 0#1`,
  ]);
});

test("priority and age also choose among classes", () => {
  const stage = new Stage();
  const small = stage.submit(experiment([{ count: 9 }]));
  const large = stage.submit(experiment([{ count: 1, requires: { cpus: 2 } }], { priority: 1 }));
  stage.hello(1, 10, { capacity: capacity({ cpus: 3 }) });
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), [`10: ${large}.0 0#1`, `10: ${small}.0 0#1`]);
});

test("a task goes only where it fits when idle: quantities, custom resources, labels", () => {
  const stage = new Stage();
  const gpu = stage.submit(experiment([{ requires: { gpus: 1, vramBytes: 100 } }]));
  const licence = stage.submit(experiment([{ requires: { custom: { licence: 1 } } }]));
  const label = stage.submit(experiment([{ requires: { labels: { arch: "arm64" } } }]));
  stage.hello(1, 10, { capacity: capacity({ cpus: 9 }) });
  stage.free(10, 9);
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), [], "ahead neither");
  stage.hello(2, 20, { capacity: capacity({ gpus: 1, vramBytes: 99 }) });
  stage.hello(3, 30, { capacity: capacity({ gpus: 1, vramBytes: 100 }) });
  stage.hello(4, 40, { capacity: capacity({ custom: { licence: 1 } }) });
  stage.hello(5, 50, { capacity: capacity({ labels: { arch: "arm64", x: "y" } }) });
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()).sort(), [`30: ${gpu}.0 0#1`, `40: ${licence}.0 0#1`, `50: ${label}.0 0#1`]);
});

test("one class that fits nowhere does not stand in the way of another", () => {
  const stage = new Stage();
  stage.submit(experiment([{ count: 5, requires: { cpus: 64 } }], { priority: 9 }));
  const id = stage.submit(experiment([{}]));
  stage.hello(1, 10);
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), [`10: ${id}.0 0#1`]);
});

test("a task is leased only while its wall time fits into what is left of the agent", () => {
  const stage = new Stage();
  const long = stage.submit(experiment([{ requires: { wallSeconds: 100 } }]));
  const short = stage.submit(experiment([{ count: 2, requires: { wallSeconds: 10 } }]));
  stage.hello(1, 10, { lastsMs: 99_999 });
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), [`10: ${short}.0 0#1`]);
  stage.free(10, 9, 10_000);
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), [`10: ${short}.0 1#1`], "exactly what is left is enough");
  stage.hello(2, 20, { lastsMs: 100_000 });
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), [`20: ${long}.0 0#1`]);
});

test("a batch holds at most 2,000 tasks, and ends go before leases", () => {
  const stage = new Stage();
  const id = stage.submit(experiment([{ count: 10_000 }]));
  stage.hello(1, 10, { capacity: capacity({ cpus: 5_000 }) });
  const sizes: number[] = [];
  while (stage.batch !== null) sizes.push(stage.commit().leases.reduce((sum, lease) => sum + lease.indexes.length, 0));
  assert.deepEqual(sizes, [2_000, 2_000, 1_000]);
  const pairs = Array.from({ length: 5_000 }, (_, index): [number, number] => [index, 1]);
  // The first report goes on its way alone; the rest gathers behind it.
  stage.ended(10, report(id, pairs.slice(0, 1)));
  stage.ended(10, report(id, pairs.slice(1)));
  const contents: [number, number][] = [];
  while (stage.batch !== null) {
    const batch = stage.commit();
    const ends = batch.ends.reduce((sum, record) => sum + record.indexes.length, 0);
    const leases = batch.leases.reduce((sum, record) => sum + record.indexes.length, 0);
    assert.ok(ends + leases <= JOURNAL_BATCH_TASKS_MAX);
    contents.push([ends, leases]);
  }
  assert.deepEqual(contents.slice(0, 4), [
    [1, 0],
    [2_000, 0],
    [2_000, 0],
    [999, 1_001],
  ]);
});

test("leases of one template travel at most 500 to a group", () => {
  const stage = new Stage();
  stage.submit(experiment([{ count: 1_200 }]));
  stage.hello(1, 10, { capacity: capacity({ cpus: 2_000 }) });
  stage.settle();
  const sizes = stage
    .sent()
    .flatMap(({ message }) => (message.type === "leases" ? message.groups.map((g) => g.indexes.length) : []));
  assert.deepEqual(sizes, [500, 500, 200]);
});

test("an experiment whose tasks read each other's files stays on the root of its first lease", () => {
  const stage = new Stage();
  const references = [{ template: 0, output: "X", variable: null }];
  const outputs = [{ name: "X", glob: "x" }];
  const id = stage.submit(
    experiment([
      { count: 4, outputs },
      { count: 4, foreach: [0], references },
    ]),
  );
  stage.hello(1, 10, { root: "A" });
  stage.hello(2, 20, { root: "B", capacity: capacity({ cpus: 9 }) });
  stage.hello(3, 30, { root: "A" });
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), [`10: ${id}.0 0#1`, `30: ${id}.0 1#1`]);
  assert.equal(stage.core.ledger.experiments.get(id)?.root, "A");
  stage.ended(10, report(id, [[0, 1]]));
  stage.settle();
  const [lease] = stage.sent().flatMap(({ message }) => (message.type === "leases" ? message.groups : []));
  assert.deepEqual([lease?.template, lease?.indexes], [0, [2]], "older templates first");
});

test("large inputs travel as values per lease, small ones inside the definition", () => {
  const stage = new Stage();
  const values = ["x".repeat(40_000), "y".repeat(40_000)];
  stage.submit(experiment([{ count: 2, inputs: [[{ name: "v", kind: "list", values }]] }]));
  stage.hello(1, 10, { capacity: capacity({ cpus: 2 }) });
  stage.settle();
  const [group] = stage.sent().flatMap(({ message }) => (message.type === "leases" ? message.groups : []));
  assert.deepEqual(group?.leased?.definition.inputs, []);
  assert.deepEqual(group?.values, [{ v: values[0] }, { v: values[1] }]);
});
