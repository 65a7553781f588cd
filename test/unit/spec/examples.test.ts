/** The examples parse, and the sweep's tasks do what they say when their commands are run by hand. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { type ParsedExperiment, parseExperiment } from "../../../shared/spec/parse.ts";
import { renderTask } from "../../../shared/spec/render.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const parse = (file: string): ParsedExperiment =>
  parseExperiment(
    { text: readFileSync(join(root, file), "utf8"), fileName: file },
    {},
    { specDirectory: dirname(join(root, file)) },
  );

test("every example parses without a note", () => {
  const files = globSync("examples/**/*.yaml", { cwd: root });
  assert.ok(files.length >= 2);
  for (const file of files) assert.deepEqual(parse(file).notes, [], file);
});

/** Runs one task as an agent would, in a directory of its own below `work`. */
function run(
  { definition }: ParsedExperiment,
  ordinal: number,
  index: number,
  work: string,
  parents: number[],
): string {
  const directory = (template: number, task: number): string => join(work, String(template), String(task));
  const template = definition.templates[ordinal];
  assert.ok(template);
  const outputDirectory = directory(ordinal, index);
  mkdirSync(outputDirectory, { recursive: true });
  const { argv, env } = renderTask({
    experiment: 1,
    template,
    index,
    attempt: 1,
    parameters: definition.parameters,
    outputDirectory,
    scriptPath: "",
    outputPaths: (parent, output) => {
      const glob = definition.templates[parent]?.outputs.find((each) => each.name === output)?.glob;
      return parents.map((task) => join(directory(parent, task), glob ?? ""));
    },
  });
  const [program = "", ...rest] = argv;
  const done = spawnSync(program, rest, {
    cwd: outputDirectory,
    env: { PATH: "/usr/local/bin:/usr/bin:/bin", ...env },
  });
  assert.equal(done.status, 0, done.stderr.toString());
  return done.stdout.toString();
}

test("examples/sweep.yaml: estimate, error and summary", (t) => {
  const sweep = parse("examples/sweep.yaml");
  assert.deepEqual(
    sweep.definition.templates.map((template) => template.count),
    [24, 24, 1],
  );
  const work = mkdtempSync(join(tmpdir(), "spec-sweep-"));
  t.after(() => rmSync(work, { recursive: true }));
  const indexes = [0, 6, 12, 18];
  for (const index of indexes) {
    run(sweep, 0, index, work, []);
    run(sweep, 1, index, work, [index]);
  }
  const lines = run(sweep, 2, 0, work, indexes).trim().split("\n");
  assert.equal(lines.length, 5);
  for (const [power, exact] of [0.5, 1 / 3, 0.25, 0.2].entries()) {
    const [, mean] = (lines[power + 1] ?? "").trim().split(/\s+/).map(Number);
    assert.ok(Math.abs((mean ?? 0) - exact) < 0.02, lines[power + 1]);
  }
});

test("examples/files/words.yaml: a program and a file beside the spec", (t) => {
  const words = parse("examples/files/words.yaml");
  const work = mkdtempSync(join(tmpdir(), "spec-words-"));
  t.after(() => rmSync(work, { recursive: true }));
  assert.deepEqual(
    [0, 1, 2, 3].map((index) => run(words, 0, index, work, []).trim()),
    ["2", "2", "1", "0"],
  );
  assert.deepEqual(
    words.files.map((file) => file.path.slice(root.length)),
    ["examples/files/poem.txt", "examples/files/count.sh"],
  );
});
