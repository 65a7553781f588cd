// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the texts are a shell's.
/** Files made to be expensive or to break out: bounded before work is spent on them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  EXPERIMENT_TASKS_MAX,
  PARAMETER_VALUE_BYTES_MAX,
  SPEC_BYTES_MAX,
  SPEC_DEPTH_MAX,
  SPEC_PROBLEMS_MAX,
} from "../../../shared/model/constants.ts";
import { parseExperiment, type SpecSource } from "../../../shared/spec/parse.ts";
import { SpecError } from "../../../shared/spec/problem.ts";

/** The problems of a file; any other error, a hang or a stack overflow fails the test. */
function problemsOf(source: SpecSource, overrides: Record<string, string> = {}): { code: string; message: string }[] {
  try {
    parseExperiment(source, overrides);
    return [];
  } catch (error) {
    assert.ok(error instanceof SpecError, String(error));
    assert.ok(error.problems.length <= SPEC_PROBLEMS_MAX);
    return error.problems;
  }
}

function only(source: SpecSource, code: string, message: RegExp): void {
  const problems = problemsOf(source);
  assert.equal(problems[0]?.code, code, JSON.stringify(problems.slice(0, 3)));
  assert.match(problems[0]?.message ?? "", message);
}

/** A hang limit, not a measurement. */
const options = { timeout: 40_000 };
const TASK = "tasks: { a: { command: x y } }\n";

test("bytes are counted before anything is read, on both sides of the bound", options, () => {
  const filler = (bytes: number): string => `${TASK}#${"x".repeat(bytes - TASK.length - 1)}`;
  assert.deepEqual(problemsOf({ text: filler(SPEC_BYTES_MAX) }), []);
  only({ text: filler(SPEC_BYTES_MAX + 1) }, "spec_too_large", /the file has 1048577 bytes; the limit is 1048576/);
  only({ text: "é".repeat(SPEC_BYTES_MAX / 2 + 1) }, "spec_too_large", /bytes/);
});

test("floods of brackets, commas, quotes, dashes and tabs end at a bound", options, () => {
  const size = SPEC_BYTES_MAX - 10;
  for (const piece of [
    "[",
    "{",
    "[]",
    ",",
    '"',
    "'",
    "- ",
    "? ",
    "a: ",
    "{a: ",
    "!",
    "&a ",
    "*a ",
    "\t",
    "|\n",
    "---\n",
    "]",
    "#\n",
    "a:\n\t",
    "\n",
    "\\",
    "%",
    "`",
  ]) {
    assert.ok(problemsOf({ text: piece.repeat(Math.floor(size / piece.length)) }).length > 0, piece);
  }
});

test("nesting is bounded on both sides of the bound", options, () => {
  const nested = (depth: number): string =>
    `tasks: { a: { command: x y, needs: ${"[".repeat(depth)}${"]".repeat(depth)} } }`;
  assert.notEqual(problemsOf({ text: nested(SPEC_DEPTH_MAX - 3) })[0]?.code, "spec_too_large");
  only({ text: nested(SPEC_DEPTH_MAX + 1) }, "spec_too_large", /nested more than 32 deep/);
  let object: unknown = 1;
  for (let depth = 0; depth < 100_000; depth++) object = [object];
  only({ object }, "spec_too_large", /nested more than 32 deep/);
});

test("aliases cannot multiply", options, () => {
  const bomb = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"];
  for (let level = 1; level < 10; level++) bomb.push(`a${level}: &a${level} [${`*a${level - 1}, `.repeat(10)}]`);
  only({ text: bomb.join("\n") }, "spec_too_large", /aliases/);
  const wide = `v: &v [${"1,".repeat(1_000)}]\nw: [${"*v,".repeat(999)}]`;
  only({ text: wide }, "spec_too_large", /300000 values with its aliases expanded/);
  const shared = "x: &x { cpu: 2 }\n";
  assert.equal(
    problemsOf({ text: `resources: { compute: &c { cpu: 2 } }\ntasks: { a: { command: x y, requires: *c } }` }).length,
    0,
  );
  assert.equal(problemsOf({ text: shared + TASK })[0]?.code, "spec_unknown_key");
});

test("keys that mean something to JavaScript are refused in text and object", () => {
  for (const key of ["__proto__", "constructor", "prototype"]) {
    only({ text: `parameters: { ${key}: { default: 1 } }\n${TASK}` }, "spec_name", /cannot be used/);
    only({ object: JSON.parse(`{"tasks": {"${key}": {"command": "x"}}}`) }, "spec_name", /cannot be used/);
  }
  assert.equal(({} as Record<string, unknown>).default, undefined);
  assert.equal(problemsOf({ text: TASK }, JSON.parse('{"__proto__": "1"}'))[0]?.code, "spec_parameter");
  assert.equal(problemsOf({ text: "tasks: { toString: { command: 'x {valueOf}' } }" })[0]?.code, "spec_reference");
  assert.deepEqual(
    problemsOf({
      text: "parameters: { hasOwnProperty: { default: 1 } }\ntasks: { toString: { command: 'x {hasOwnProperty}' } }",
    }),
    [],
  );
});

test("forty thousand duplicate or distinct keys are read in one pass", options, () => {
  const keys = Array.from({ length: 40_000 }, (_, i) => `k${i}: 1`).join("\n");
  assert.equal(problemsOf({ text: keys }).length, SPEC_PROBLEMS_MAX);
  assert.equal(problemsOf({ text: "k: 1\n".repeat(40_000) }).length, SPEC_PROBLEMS_MAX);
});

test("shell texts of nothing but openings are read in one pass", options, () => {
  const size = PARAMETER_VALUE_BYTES_MAX;
  for (const piece of [
    "$(",
    "`",
    '"',
    "'",
    "${",
    "$((",
    "{",
    "{{",
    "}}",
    "a[",
    "a[{v}",
    "<<E\n",
    "<<'E'\n",
    "((",
    "case x in ",
    "\\",
    "{v}",
    "${v}",
    "#",
    "\n./x",
    "a=",
    "$'",
    "[[ ",
  ]) {
    const command = piece.repeat(Math.floor(size / piece.length));
    problemsOf({ object: { parameters: { v: { default: "1" } }, tasks: { t: { command } } } });
    problemsOf({ object: { parameters: { v: { default: "1" } }, tasks: { t: { argv: [command] } } } });
  }
});

test("one long script used by many tasks is bounded in all", options, () => {
  const tasks = Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`t${i}`, { script: "s" }]));
  only(
    { object: { scripts: { s: "echo x\n".repeat(18_000) }, tasks } },
    "spec_too_large",
    /together have more than 16777216 bytes/,
  );
});

test("many templates of many parents, outputs, variables and unknown names end at a bound", options, () => {
  const names = Array.from({ length: 250 }, (_, i) => `name_that_is_long_and_much_like_the_others_${i}`);
  const parameters = Object.fromEntries(names.map((name) => [name, { default: 1 }]));
  const outputs = Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`o${i}`, `f${i}`]));
  const children = (task: object) => Object.fromEntries(Array.from({ length: 7_000 }, (_, i) => [`t${i}`, task]));
  const tasks = { parent: { command: "x", task_outputs: outputs }, ...children({ command: "x", needs: ["parent"] }) };
  only({ object: { tasks } }, "spec_too_large", /together/);
  const environment = Object.fromEntries(names.map((name) => [name, "x"]));
  only({ object: { resources: { environment }, tasks: children({ command: "x" }) } }, "spec_too_large", /together/);
  const unknown = Array.from({ length: 2_000 }, (_, i) => `{name_that_is_long_and_much_like_the_others_x${i}}`).join(
    " ",
  );
  const spread = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`t${i}`, { command: `x ${unknown}` }]));
  only({ object: { parameters, tasks: spread } }, "spec_reference", /is not declared/);
  assert.deepEqual(problemsOf({ object: { parameters, tasks: children({ command: "x" }) } }), []);
});

test("a shell text, a value and all arguments of a task have what execve allows", options, () => {
  const shell = (bytes: number) => ({ object: { tasks: { t: { command: `echo ${"x".repeat(bytes - 5)}` } } } });
  assert.deepEqual(problemsOf(shell(PARAMETER_VALUE_BYTES_MAX)), []);
  only(shell(PARAMETER_VALUE_BYTES_MAX + 1), "spec_too_large", /./);
  const overhead = "AIRAVATA_PARAM_v=".length;
  const value = (bytes: number) => ({
    object: { tasks: { t: { argv: ["x", "{v}"], task_inputs: { v: ["x".repeat(bytes - overhead)] } } } },
  });
  assert.deepEqual(problemsOf(value(PARAMETER_VALUE_BYTES_MAX)), []);
  only(value(PARAMETER_VALUE_BYTES_MAX + 1), "spec_too_large", /131072 bytes as a variable; the limit is 131071/);
  const many = { v: { default: "x".repeat(100_000) } };
  const argv = (count: number) => ({
    object: { parameters: many, tasks: { t: { argv: ["x", ...Array.from({ length: count }, () => "{v}")] } } },
  });
  assert.deepEqual(problemsOf(argv(15)), []);
  only(argv(20), "spec_too_large", /arguments and environment of t have up to/);
});

test("the tasks of one experiment are bounded in all", options, () => {
  const tasks = Object.fromEntries(
    [1, 2, 3].map((i) => [`t${i}`, { command: "x {i}", task_inputs: { i: "1..9999999" } }]),
  );
  only({ object: { tasks } }, "spec_too_large", new RegExp(`29999997 tasks; the limit is ${EXPERIMENT_TASKS_MAX}`));
});

test("what is no JSON is refused, not walked", () => {
  only({ object: { tasks: { a: { command: (): void => {} } } } }, "spec_type", /a function cannot stand in a spec/);
  only({ object: "tasks" }, "spec_type", /"tasks" stands where a map/);
  only({ object: null }, "spec_type", /nothing stands/);
});
