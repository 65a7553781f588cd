// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the texts are a shell's.
/** One task made concrete: arguments, environment, scripts, limits. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseExperiment } from "../../../shared/spec/parse.ts";
import { renderTask, type TaskContext } from "../../../shared/spec/render.ts";

const { definition } = parseExperiment({
  object: {
    parameters: { seed: { type: "int", default: 42 } },
    scripts: { p: "#!/usr/bin/env  -S python3 -u\nprint(1)" },
    tasks: {
      dock: {
        argv: ["dock", "--x={lig-and}", "{seed}{lig-and}", "{{seed}}", ""],
        task_inputs: { "lig-and": "1..3" },
        task_outputs: { S: "s" },
      },
      each: { foreach: ["dock"], command: "wc -c {dock.S}", environment: { S: "x:{dock.S}", PATH: "/opt/bin" } },
      all: { needs: ["dock"], argv: ["cat", "--", "{dock.S}", "end"] },
      python: { script: "p" },
      shell: { command: "echo {seed} | cat" },
    },
  },
});

function context(ordinal: number, index: number, more: Partial<TaskContext> = {}): TaskContext {
  const template = definition.templates[ordinal];
  assert.ok(template);
  return {
    experiment: 17,
    template,
    index,
    attempt: 3,
    parameters: definition.parameters,
    outputDirectory: "/root/.attempts/17/x",
    scriptPath: "/root/script",
    outputPaths: (parent, output) =>
      [0, 1, 2].slice(0, ordinal === 2 ? 3 : 1).map((i) => `/p/${parent}/${i}/${output}`),
    ...more,
  };
}

const OURS = {
  AIRAVATA_ATTEMPT: "3",
  AIRAVATA_EXPERIMENT_ID: "17",
  AIRAVATA_OUTPUT_DIR: "/root/.attempts/17/x",
  AIRAVATA_PARAM_seed: "42",
};

test("argv has its references replaced as they are", () => {
  assert.deepEqual(renderTask(context(0, 1)), {
    argv: ["dock", "--x=2", "422", "{seed}", ""],
    env: { ...OURS, AIRAVATA_PARAM_lig_and: "2", AIRAVATA_TASK_ID: "17.dock.1", AIRAVATA_TASK_INDEX: "1" },
    script: null,
  });
});

test("inputs that came with the lease are taken as they are", () => {
  assert.deepEqual(renderTask(context(0, 1, { inputs: { "lig-and": "$(x)" } })).argv, [
    "dock",
    "--x=$(x)",
    "42$(x)",
    "{seed}",
    "",
  ]);
});

test("a foreach child has its parent's inputs and its output as argument and variable", () => {
  assert.deepEqual(renderTask(context(1, 2)), {
    argv: ["wc", "-c", "/p/0/0/S"],
    env: {
      ...OURS,
      S: "x:/p/0/0/S",
      PATH: "/opt/bin",
      AIRAVATA_PARAM_lig_and: "3",
      AIRAVATA_INPUT_dock_S: "/p/0/0/S",
      AIRAVATA_TASK_ID: "17.each.2",
      AIRAVATA_TASK_INDEX: "2",
    },
    script: null,
  });
});

test("many paths become an argument each, none as well as ten thousand", () => {
  assert.deepEqual(renderTask(context(2, 0)).argv, ["cat", "--", "/p/0/0/S", "/p/0/1/S", "/p/0/2/S", "end"]);
  assert.deepEqual(renderTask(context(2, 0, { outputPaths: () => [] })).argv, ["cat", "--", "end"]);
  const paths = (count: number, length: number) => Array.from({ length: count }, () => `/${"x".repeat(length - 1)}`);
  assert.equal(renderTask(context(2, 0, { outputPaths: () => paths(10_000, 150) })).argv.length, 10_003);
  assert.throws(() => renderTask(context(2, 0, { outputPaths: () => paths(10_001, 10) })), {
    code: "task_too_large",
    message: /10001 paths; the limit is 10000/,
  });
  assert.throws(() => renderTask(context(2, 0, { outputPaths: () => paths(10_000, 200) })), {
    code: "task_too_large",
    message: /17\.all\.0 cannot be started/,
  });
  assert.throws(() => renderTask(context(2, 0, { outputPaths: () => paths(1, 131_072) })), {
    code: "task_too_large",
    message: /an argument has 131072 bytes/,
  });
});

test("shell texts run under sh -e, scripts under the interpreter of their first line", () => {
  assert.deepEqual(renderTask(context(4, 0)).argv, ["/bin/sh", "-e", "-c", 'echo "${AIRAVATA_PARAM_seed}" | cat']);
  const { argv, script } = renderTask(context(3, 0));
  assert.deepEqual(argv, ["/usr/bin/env", "-S python3 -u", "/root/script"]);
  assert.equal(script, "#!/usr/bin/env  -S python3 -u\nprint(1)");
});
