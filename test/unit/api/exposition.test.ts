/** Prometheus' text: cumulative buckets, escaped labels, a name said once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Exposition } from "../../../coordinator/api/http/exposition.ts";

test("buckets add up, and the last one is +Inf and the count", () => {
  const out = new Exposition();
  out.histogram("h", "Help.", { bounds: [1, 2], counts: Float64Array.of(1, 0, 4), sum: 9 });
  assert.equal(
    out.text(),
    '# HELP h Help.\n# TYPE h histogram\nh_bucket{le="1"} 1\nh_bucket{le="2"} 1\nh_bucket{le="+Inf"} 5\nh_sum 9\nh_count 5\n',
  );
});

test("what a name may not hold in a label is escaped", () => {
  const out = new Exposition();
  out.series("g", "gauge", "Help.", [[{ a: 'x"\\\ny' }, 1]]);
  assert.equal(out.text(), '# HELP g Help.\n# TYPE g gauge\ng{a="x\\"\\\\\\ny"} 1\n');
});
