import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { dryRun, renderDryRun } from "../../../agent/cli/dryrun.ts";
import { checkSpecFile, parameterOverrides, readSpecFile, renderSpecProblems } from "../../../agent/cli/specfile.ts";
import { plain } from "../../../agent/cli/terminal.ts";
import { SpecError } from "../../../shared/spec/problem.ts";

const directory = mkdtempSync(join(tmpdir(), "airavata-spec-"));
after(() => rmSync(directory, { recursive: true, force: true }));

async function check(text: string, parameters: Record<string, string> = {}) {
  const path = join(directory, "sweep.yaml");
  writeFileSync(path, text);
  const file = await readSpecFile(path);
  return { file, checked: await checkSpecFile(file, parameters, {}).catch((error: Error) => error) };
}

test("all problems are told with line, column, the line itself and a caret below the place", async () => {
  const { file, checked } = await check("tasks:\n  dock:\n    comand: echo\n    retries: { maxx: 1 }\n");
  assert.ok(checked instanceof SpecError);
  const text = renderSpecProblems(checked, { ...file, path: "sweep.yaml" }, { columns: 80, paint: plain });
  const lines = text.split("\n");
  const at = lines.findIndex((line) => /^sweep\.yaml:3:5: .*comand/.test(line));
  assert.ok(at >= 0, text);
  assert.equal(lines[at + 1], "  3 |     comand: echo");
  assert.equal(lines[at + 2], "          ^");
  assert.match(text, /sweep\.yaml:4:\d+: .*maxx/);
  assert.match(text, /error: \d problems in sweep\.yaml; nothing was submitted\.\n$/);
});

test("a long line is shown around its place", async () => {
  const { file, checked } = await check(`tasks: { dock: { command: "${"x".repeat(300)} {nowhere}" } }\n`);
  assert.ok(checked instanceof SpecError);
  const text = renderSpecProblems(checked, file, { columns: 80, paint: plain });
  const source = text.split("\n").find((line) => line.includes("{nowhere}") && line.startsWith("  1 | "));
  assert.ok(source !== undefined && source.length <= 80, text);
  const caret = text.split("\n").find((line) => /^ +\^$/.test(line));
  assert.equal(caret?.indexOf("^"), source?.indexOf("{nowhere}"));
});

test("a file beside the spec that is not there is a problem", async () => {
  const { checked } = await check("tasks: { dock: { command: ./missing.sh } }\n");
  assert.ok(checked instanceof SpecError);
  assert.match(checked.message, /missing\.sh.*no such file/);
});

test("what cannot be read is one sentence", async () => {
  await assert.rejects(readSpecFile(join(directory, "none.yaml")), {
    code: "file_unreadable",
    message: /There is no file/,
  });
  await assert.rejects(readSpecFile(directory), { code: "file_unreadable" });
  const big = join(directory, "big.yaml");
  writeFileSync(big, "#".repeat(1024 * 1024 + 1));
  await assert.rejects(readSpecFile(big), { code: "file_unreadable", message: /at most 1048576/ });
});

test("-p takes everything after the first =", () => {
  assert.deepEqual({ ...parameterOverrides(["a=1", "b=x=y", "c="]) }, { a: "1", b: "x=y", c: "" });
  assert.throws(() => parameterOverrides(["a"]), { code: "usage_invalid" });
  assert.equal(Object.getPrototypeOf(parameterOverrides(["__proto__=1"])), null);
});

const SWEEP = `name: docking
parameters:
  seed: { type: int, default: 42 }
tasks:
  dock:
    command: echo {ligand} "{seed}" '{word}' > score.txt
    task_inputs: { ligand: 1..100, word: [a, "it's"] }
    task_outputs: { SCORE: score.txt }
  report:
    foreach: [dock]
    command: wc -c {dock.SCORE}
  summary:
    needs: [report]
    command: echo done
`;

test("a dry run counts the tasks and renders the first and the last one", async () => {
  const { checked } = await check(SWEEP, { seed: "7" });
  if (checked instanceof Error) throw checked;
  const run = dryRun(checked.definition);
  assert.equal(run.tasks, 401);
  assert.deepEqual(
    run.templates.map(({ name, tasks }) => [name, tasks]),
    [
      ["dock", 200],
      ["report", 200],
      ["summary", 1],
    ],
  );
  const [dock, report, summary] = run.templates;
  assert.equal(dock?.examples[0]?.command.trim(), "echo 1 7 a > score.txt");
  assert.equal(dock?.examples[1]?.command.trim(), "echo 100 7 'it'\\''s' > score.txt");
  assert.equal(report?.examples[1]?.command, "wc -c {dock.SCORE}");
  assert.equal(summary?.examples.length, 1);
  const text = renderDryRun(run, { columns: 80, paint: plain });
  assert.match(text, /^docking: 401 tasks in project default; nothing is submitted\.\n/);
  for (const line of text.split("\n")) assert.ok(line.length <= 80, line);
});
