import assert from "node:assert/strict";
import { test } from "node:test";
import { experimentNumber, taskId, taskName } from "../../../agent/cli/name.ts";

test("a task is named with slashes or dots", () => {
  assert.equal(taskId("17/dock/42"), "17.dock.42");
  assert.equal(taskId("17.dock.42"), "17.dock.42");
  assert.equal(taskName("17.dock-a.42"), "17/dock-a/42");
});

for (const text of ["", "17", "17/dock", "17/dock/x", "17/dock.42", "17//42", "a/dock/1", "17/do ck/1", "17/../1"]) {
  test(`${JSON.stringify(text)} is not a task`, () => {
    assert.throws(() => taskId(text), { code: "usage_invalid" });
  });
}

test("an experiment is a number from 1", () => {
  assert.equal(experimentNumber("17"), 17);
  for (const text of ["0", "-1", "1.5", "x", "", undefined]) {
    assert.throws(() => experimentNumber(text), { code: "usage_invalid" });
  }
});
