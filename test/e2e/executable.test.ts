/** The single executable as a site has it: no Node, no sources, an empty environment. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { airavata, ROOT, RunningCli } from "../support/cli.ts";
import { testStack } from "../support/cli-stack.ts";

const stack = testStack();
/** A copy elsewhere, so that nothing beside it can be found by accident. */
const program = join(stack.directory, "airavata");
const AT = ["--data-dir", stack.dataDir];
let agent: RunningCli | undefined;

/** 109 MB of a stripped Node 24.21, half a megabyte of ours, and some room. */
const SIZE_BYTES_MAX = 115e6;

before(() => {
  const built = spawnSync(join(ROOT, "bin", "node"), [join(ROOT, "scripts", "build.ts")], { encoding: "utf8" });
  assert.equal(built.status, 0, built.stderr);
  cpSync(join(ROOT, "dist", "airavata"), program);
  chmodSync(program, 0o755);
});
after(async () => {
  await agent?.kill();
  await stack.end();
});

/** Like `env -i`: the environment is what is given and nothing else. */
function run(words: string[], env: NodeJS.ProcessEnv = {}, cwd = stack.directory) {
  const result = spawnSync(program, words, { env, cwd, encoding: "utf8" });
  assert.equal(result.signal, null);
  return result;
}

test("it is as large as Node and little more", () => {
  const { size } = statSync(program);
  assert.ok(size < SIZE_BYTES_MAX, `${size} bytes`);
});

test("version, help and a dry run need nothing", () => {
  const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  assert.match(run(["version"]).stdout, new RegExp(`^airavata ${version.replaceAll(".", "\\.")} `));
  assert.match(run(["help"]).stdout, /Usage: airavata/);
  const path = join(stack.directory, "sweep.yaml");
  writeFileSync(path, "tasks: { a: { command: 'echo {i}', task_inputs: { i: 1..3 } } }\n");
  const dry = run(["run", "sweep.yaml", "--dry-run"]);
  assert.equal(dry.status, 0, dry.stderr);
  assert.match(dry.stdout, /sweep: 3 tasks/);
  assert.match(dry.stdout, /a\/2 {2}i=3\n {4}echo 3/);
});

test("it refuses to be the coordinator, and to start one, with a sentence", () => {
  for (const word of ["up", "server", "daemon", "both"]) {
    const { status, stderr } = run([word, "--port", "0"]);
    assert.equal(status, 3);
    assert.match(stderr, /holds the client and the agent, not the coordinator/);
  }
  const { status, stderr } = run(["run", "sweep.yaml", "--data-dir", join(stack.directory, "none")]);
  assert.equal(status, 4);
  assert.match(stderr, /AIRAVATA_SERVER/);
});

test("NODE_OPTIONS opens nothing in it", () => {
  const evil = join(stack.directory, "evil.cjs");
  writeFileSync(evil, "console.log('evil')");
  const { stdout } = run(["version"], { NODE_OPTIONS: `--require ${JSON.stringify(evil)}` });
  assert.doesNotMatch(stdout, /evil/);
});

test("an agent of it enrols, runs the tasks of a real coordinator and leaves when it is drained", async () => {
  // The stack's own agent has all of the machine too; the label says which one is meant.
  const first = await airavata(["run", join(stack.directory, "sweep.yaml"), ...AT]);
  assert.equal(first.code, 0, first.stderr);
  const { stdout: token } = await airavata(["enrolment", "create", "--note", "executable", ...AT]);
  const { url } = JSON.parse(readFileSync(join(stack.dataDir, "stack.json"), "utf8"));
  const outputDir = join(stack.directory, "site");
  // No PATH at all: a task gets one of its own.
  agent = new RunningCli(["agent", "--api-url", url, "--output-dir", outputDir, "--labels", "site=single"], {
    program,
    env: { AIRAVATA_ENROLMENT_TOKEN: token.trim(), WORKER_ID: "single", PATH: "" },
  });
  await agent.said(/agent started/);
  const path = join(stack.directory, "here.yaml");
  writeFileSync(
    path,
    `tasks:
  a:
    command: |
      echo "seed {i}" | tr a-z A-Z > out.txt
    task_inputs: { i: 1..20 }
    task_outputs: { OUT: out.txt }
    requires: { cpu: 0.1, ram_gb: 0.1, time: 1m, labels: { site: single } }
`,
  );
  const results = join(stack.directory, "results");
  const env = { AIRAVATA_SERVER: url, AIRAVATA_TOKEN: readFileSync(join(stack.dataDir, "token"), "utf8").trim() };
  const ran = run(["run", path, "--output-dir", results], env);
  assert.equal(ran.status, 0, ran.stderr + ran.stdout);
  assert.match(ran.stdout, /COMPLETED, 20 tasks/);
  assert.equal(readFileSync(join(results, "a", "19", "out.txt"), "utf8"), "SEED 20\n");
  const runners = readdirSync(join(outputDir, "state")).filter((name) => name.startsWith("runner-"));
  assert.equal(runners.length, 1);
  assert.equal(statSync(join(outputDir, "state", runners[0] as string)).mode & 0o777, 0o700);
  assert.ok(existsSync(join(outputDir, ".attempts")));
  agent.child.kill("SIGTERM");
  assert.equal((await agent.end()).code, 0);
});
