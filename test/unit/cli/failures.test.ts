import assert from "node:assert/strict";
import { test } from "node:test";
import { causeText, renderFailures } from "../../../agent/cli/failures.ts";
import { plain } from "../../../agent/cli/terminal.ts";
import { BLAME_NAMES } from "../../../shared/model/attempt.ts";

const group = {
  template: "dock",
  blame: "exit",
  exit_code: 3,
  signal: null,
  tasks: 2,
  example: "17.dock.4",
  stderr_tail: "one\ntwo\n",
  detail: null,
};
const screen = { columns: 80, paint: plain };

test("the largest group comes first, with an example and what it said", () => {
  assert.equal(
    renderFailures([group, { ...group, exit_code: 1, tasks: 40, example: "17.dock.9", stderr_tail: null }], screen),
    [
      "40 tasks of dock failed: exit code 1",
      "  for example 17/dock/9, which wrote nothing to its error output",
      "",
      "2 tasks of dock failed: exit code 3",
      "  for example 17/dock/4, which said:",
      "    | one",
      "    | two",
      "",
    ].join("\n"),
  );
});

test("what a task wrote cannot drive the terminal, nor fill it", () => {
  const tail = `${"\u001b[2J\u001b]0;title\u0007"}${Array.from({ length: 100 }, (_, i) => `line ${i}\r`).join("\n")}\n${"x".repeat(5000)}`;
  const text = renderFailures([{ ...group, stderr_tail: tail }], screen);
  for (const control of ["\u001b", "\u0007", "\r"]) assert.ok(!text.includes(control));
  assert.ok(text.split("\n").length < 12);
  for (const line of text.split("\n")) assert.ok(line.length <= 80, line);
});

test("more causes than fit are counted", () => {
  const many = Array.from({ length: 12 }, (_, i) => ({ ...group, exit_code: i, tasks: 100 - i }));
  assert.match(renderFailures(many, screen), /\n362 more failed tasks with 4 other causes\.\n$/);
});

test("every blame has words of its own", () => {
  for (const blame of BLAME_NAMES) {
    if (blame === "none" || blame === "released") continue;
    const text = causeText({ blame, exit_code: 2, signal: 11 });
    assert.notEqual(text, blame === "canceled" ? "" : blame);
  }
  assert.equal(causeText({ blame: "signal", exit_code: null, signal: 11 }), "ended by signal 11");
});
