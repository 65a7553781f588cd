// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the texts are a shell's.
/** What right files become. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseExperiment, type SpecOptions } from "../../../shared/spec/parse.ts";

const one = (task: object, rest: object = {}, options: SpecOptions = {}) =>
  parseExperiment({ object: { tasks: { t: task }, ...rest } }, {}, options);

test("silence has the defaults", () => {
  const { definition, files, notes } = parseExperiment({
    text: "tasks: { t: { command: prog a } }",
    fileName: "/x/my sweep.v2.yaml",
  });
  assert.deepEqual(definition, {
    name: "my sweep.v2",
    project: "default",
    priority: 0,
    maxFailures: null,
    onDisconnect: "requeue",
    parameters: {},
    templates: [
      {
        ordinal: 0,
        name: "t",
        count: 1,
        inputs: [],
        command: { kind: "argv", argv: [["prog"], ["a"]] },
        outputs: [],
        foreach: [],
        needs: [],
        references: [],
        requires: {
          cpus: 1,
          memoryBytes: 1024 ** 3,
          gpus: 0,
          vramBytes: 0,
          diskBytes: 0,
          custom: {},
          labels: {},
          wallSeconds: 1_800,
        },
        retries: { max: 0, on: ["exit", "signal", "timeout", "oom", "output", "spawn"] },
        environment: {},
      },
    ],
  });
  assert.deepEqual([files, notes], [[], []]);
});

test("everything that is said is taken, requires over resources.compute key by key", () => {
  const { definition } = parseExperiment({
    text: `
version: 1
name: full
project: lab
description: all of it
priority: -5
max_failures: 3
on_disconnect: wait
resources:
  compute: { node: 1, cpu: 4, gpu: 2, ram_gb: 1.5, disk_gb: 10, vram_gb: 8, time: 1d 2h, labels: { zone: a, tier: 1 }, custom: { licence: 2 } }
  environment: { OMP_NUM_THREADS: 1, BOTH: "{{shared}}" }
  conda: []
  storage:
tasks:
  t:
    command: prog
    requires: { cpu: 0.5, time: "0:10:00", labels: { zone: b } }
    retries: { max: 3, on: [exit, timeout] }
    environment: { BOTH: own }
`,
  });
  const [template] = definition.templates;
  assert.deepEqual(template?.requires, {
    cpus: 0.5,
    memoryBytes: 1.5 * 1024 ** 3,
    gpus: 2,
    vramBytes: 8 * 1024 ** 3,
    diskBytes: 10 * 1024 ** 3,
    custom: { licence: 2 },
    labels: { zone: "b", tier: "1" },
    wallSeconds: 600,
  });
  assert.deepEqual(template.retries, { max: 3, on: ["exit", "timeout"] });
  assert.deepEqual(template.environment, { OMP_NUM_THREADS: ["1"], BOTH: ["own"] });
  const { name, project, priority, maxFailures, onDisconnect } = definition;
  assert.deepEqual([name, project, priority, maxFailures, onDisconnect], ["full", "lab", -5, 3, "wait"]);
});

test("values stay as they are written", () => {
  const { definition } = parseExperiment({
    text: "tasks: { t: { command: 'f {x}', task_inputs: { x: [0.10, 1e-3, 007, true, 0x1F, 'a b', 1_000, 2020-01-01, \"l\\nm\"] } } }",
  });
  const axis = definition.templates[0]?.inputs[0]?.[0];
  assert.deepEqual(axis?.kind === "list" && axis.values, [
    "0.10",
    "1e-3",
    "007",
    "true",
    "0x1F",
    "a b",
    "1_000",
    "2020-01-01",
    "l\nm",
  ]);
});

test("parameters are of their type, whether given or by default", () => {
  const declared = {
    i: { type: "int", default: 42 },
    f: { type: "float", default: "1e-3" },
    s: { default: 5 },
    b: { type: "bool", default: true },
    p: { type: "path", default: "./x y.pdb" },
  };
  const parse = (overrides: Record<string, string>) =>
    parseExperiment({ object: { parameters: declared, tasks: { t: { command: "f" } } } }, overrides, {
      specDirectory: "/s",
    });
  assert.deepEqual(parse({}).definition.parameters, { i: "42", f: "1e-3", s: "5", b: "true", p: "/s/x y.pdb" });
  const given = parse({ i: "+007", f: "-.5", s: " $(x) ", b: "false", p: "/abs" });
  assert.deepEqual(given.definition.parameters, { i: "7", f: "-.5", s: " $(x) ", b: "false", p: "/abs" });
  assert.deepEqual(
    given.files.map((file) => [file.path, file.what]),
    [["/abs", "the parameter p"]],
  );
  const wrongs: Record<string, string>[] = [
    { i: "1.0" },
    { i: "9223372036854775808" },
    { i: "" },
    { f: "x" },
    { f: "NaN" },
    { b: "True" },
    { p: "" },
    { s: "\0" },
  ];
  for (const wrong of wrongs) {
    assert.throws(() => parse(wrong), { code: "spec_parameter" }, JSON.stringify(wrong));
  }
});

test("the command line beats the file, under the same rules", () => {
  const object = { name: "a", priority: 1, tasks: { t: { command: "f" } } };
  const { definition } = parseExperiment({ object }, {}, { name: "b", project: "p", priority: 7 });
  assert.deepEqual([definition.name, definition.project, definition.priority], ["b", "p", 7]);
  assert.throws(() => parseExperiment({ object }, {}, { priority: 5_000 }), { code: "spec_value" });
  assert.throws(() => parseExperiment({ object }, {}, { name: "../x" }), { code: "spec_value" });
});

test("a first ./ is found beside the spec, quoted for the shell", () => {
  const options = { specDirectory: "/it's here" };
  const command = (task: object) => one(task, {}, options).definition.templates[0]?.command;
  assert.deepEqual(command({ command: "./prog a" }), { kind: "argv", argv: [["/it's here/prog"], ["a"]] });
  assert.deepEqual(command({ argv: ["./prog", "./a"] }), { kind: "argv", argv: [["/it's here/prog"], ["./a"]] });
  assert.deepEqual(command({ command: "A=1 ./prog > x" }), { kind: "shell", text: "A=1 '/it'\\''s here'/prog > x" });
  assert.deepEqual(command({ command: "if ./prog; then ./other; fi" }), {
    kind: "shell",
    text: "if '/it'\\''s here'/prog; then ./other; fi",
  });
  assert.deepEqual(one({ command: "cd x && ./prog" }, {}, options).definition.templates[0]?.command, {
    kind: "shell",
    text: "cd x && ./prog",
  });
  assert.match(one({ command: "cd x && ./prog" }).notes[0]?.message ?? "", /task's own directory/);
});

test("what surprises is noted", () => {
  const { notes } = parseExperiment({
    text: "parameters: { seed: { default: 1 } }\nscripts: { unused: ls }\ntasks:\n  t:\n    command: |\n      x=1\n      echo ${seed} $x\n",
  });
  assert.deepEqual(
    notes.map((note) => [note.line, note.column, note.message]),
    [
      [2, 12, "no task uses the script unused"],
      [7, 12, "${seed} is a variable of the shell's own; the value is {seed}"],
    ],
  );
});

test("scripts of other interpreters stay as they are", () => {
  const python = "#!/usr/bin/env python3\nprint(f'{x} {{seed}}', '{}}}')\n";
  const rest = {
    parameters: { seed: { default: 1 } },
    scripts: { p: python, s: "#!/bin/sh\necho {seed}", e: "#!/bin/bash\necho ${seed}" },
  };
  const command = (script: string) => one({ script }, rest).definition.templates[0]?.command;
  assert.deepEqual(command("p"), { kind: "script", text: python });
  assert.deepEqual(command("s"), { kind: "shell", text: '#!/bin/sh\necho "${AIRAVATA_PARAM_seed}"' });
  assert.equal(command("e")?.kind, "script");
});

test("outputs of parents: in the environment where they are one path, in argv also many", () => {
  const { definition } = parseExperiment({
    object: {
      tasks: {
        "a-1": { command: "f", task_inputs: { i: "1..3" }, task_outputs: { ONE: "./one.txt", ALL: "*.txt" } },
        b: { foreach: ["a-1"], command: "cat '{a-1.ONE}' \"${a-1.ONE}\" > x", task_outputs: { X: "x" } },
        c: { needs: ["b", "a-1"], argv: ["cat", "{b.X}", "${a-1.ALL}", "${b}", "{{b.X}}"] },
        d: { needs: ["c"], command: "f" },
      },
    },
  });
  const [, b, c, d] = definition.templates;
  assert.deepEqual(b?.references, [{ template: 0, output: "ONE", variable: "AIRAVATA_INPUT_a_1_ONE" }]);
  assert.deepEqual(b.command, {
    kind: "shell",
    text: `cat ''"\${AIRAVATA_INPUT_a_1_ONE}"'' "\${AIRAVATA_INPUT_a_1_ONE}" > x`,
  });
  assert.deepEqual(c?.command, {
    kind: "argv",
    argv: [["cat"], [{ output: "X", template: 1 }], [{ output: "ALL", template: 0 }], ["${b}"], ["{b.X}"]],
  });
  assert.deepEqual(c.references, [
    { template: 1, output: "X", variable: null },
    { template: 0, output: "ALL", variable: null },
  ]);
  assert.deepEqual(d?.references, []);
});

test("braces that are the shell's own stay", () => {
  const text = (command: string) => {
    const compiled = one({ command }, { parameters: { x: { default: 1 } } }).definition.templates[0]?.command;
    return compiled?.kind === "shell" ? compiled.text : JSON.stringify(compiled);
  };
  for (const own of [
    "echo ${HOME} {a,b} {1..3} { x } {}",
    "f() { echo; }; f",
    "echo ${a:-${b}}",
    "awk '{ if (x) { print }}' f > g",
    "find . -exec f {} \\;",
  ]) {
    assert.equal(text(own), own);
  }
  assert.equal(text('echo {{x}} \'{{"a": {x}}}\' "{{y.z}}"'), `echo {x} '{"a": '"\${AIRAVATA_PARAM_x}"'}' "{y.z}"`);
  assert.equal(text("echo \\{x} \"\\${x}\" '${x}'"), "echo \\{x} \"\\${x}\" '${x}'");
  assert.equal(text("cat <<E\n{x} \\{x}\nE\n"), "cat <<E\n${AIRAVATA_PARAM_x} \\{x}\nE\n");
  assert.equal(text("cat <<'E'\n{y} {{x}}\nE\n"), "cat <<'E'\n{y} {{x}}\nE\n");
});
