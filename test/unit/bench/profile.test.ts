/** What is read out of a CPU profile: self time by function, without idleness. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { topFunctions } from "../../bench/profile/top.ts";

const node = (id: number, functionName: string, url = "", lineNumber = 0) => ({
  id,
  callFrame: { functionName, url, lineNumber },
});

test("self times of one function add up wherever it was called from, and idleness is no work", () => {
  const profile = {
    nodes: [
      node(1, "(idle)"),
      node(2, "step", "file:///x/y/coordinator/dispatch/step.ts", 24),
      node(3, "step", "file:///x/y/coordinator/dispatch/step.ts", 24),
      node(4, "", "file:///x/node_modules/ws/lib/sender.js", 9),
      node(5, "(garbage collector)"),
    ],
    samples: [1, 2, 3, 4, 5],
    timeDeltas: [60_000, 2_000, 3_000, 4_000, 1_000],
  };
  assert.deepEqual(topFunctions(profile), [
    { name: "step coordinator/dispatch/step.ts:25", selfMs: 5, share: 0.5 },
    { name: "(anonymous) ws/lib/sender.js:10", selfMs: 4, share: 0.4 },
    { name: "(garbage collector)", selfMs: 1, share: 0.1 },
  ]);
  assert.equal(topFunctions(profile, 1).length, 1);
});
