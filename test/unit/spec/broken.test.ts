/** Experiment files that are wrong, each with the exact problems that are reported. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseExperiment } from "../../../shared/spec/parse.ts";
import { formatProblem, SpecError } from "../../../shared/spec/problem.ts";
import { BROKEN_REFERENCES } from "./broken-references.ts";
import { BROKEN_STRUCTURE } from "./broken-structure.ts";

const BROKEN = [...BROKEN_STRUCTURE, ...BROKEN_REFERENCES];

for (const { title, yaml, overrides, problems } of BROKEN) {
  test(`refuses ${title}`, () => {
    assert.throws(
      () => parseExperiment({ text: yaml, fileName: "broken.yaml" }, overrides),
      (error: unknown) => {
        assert.ok(error instanceof SpecError, String(error));
        assert.deepEqual(
          error.problems.map((problem) => `${problem.code} ${formatProblem(problem)}`),
          problems,
        );
        return true;
      },
    );
  });
}

test("the table holds at least forty files, each with a title of its own", () => {
  assert.ok(BROKEN.length >= 40, `${BROKEN.length} files`);
  assert.equal(new Set(BROKEN.map((broken) => broken.title)).size, BROKEN.length);
});
