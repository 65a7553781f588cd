/** Fair share between projects: who goes first, in the long run and at once, and that nobody starves. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ProjectId } from "../../../shared/model/ids.ts";
import { experiment } from "./definitions.ts";
import { type Demand, Market } from "./market.ts";
import { capacity, helloOf, leasesSent, report, Stage } from "./stage.ts";

function demand(weight: number, runS: () => number, cpus = 1): Demand {
  return { weight, runS, cpus };
}

/** The same numbers for the same seed. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

test("room that comes at once is divided by weight, task by task while nobody knows how long they run", () => {
  const stage = new Stage();
  stage.configure(2, { weight: 3 });
  stage.configure(3, { weight: 1 });
  const heavy = stage.submit(experiment([{ count: 20 }]), 2);
  const light = stage.submit(experiment([{ count: 20 }]), 3);
  stage.hello(1, 10, { capacity: capacity({ cpus: 8 }) });
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), [
    `10: ${heavy}.0 0#1`,
    `10: ${light}.0 0#1`,
    `10: ${heavy}.0 1#1 2#1`,
    `10: ${heavy}.0 3#1`,
    `10: ${light}.0 1#1`,
    `10: ${heavy}.0 4#1 5#1`,
  ]);
});

test("priority is within a project: the most urgent work of one does not go before the share of another", () => {
  const stage = new Stage();
  stage.submit(experiment([{ count: 9 }], { priority: 100 }), 2);
  const plain = stage.submit(experiment([{ count: 9 }]), 3);
  const urgent = stage.submit(experiment([{ count: 9 }], { priority: 1 }), 3);
  stage.hello(1, 10, { capacity: capacity({ cpus: 4 }) });
  stage.settle();
  const sent = leasesSent(stage.sent());
  assert.ok(
    sent.some((line) => line.startsWith(`10: ${urgent}.`)),
    sent.join(),
  );
  assert.ok(!sent.some((line) => line.startsWith(`10: ${plain}.`)), sent.join());
});

test("usage is what attempts ran, whether they were seen running or only reported", () => {
  const stage = new Stage();
  const id = stage.submit(experiment([{ count: 2, requires: { cpus: 2 } }]), 2);
  stage.hello(1, 10, { capacity: capacity({ cpus: 4 }) });
  stage.settle();
  const project = stage.core.projects.get(2 as ProjectId);
  assert.deepEqual(
    [project.held, project.cpus, project.usage],
    [2, 4, 0],
    "held and not started counts for nothing used",
  );
  const startedAtMs = stage.now().wall;
  const first = { experiment: id, template: 0, indexes: [0], attempts: [1], startedAtMs: [startedAtMs] };
  stage.step({ type: "message", peer: 10, message: { type: "started", groups: [first] } });
  stage.pass(4_000);
  assert.ok(Math.abs(project.usage - 8) < 0.01, `2 cpus for 4 s, as it runs: ${project.usage}`);
  const endedAtMs = stage.now().wall;
  const ends = {
    ...report(id, [
      [0, 1],
      [1, 1],
    ]),
    startedAtMs: [startedAtMs, endedAtMs - 1_000],
    endedAtMs: [endedAtMs, endedAtMs],
  };
  stage.ended(10, ends);
  stage.settle();
  assert.ok(Math.abs(project.usage - 10) < 0.01, `and 2 cpus for 1 s more: ${project.usage}`);
  assert.deepEqual([project.held, project.cpus, project.expected, project.runningCpus], [0, 0, 0, 0]);
});

test("usage halves with the half-life", () => {
  const stage = new Stage({ config: { shareHalfLifeMs: 3_600_000 } });
  const id = stage.submit(experiment([{ count: 1 }]), 2);
  stage.hello(1, 10);
  stage.settle();
  stage.mono += 100_000;
  stage.renew(10);
  const endedAtMs = stage.now().wall;
  stage.ended(10, { ...report(id, [[0, 1]]), startedAtMs: [endedAtMs - 100_000], endedAtMs: [endedAtMs] });
  stage.settle();
  const project = stage.core.projects.get(2 as ProjectId);
  const before = project.usage;
  assert.ok(Math.abs(before - 100) < 0.01);
  stage.mono += 3_600_000;
  stage.tick();
  assert.ok(Math.abs(project.usage - before / 2) < 0.05, `${project.usage}`);
});

test("in the long run shares are the weights, whatever tasks look like", () => {
  fc.assert(
    fc.property(
      fc.record({
        seed: fc.nat(),
        slots: fc.integer({ min: 2, max: 12 }),
        projects: fc.array(
          fc.record({ weight: fc.integer({ min: 1, max: 5 }), meanS: fc.constantFrom(0.2, 1, 5, 20) }),
          { minLength: 2, maxLength: 4 },
        ),
      }),
      ({ seed, slots, projects }) => {
        const random = seeded(seed);
        const market = new Market();
        let weights = 0;
        projects.forEach(({ weight, meanS }, i) => {
          weights += weight;
          market.join(
            i + 2,
            demand(weight, () => 2 * meanS * random()),
          );
        });
        market.agent(1, slots);
        market.pass(600);
        projects.forEach(({ weight }, i) => {
          const share = market.shareOf(i + 2);
          const due = weight / weights;
          assert.ok(Math.abs(share - due) < 0.06, `weight ${weight} of ${weights} got ${share.toFixed(3)}`);
        });
      },
    ),
    { numRuns: 10 },
  );
});

test("who comes back after a pause is favoured, and does not get everything for longer than the short memory", () => {
  const market = new Market();
  market.join(
    2,
    demand(1, () => 10),
  );
  market.agent(1, 10);
  market.pass(7_200);
  market.join(
    3,
    demand(1, () => 10),
  );
  const usedIn = (seconds: number): number => {
    const [before, own] = [market.used.get(2) ?? 0, market.used.get(3) ?? 0];
    market.pass(seconds);
    const mine = (market.used.get(3) ?? 0) - own;
    return mine / (mine + (market.used.get(2) ?? 0) - before);
  };
  assert.ok(usedIn(600) > 0.8, "at first it goes first");
  market.pass(1_800);
  const later = usedIn(600);
  assert.ok(later > 0.5 && later < 0.85, `later both work, still in its favour: ${later.toFixed(2)}`);
});

test("a project of little weight is never starved", () => {
  const market = new Market();
  market.join(
    2,
    demand(1_000, () => 1),
  );
  market.join(
    3,
    demand(1, () => 1),
  );
  market.agent(1, 2);
  market.pass(1_200);
  assert.ok((market.used.get(3) ?? 0) >= 1, `${market.used.get(3)}`);
});

test("a class that needs more room than ever comes is kept an agent free for, and blocks no other meanwhile", () => {
  const market = new Market();
  let at = 0;
  // Their ends never meet: there is room for one at a time, never for four.
  market.join(
    2,
    demand(1, () => 2 + (at++ % 7) / 10),
  );
  market.agent(1, 4);
  market.agent(2, 4);
  market.pass(20);
  const large = market.join(
    3,
    demand(1, () => 5, 4),
  );
  const small = market.leased.get(2) ?? 0;
  market.pass(5);
  assert.equal(market.leased.get(3), 0, "it does not fit by chance");
  assert.ok((market.leased.get(2) ?? 0) > small, "others go on");
  market.pass(20);
  assert.ok((market.leased.get(3) ?? 0) >= 1, "after it was passed over long enough one agent made room");
  const share = market.leased.get(3) ?? 0;
  market.pass(120);
  assert.ok((market.leased.get(3) ?? 0) > share + 2, `again and again: experiment ${large}`);
});

test("a reservation ends when its agent drains, and when nothing needs it any more", () => {
  for (const why of ["drain", "cancel"] as const) {
    const market = new Market();
    let at = 0;
    market.join(
      2,
      demand(1, () => 2 + (at++ % 7) / 10),
    );
    market.agent(1, 4);
    const large = market.join(
      3,
      demand(1, () => 5, 4),
    );
    for (let i = 0; market.stage.core.reserved === null; i++) {
      assert.ok(i < 100, "an agent is reserved");
      market.pass(0.2);
    }
    if (why === "drain") market.stage.step({ type: "drain", agent: 1 as never, reason: "test" });
    else {
      market.stage.decide("cancel", large);
      market.stage.settle();
    }
    market.stage.tick();
    assert.ok(market.stage.core.reserved === null, why);
  }
});

test("an agent that serves one project sees the tasks of no other", () => {
  const stage = new Stage();
  const other = stage.submit(experiment([{ count: 5 }]), 2);
  const own = stage.submit(experiment([{ count: 1 }]), 3);
  stage.step({
    type: "hello",
    peer: 10,
    hello: { ...helloOf(1), capacity: capacity({ cpus: 4 }) },
    serves: 3 as ProjectId,
  });
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), [`10: ${own}.0 0#1`]);
  stage.hello(2, 20);
  stage.settle();
  assert.deepEqual(leasesSent(stage.sent()), [`20: ${other}.0 0#1`], "who was enrolled for all serves all");
});
