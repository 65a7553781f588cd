/** What a waiting task costs: computed from the arrays that grow with the number of tasks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Classes } from "../../../coordinator/dispatch/floor/classes.ts";
import { createExperiment, type TemplateLedger } from "../../../coordinator/dispatch/ledger/ledger.ts";
import { DEFAULT_PROJECT, OPERATOR_ACTOR } from "../../../shared/model/ids.ts";
import { experiment } from "./definitions.ts";

const BYTES_MAX = 16;

test("a task that only waits costs at most 16 bytes, ledger and queue together", () => {
  const count = 1_000_000;
  const ledger = createExperiment(1 as never, DEFAULT_PROJECT, OPERATOR_ACTOR, experiment([{ count }]), 0);
  const template = ledger.templates[0] as TemplateLedger;
  let bytes = 0;
  for (const value of Object.values(template)) {
    if (ArrayBuffer.isView(value)) bytes += value.byteLength;
    else if (value instanceof Map || value instanceof Set) assert.equal(value.size, 0, "no entry per task");
    else if (Array.isArray(value)) assert.ok(value.length < 10, "no entry per task");
  }
  const classes = new Classes();
  classes.offerRange(template, 0);
  const queue = classes.queueOf(template);
  assert.equal(queue.again.length, 0, "a range is two numbers");
  assert.ok(bytes / count <= BYTES_MAX, `${bytes / count} bytes`);
  assert.ok(bytes / count >= 7, "the arrays were counted");
});
