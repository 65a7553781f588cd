/** Running and watching on a real stack: failures, signals, the death of the coordinator, what scripts get. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { airavata, RunningCli } from "../support/cli.ts";
import { endStack, testStack } from "../support/cli-stack.ts";

const stack = testStack();
const AT = ["--data-dir", stack.dataDir];
let running: RunningCli | undefined;

before(async () => {
  const { code, stderr } = await airavata(["run", spec("first", "tasks: { a: { command: echo } }"), ...AT]);
  assert.equal(code, 0, stderr);
});
afterEach(async () => {
  await running?.kill();
  running = undefined;
});
after(() => stack.end());

const SMALL = "requires: { cpu: 0.1, ram_gb: 0.1, time: 2m }";

function spec(name: string, text: string): string {
  const path = join(stack.directory, `${name}.yaml`);
  writeFileSync(path, text);
  return path;
}
const ask = (...words: string[]) => airavata([...words, ...AT]);
const start = (...words: string[]): RunningCli => {
  running = new RunningCli([...words, ...AT]);
  return running;
};
async function stateOf(experiment: number): Promise<string> {
  return JSON.parse((await ask("experiment", "show", String(experiment), "--json")).stdout).state;
}
function numberIn(text: string): number {
  return Number(/Experiment (\d+)/.exec(text)?.[1]);
}

test("a failing sweep is exit 1, its failures grouped by cause with what they said", async () => {
  const path = spec(
    "failing",
    `tasks:
  good: { command: "true", ${SMALL} }
  bad:
    command: |
      printf 'no ligand \\033[31m%s\\n' {i} >&2
      exit {code}
    task_inputs: { code: [3, 4], i: 1..5 }
    ${SMALL}
`,
  );
  const { code, stdout } = await ask("run", path);
  assert.equal(code, 1, stdout);
  assert.match(stdout, /failing \(experiment \d+\): FAILED, 11 tasks/);
  assert.match(
    stdout,
    /5 tasks of bad failed: exit code 3\n {2}for example \d+\/bad\/\d+, which said:\n {4}\| no ligand \d\n/,
  );
  assert.match(stdout, /5 tasks of bad failed: exit code 4\n/);
  assert.ok(!stdout.includes("\u001b"), "what tasks wrote is shown without control characters");
});

test("a broken file is exit 3 with line and column", async () => {
  const { code, stderr } = await ask("run", spec("broken", "tasks:\n  a:\n    comand: echo\n"));
  assert.equal(code, 3);
  assert.match(stderr, /broken\.yaml:3:5: .*comand/);
});

test("a stack that cannot come up is exit 4 with the last lines of its log", async () => {
  const dataDir = join(stack.directory, "spoiled");
  mkdirSync(dataDir);
  // Too short to be a token: the coordinator refuses to start with it.
  writeFileSync(join(dataDir, "token"), "short\n", { mode: 0o600 });
  const { code, stderr } = await airavata([
    "run",
    spec("none", "tasks: { a: { command: echo } }"),
    "--data-dir",
    dataDir,
  ]);
  assert.equal(code, 4);
  assert.match(stderr, /did not come up \(exit code \d\); its log is .*up\.log\. It said:\n {4}.*token/);
  assert.doesNotMatch(stderr, /\n\s+at /);
});

test("two runs at once on a machine with no stack share the one that comes up", async () => {
  const dataDir = join(stack.directory, "shared");
  const path = spec("both", `tasks: { a: { command: echo, ${SMALL} } }`);
  const both = await Promise.all([1, 2].map(() => airavata(["run", path, "--data-dir", dataDir])));
  try {
    for (const { code, stderr } of both) assert.equal(code, 0, stderr);
    const { stdout } = await airavata(["experiment", "list", "--json", "--data-dir", dataDir]);
    assert.equal(JSON.parse(stdout).items.length, 2);
  } finally {
    await endStack(dataDir);
  }
});

test("detached, then watched to its end", async () => {
  const detached = await ask("run", spec("later", `tasks: { a: { command: sleep 1, ${SMALL} } }`), "--detach");
  assert.equal(detached.code, 0);
  const id = numberIn(detached.stdout);
  assert.match(detached.stdout, new RegExp(`airavata experiment watch ${id}`));
  const watched = await ask("experiment", "watch", String(id));
  assert.equal(watched.code, 0);
  assert.match(watched.stdout, /COMPLETED, 1 task/);
});

test("Ctrl-C leaves the experiment running", async () => {
  const cli = start("run", spec("kept", `tasks: { a: { command: sleep 3, ${SMALL} } }`));
  await cli.said(/Experiment \d+/);
  cli.child.kill("SIGINT");
  const { code, stderr } = await cli.end();
  assert.equal(code, 0);
  const id = numberIn(stderr);
  assert.match(stderr, new RegExp(`Detached\\. Watch it again with "airavata experiment watch ${id}"`));
  assert.equal((await ask("experiment", "watch", String(id))).code, 0);
});

test("Ctrl-C twice cancels it, also what runs", async () => {
  const cli = start(
    "run",
    spec("dropped", `tasks: { a: { command: "sleep 100", task_inputs: { i: 1..50 }, ${SMALL} } }`),
  );
  await cli.said(/Experiment \d+/);
  cli.child.kill("SIGINT");
  await cli.said(/Detached/);
  cli.child.kill("SIGINT");
  const { code, stdout, stderr } = await cli.end();
  assert.equal(code, 1, stderr);
  assert.match(stdout, /CANCELED, 50 tasks/);
  assert.equal(await stateOf(numberIn(stderr)), "CANCELED");
});

test("the coordinator is killed in the middle: the run goes on by itself and every task counts once", async () => {
  const marks = join(stack.directory, "marks");
  const path = spec(
    "killed",
    `tasks:
  a:
    command: |
      sleep 0.05
      echo {i} >> "${marks}"
    task_inputs: { i: 1..200 }
    ${SMALL}
`,
  );
  const cli = start("run", path);
  await cli.said(/Experiment \d+/);
  while (!existsSync(marks)) await new Promise((resolve) => setTimeout(resolve, 20));
  const killed = stack.pid() as number;
  process.kill(killed, "SIGKILL");
  const { code, stdout, stderr } = await cli.end();
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /COMPLETED, 200 tasks/);
  assert.match(stdout, /\na +200 +200 +0/);
  assert.notEqual(stack.pid(), killed, "another stack was started in its place");
  const lines = readFileSync(marks, "utf8").trim().split("\n");
  assert.equal(new Set(lines).size, 200);
});

test("--json streams one document per line, in order, to its end", async () => {
  const path = spec("streamed", `tasks: { a: { command: "echo {i}", task_inputs: { i: 1..20 }, ${SMALL} } }`);
  const { code, stdout } = await ask("run", path, "--json");
  assert.equal(code, 0);
  const lines = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.equal(lines[0].event, "submitted");
  assert.equal(lines.at(-1).event, "ended");
  assert.equal(lines.at(-1).experiment.tasks.completed, 20);
  const ended = lines.filter(({ event }) => event === "tasks.ended").flatMap(({ indexes }) => indexes);
  // What ended before the socket was there is in the snapshot.
  assert.equal(new Set(ended).size, ended.length, "no end is told twice");
});

test("a log is followed while it is written, and read exactly", async () => {
  const path = spec(
    "slow",
    `tasks: { a: { command: 'for i in 1 2 3; do echo "line $i"; sleep 0.3; done', ${SMALL} } }`,
  );
  const { stdout } = await ask("run", path, "--detach");
  const id = numberIn(stdout);
  const followed = await ask("task", "logs", `${id}/a/0`, "--follow");
  assert.equal(followed.code, 0, followed.stderr);
  assert.equal(followed.stdout, "line 1\nline 2\nline 3\n");
  assert.equal((await ask("task", "logs", `${id}.a.0`)).stdout, "line 1\nline 2\nline 3\n");
  assert.equal((await ask("task", "logs", `${id}/a/0`, "--stderr")).stdout, "");
});

test("pause, resume, retry and cancel of one task", async () => {
  const path = spec("steered", `tasks: { a: { command: "test {i} != 2", task_inputs: { i: 1..3 }, ${SMALL} } }`);
  const { stdout } = await ask("run", path);
  assert.match(stdout, /1 task of a failed: exit code 1/);
  const id = Number(/experiment (\d+)/.exec(stdout)?.[1]);
  assert.match((await ask("experiment", "retry", String(id))).stdout, /1 task to run again, now EXECUTING/);
  assert.equal((await ask("experiment", "watch", String(id))).code, 1);
  assert.match((await ask("task", "show", `${id}/a/1`)).stdout, /2 +FAILED: exit code 1/);
  assert.match((await ask("experiment", "explain", String(id))).stdout, /1 task of a failed: exit code 1/);
  const refused = await ask("experiment", "pause", String(id));
  assert.equal(refused.code, 3);
  assert.match(refused.stderr, /FAILED/);
});
