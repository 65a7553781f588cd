/** The ring of events: resuming after any cursor gives exactly the rest, or says that something may be missing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { DispatchEvent } from "../../../coordinator/domain/event/event.ts";
import { cursorText, EventRing, parseCursor } from "../../../coordinator/domain/event/ring.ts";
import type { ActorId, ExperimentId } from "../../../shared/model/ids.ts";

function event(experiment: number, tasks = 0): DispatchEvent {
  const base = { atMs: 0, experiment: experiment as ExperimentId, project: "default" };
  if (tasks === 0) {
    return { ...base, kind: "experiment.decided", decision: "pause", actor: 1 as ActorId, reason: "", value: null };
  }
  const indexes = new Uint32Array(tasks);
  return { ...base, kind: "tasks.leased", template: "a", agent: 1 as never, indexes, attempts: indexes };
}

function rest(ring: EventRing, position: number): number[] {
  const seen: number[] = [];
  for (let at = position; at < ring.head; at++) seen.push(ring.at(at)!.event.experiment);
  return seen;
}

test("a cursor is written and read back", () => {
  assert.deepEqual(parseCursor("3.17.2"), { timeline: 3, seq: 17, after: 2 });
  assert.equal(cursorText({ timeline: 3, seq: 17, after: 2 }), "3.17.2");
  for (const text of ["", "1", "1.2", "1.2.3.4", "a.b.c", "-1.2.3", "1.2.9999999999"]) {
    assert.equal(parseCursor(text), undefined, text);
  }
});

test("after every cursor that is kept: exactly the events that follow it", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(4), { maxLength: 30 }),
      fc.integer({ min: 1, max: 12 }),
      fc.nat(100),
      (batches, eventsMax, baseSeq) => {
        const ring = new EventRing(eventsMax, 1_000_000);
        ring.reset(1, baseSeq);
        const all: { cursor: string; id: number }[] = [];
        let id = 0;
        batches.forEach((count, i) => {
          const events = Array.from({ length: count }, () => event(++id));
          const seq = baseSeq + i + 1;
          ring.append(seq, events);
          events.forEach((one, n) => {
            all.push({ cursor: `1.${seq}.${events.length - 1 - n}`, id: one.experiment });
          });
        });
        const kept = all.slice(-eventsMax);
        for (const [i, { cursor }] of all.entries()) {
          const position = ring.positionAfter(parseCursor(cursor)!);
          const missed = all.slice(i + 1);
          if (missed.length <= kept.length)
            assert.deepEqual(
              position && rest(ring, position),
              missed.map((m) => m.id),
            );
          else assert.equal(position, undefined);
        }
        const fromBase = ring.positionAfter({ timeline: 1, seq: baseSeq, after: 0 });
        if (all.length <= eventsMax)
          assert.deepEqual(
            rest(ring, fromBase!),
            all.map((m) => m.id),
          );
        else assert.equal(fromBase, undefined);
        assert.equal(ring.positionAfter(ring.headCursor()), ring.head);
        assert.equal(ring.positionAfter({ timeline: 2, seq: baseSeq, after: 0 }), undefined);
        assert.equal(ring.positionAfter({ timeline: 1, seq: baseSeq + batches.length + 1, after: 0 }), undefined);
        if (baseSeq > 0) assert.equal(ring.positionAfter({ timeline: 1, seq: baseSeq - 1, after: 0 }), undefined);
        // The middle of a batch of the former reign: what followed in it is not known here.
        if (baseSeq > 0) assert.equal(ring.positionAfter({ timeline: 1, seq: baseSeq, after: 1 }), undefined);
      },
    ),
  );
});

test("tasks that events name are bounded, too; the newest event always stays", () => {
  const ring = new EventRing(100, 10);
  ring.reset(1, 0);
  ring.append(1, [event(1, 4), event(2, 4)]);
  ring.append(2, [event(3, 4)]);
  assert.deepEqual(rest(ring, ring.positionAfter({ timeline: 1, seq: 1, after: 1 })!), [2, 3]);
  assert.equal(ring.positionAfter({ timeline: 1, seq: 0, after: 0 }), undefined);
  ring.append(3, [event(4, 50)]);
  assert.deepEqual(rest(ring, ring.positionAfter({ timeline: 1, seq: 2, after: 0 })!), [4]);
  assert.equal(ring.positionAfter({ timeline: 1, seq: 1, after: 0 }), undefined);
});

test("a new reign keeps nothing of the former one, and positions go on", () => {
  const ring = new EventRing();
  ring.reset(1, 0);
  ring.append(1, [event(1)]);
  const head = ring.head;
  ring.reset(1, 5);
  assert.equal(ring.head, head);
  assert.equal(ring.at(head - 1), undefined);
  assert.equal(ring.positionAfter({ timeline: 1, seq: 1, after: 0 }), undefined);
  assert.equal(ring.positionAfter({ timeline: 1, seq: 5, after: 0 }), head);
});
