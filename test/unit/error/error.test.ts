/**
 * The error class, chains of causes, and exit codes.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { AiravataError, causeChain, errorLine } from "../../../shared/error/error.ts";
import { exitForStatus } from "../../../shared/error/exit.ts";

test("a code decides on status and retry", () => {
  const waits = new AiravataError("not_leading", "This coordinator waits.");
  assert.deepEqual([waits.status, waits.retryable, waits.data], [503, true, {}]);
  const refused = new AiravataError("setting_invalid", "no", { data: { setting: "--port" } });
  assert.deepEqual([refused.status, refused.retryable, refused.data], [400, false, { setting: "--port" }]);
});

test("a chain ends at what is no error, at ten links, and enters an AggregateError", () => {
  const system = Object.assign(new Error("refused"), { code: "ECONNREFUSED" });
  const all = new AggregateError([system, new Error("other")], "");
  const outer = new AiravataError("internal", "outer", { cause: all });
  assert.deepEqual(
    causeChain(outer).map(({ message, code }) => [message, code]),
    [
      ["outer", "internal"],
      ["", undefined],
      ["refused", "ECONNREFUSED"],
    ],
  );
  assert.deepEqual(causeChain("text"), [{ name: "string", message: "text" }]);
  assert.deepEqual(causeChain(undefined), []);
});

test("one line for a terminal", () => {
  assert.equal(
    errorLine(new Error("a", { cause: new Error("b", { cause: new Error("c") }) })),
    "a (caused by: b; caused by: c)",
  );
  assert.equal(errorLine(new Error("a")), "a");
  assert.equal(errorLine(undefined), "unknown error");
});

test("exit codes follow the status", () => {
  const table: [number, number][] = [
    [200, 0],
    [400, 3],
    [401, 2],
    [403, 2],
    [404, 5],
    [409, 3],
    [422, 3],
    [429, 4],
    [500, 4],
    [503, 4],
  ];
  for (const [status, exit] of table) assert.equal(exitForStatus(status), exit, `status ${status}`);
});
