/** Submitting: nothing is answered before the commit, one key makes one experiment, and nothing else is sent. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { OPERATOR_ACTOR } from "../../../shared/model/ids.ts";
import { experiment, submitOf } from "./definitions.ts";
import { Stage, WALL_START } from "./stage.ts";

test("a submit is appended at once and answered only at its commit", () => {
  const stage = new Stage();
  const definition = experiment([{ count: 3 }]);
  stage.step({ type: "submit", request: 7, submit: submitOf(definition, "k") });
  const batch = {
    shard: 0,
    term: 1,
    seq: 1,
    atMs: WALL_START + 1_000,
    submits: [{ experiment: 1, ...submitOf(definition, "k") }],
    leases: [],
    ends: [],
    decisions: [],
    deltas: [],
  };
  stage.expect({ type: "append", batch } as never);
  assert.equal(stage.core.ledger.experiments.size, 0, "nothing is believed before the commit");
  stage.commit();
  stage.expect({ type: "reply", request: 7, result: { ok: "submitted", experiment: 1 as never, replayed: false } }, {
    type: "committed",
    batch,
    changed: [1],
  } as never);
  assert.deepEqual(stage.states(1 as never), ["QUEUED", "QUEUED", "QUEUED"]);
});

test("a repeated key is answered with the same experiment: while it is under way and after it", () => {
  const stage = new Stage();
  const submit = submitOf(experiment([{}]), "k");
  stage.step({ type: "submit", request: 1, submit });
  stage.skip();
  stage.step({ type: "submit", request: 2, submit });
  stage.expect();
  const batch = stage.commit();
  stage.expect(
    { type: "reply", request: 2, result: { ok: "submitted", experiment: 1 as never, replayed: true } },
    { type: "reply", request: 1, result: { ok: "submitted", experiment: 1 as never, replayed: false } },
    { type: "committed", batch, changed: [1] } as never,
  );
  stage.step({ type: "submit", request: 3, submit });
  stage.expect({ type: "reply", request: 3, result: { ok: "submitted", experiment: 1 as never, replayed: true } });
  assert.equal(stage.core.ledger.experiments.size, 1);
});

test("a key with another body is refused, a key of another actor is another key", () => {
  const stage = new Stage();
  const definition = experiment([{}]);
  for (const committed of [false, true]) {
    if (!committed) stage.step({ type: "submit", request: 1, submit: submitOf(definition, "k") });
    else stage.settle();
    stage.skip();
    stage.step({ type: "submit", request: 2, submit: submitOf(definition, "k", "other") });
    const message = 'Idempotency-Key "k" was used for another request; use a new key for a new request';
    stage.expect({ type: "reply", request: 2, result: { error: "idempotency_key_reused", message } });
  }
  stage.step({ type: "submit", request: 3, submit: { ...submitOf(definition, "k"), actor: 99 as never } });
  stage.settle();
  assert.equal(stage.core.ledger.experiments.size, 2);
  assert.notEqual(OPERATOR_ACTOR, 99);
});

test("what gathers while an append is under way goes into one next batch", () => {
  const stage = new Stage();
  for (let request = 1; request <= 5; request++) {
    stage.step({ type: "submit", request, submit: submitOf(experiment([{}])) });
  }
  assert.equal(stage.commit().submits.length, 1);
  assert.deepEqual(
    stage.commit().submits.map((submit) => submit.experiment),
    [2, 3, 4, 5],
  );
  assert.equal(stage.batch, null);
});

test("a committed seq that nobody waits for is an error", () => {
  const stage = new Stage();
  assert.throws(() => stage.step({ type: "committed", seq: 1 }), /without that append/);
});

test("a submit that an agent waits for and its first leases are one append, told only at the commit", () => {
  const stage = new Stage();
  stage.hello(1, 10);
  stage.settle();
  const appended = stage.journal.length;
  stage.effects = [];
  const definition = experiment([{ count: 3 }, { count: 3, needs: [0] }]);
  stage.step({ type: "submit", request: 7, submit: submitOf(definition) });
  const { submits, leases } = stage.batch ?? assert.fail("nothing is appended");
  assert.equal(submits.length, 1);
  assert.deepEqual(
    leases.map(({ experiment, template, indexes, attempts }) => [experiment, template, indexes, attempts]),
    [[submits[0]?.experiment, 0, [0], [1]]],
  );
  assert.deepEqual(
    stage.effects.map(({ type }) => type),
    ["append"],
  );
  assert.equal(stage.core.ledger.experiments.size, 0);
  stage.commit();
  assert.deepEqual(
    stage.effects.slice(1, 4).map(({ type }) => type),
    ["send", "reply", "committed"],
  );
  assert.equal(stage.core.incoming.size, 0);
  assert.equal(stage.journal.length, appended + 1);
});
