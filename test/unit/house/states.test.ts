/**
 * The diagram of a task's states in shared/model/README.md shows exactly the allowed moves.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { TASK_STATE_NAMES, TASK_TRANSITIONS } from "../../../shared/model/states.ts";
import { read } from "./tree.ts";

test("the diagram and the transition table agree", () => {
  const drawn = [...read("shared/model/README.md").matchAll(/^ {4}(\w+) --> (\w+)/gm)].map(
    ([, from, to]) => `${from} → ${to}`,
  );
  const allowed = TASK_STATE_NAMES.flatMap((from) => TASK_TRANSITIONS[from].map((to) => `${from} → ${to}`));
  assert.deepEqual(drawn.sort(), allowed.sort());
});
