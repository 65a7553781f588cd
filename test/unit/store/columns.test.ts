import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  allNumbers,
  BIGINT,
  column,
  expand,
  INTEGER,
  SMALLINT,
  sparseTexts,
  storable,
} from "../../../coordinator/store/columns.ts";

test("a column takes the shortest of its three forms", () => {
  assert.equal(column([[0, 0], [0]], INTEGER, 0), null);
  assert.equal(column([[7, 7], [7]], INTEGER, 0), "{7}");
  assert.equal(column([[7, 7], [8]], INTEGER, 0), "{7,7,8}");
  assert.equal(column([[0]], INTEGER, 0), null);
  // Without a default even one that looks like it is written.
  assert.equal(column([[0, 0]], BIGINT, null), "{0}");
});

test("what is stored expands to what was given", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 0, max: 2 }),
      (values, fallback) => {
        const literal = column([values], INTEGER, fallback);
        const stored = literal === null ? null : (JSON.parse(`[${literal.slice(1, -1)}]`) as number[]);
        assert.deepEqual(expand(stored, values.length, fallback), values);
      },
    ),
  );
});

test("numbers outside a column's range are brought into it: a hostile report must not fail an append", () => {
  assert.equal(allNumbers([[1.9, -1.9, Number.NaN, 1e300, -1e300]], SMALLINT), "{1,-1,0,32767,-32768}");
  assert.equal(
    allNumbers([[Number.POSITIVE_INFINITY, 2 ** 60]], BIGINT),
    `{${Number.MAX_SAFE_INTEGER},${Number.MAX_SAFE_INTEGER}}`,
  );
  assert.equal(column([[Number.NaN, Number.NaN]], INTEGER, 5), "{0,0}");
});

test("text loses only what PostgreSQL cannot hold", () => {
  assert.equal(storable("plain ü €"), "plain ü €");
  assert.equal(storable("a\0b"), "a\uFFFDb");
  assert.equal(storable("half \ud800 pair"), "half \uFFFD pair");
  assert.equal(sparseTexts({}), null);
  assert.equal(sparseTexts({ 3: "x\0" }), '{"3":"x\uFFFD"}');
});
