/** A task's inputs from its index: the order of nested loops, exact ranges, foreach. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { InputAxis } from "../../../shared/model/definition.ts";
import { parseExperiment } from "../../../shared/spec/parse.ts";
import { parseRange, rangeValue } from "../../../shared/spec/range.ts";
import { decodeInputs } from "../../../shared/spec/render.ts";

const axisValues = fc.array(fc.string({ maxLength: 3 }), { minLength: 1, maxLength: 4 });

test("indexes walk the product as nested loops do, the last input innermost", () => {
  fc.assert(
    fc.property(fc.array(fc.array(axisValues, { maxLength: 4 }), { maxLength: 2 }), (groups) => {
      const inputs = groups.map((group, g) =>
        group.map((values, a): InputAxis => ({ name: `g${g}a${a}`, kind: "list", values })),
      );
      for (const group of inputs) {
        let rows: Record<string, string>[] = [{}];
        for (const axis of group) {
          if (axis.kind === "list")
            rows = rows.flatMap((row) => axis.values.map((value) => ({ ...row, [axis.name]: value })));
        }
        rows.forEach((row, index) => {
          assert.deepEqual(decodeInputs({ inputs: [group] }, index), row);
        });
      }
    }),
    { numRuns: 200 },
  );
});

function expand(text: string): string[] | string {
  const axis = parseRange("x", text);
  if (!("name" in axis)) return axis.message;
  assert.equal(axis.kind, "range");
  return axis.kind === "range" ? Array.from({ length: axis.count }, (_, i) => rangeValue(axis, i)) : [];
}

test("ranges include both ends and are exact", () => {
  assert.deepEqual(expand("1..4"), ["1", "2", "3", "4"]);
  assert.deepEqual(expand("1..10..4"), ["1", "5", "9"]);
  assert.deepEqual(expand("0..1..0.25"), ["0.00", "0.25", "0.50", "0.75", "1.00"]);
  assert.deepEqual(expand("0..0.3..0.1"), ["0.0", "0.1", "0.2", "0.3"]);
  assert.deepEqual(expand("-0.1..0.1..0.1"), ["-0.1", "0.0", "0.1"]);
  assert.deepEqual(expand("3..1..-1"), ["3", "2", "1"]);
  assert.deepEqual(expand("1..-1..-0.5"), ["1.0", "0.5", "0.0", "-0.5", "-1.0"]);
  assert.deepEqual(expand("1..2.5"), ["1", "2"]);
  assert.deepEqual(expand("5..5"), ["5"]);
  assert.deepEqual(expand("0..1e3..5e2"), ["0", "500", "1000"]);
  assert.deepEqual(expand("0..2e-3..1e-3"), ["0.000", "0.001", "0.002"]);
});

test("ten million values are the most, counted and not expanded", () => {
  assert.equal((parseRange("x", "1..10000000") as InputAxis & { kind: "range" }).count, 10_000_000);
  assert.match((parseRange("x", "0..10000000") as { message: string }).message, /10000001 values/);
  assert.match((parseRange("x", "1..1e15") as { message: string }).message, /1000000000000000 values/);
  assert.match((parseRange("x", "1..1e999") as { message: string }).message, /not a number/);
  assert.match(
    (parseRange("x", "0..900000000000000000..90000000000000001") as { message: string }).message,
    /too many digits/,
  );
});

test("a range's values equal integer arithmetic", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: -999, max: 999 }),
      fc.integer({ min: 0, max: 50 }),
      fc.integer({ min: 1, max: 99 }),
      fc.integer({ min: 0, max: 3 }),
      fc.boolean(),
      (from, steps, step, decimals, down) => {
        const sign = down && steps > 0 ? -1 : 1;
        const show = (units: number): string => {
          const digits = String(Math.abs(units)).padStart(decimals + 1, "0");
          const cut = digits.length - decimals;
          return `${units < 0 ? "-" : ""}${digits.slice(0, cut)}${decimals > 0 ? `.${digits.slice(cut)}` : ""}`;
        };
        const text = `${show(from)}..${show(from + sign * step * steps)}..${show(sign * step)}`;
        assert.deepEqual(
          expand(text),
          Array.from({ length: steps + 1 }, (_, i) => show(from + sign * step * i)),
        );
      },
    ),
    { numRuns: 300 },
  );
});

test("foreach keeps its parents' index and inputs", () => {
  const { definition } = parseExperiment({
    object: {
      tasks: {
        late: { foreach: ["a", "b"], command: "f {x} {y} {z}" },
        a: { command: "f {x}", task_inputs: { x: ["p", "q"], z: "1..3" } },
        b: { command: "f {y}", task_inputs: { y: "1..6" } },
        again: { foreach: ["late", "a"], command: "f {x}{y}{z}" },
      },
    },
  });
  const [late, a, , again] = definition.templates;
  assert.ok(late && a && again);
  assert.deepEqual([late.count, a.count, again.count], [6, 6, 6]);
  assert.deepEqual(decodeInputs(late, 4), { x: "q", z: "2", y: "5" });
  assert.deepEqual(decodeInputs(again, 4), { x: "q", z: "2", y: "5" });
  assert.deepEqual(Object.keys(decodeInputs(late, 4)), ["x", "z", "y"], "in the order of the file");
  assert.equal(again.inputs.length, 2, "an ancestor's inputs stand once");
  assert.deepEqual(
    [late.foreach, again.foreach],
    [
      [1, 2],
      [0, 1],
    ],
  );
});
