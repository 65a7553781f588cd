/** Large experiment files are parsed beside the loop: the same results, the same refusals, and the loop goes on. */
import assert from "node:assert/strict";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { test } from "node:test";
import { parseSpec } from "../../../coordinator/domain/experiment/parse.ts";
import { parseExperiment } from "../../../shared/spec/parse.ts";
import { SpecError } from "../../../shared/spec/problem.ts";

function specOf(values: number, more = ""): string {
  const list = Array.from({ length: values }, (_, i) => `        - value ${i}`).join("\n");
  return `name: large\ntasks:\n  a:\n    command: echo {n}\n    task_inputs:\n      n:\n${list}\n${more}`;
}

const parse = (text: string, overrides = {}) => parseSpec({ source: { text }, overrides, options: {} }, text.length);

test("the thread gives what parsing in place gives", async () => {
  for (const values of [1, 5_000]) {
    const text = specOf(values);
    assert.deepEqual(await parse(text), parseExperiment({ text }).definition);
  }
});

test("the thread refuses as parsing in place does, and lives on", async () => {
  const text = specOf(5_000, "  b:\n    comand: x\n  c:\n    command: y\n    foreach: [zz]\n");
  const inPlace = (() => {
    try {
      parseExperiment({ text });
    } catch (error) {
      return error as SpecError;
    }
  })();
  await assert.rejects(parse(text), (error: unknown) => {
    assert.ok(error instanceof SpecError);
    assert.deepEqual([error.code, error.message, error.problems], [inPlace?.code, inPlace?.message, inPlace?.problems]);
    return true;
  });
  assert.equal((await parse(specOf(5_000))).name, "large");
});

test("the loop turns while a megabyte is parsed, and too many at once are sent away", async () => {
  const text = specOf(40_000);
  const delays = monitorEventLoopDelay({ resolution: 5 });
  delays.enable();
  const begun = performance.now();
  await parse(text);
  const tookMs = performance.now() - begun;
  // Only taking over the result happens here.
  assert.ok(delays.max / 1e6 < tookMs / 2, `the loop stood for ${delays.max / 1e6} of ${tookMs} ms`);
  const many = await Promise.allSettled(Array.from({ length: 40 }, () => parse(specOf(1_000))));
  const refused = many.filter(({ status }) => status === "rejected");
  assert.equal(refused.length, 10);
  assert.ok(refused.every((result) => (result as PromiseRejectedResult).reason.code === "coordinator_busy"));
});
