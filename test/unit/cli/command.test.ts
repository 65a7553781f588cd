import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { airavata, RunningCli } from "../../support/cli.ts";
import { CliServer, experimentDetail, sendProblem } from "../../support/cli-server.ts";

const server = new CliServer();
const directory = mkdtempSync(join(tmpdir(), "airavata-command-"));
const spec = join(directory, "sweep.yaml");
writeFileSync(spec, "tasks: { dock: { command: echo } }\n");
let running: RunningCli | undefined;

before(() => server.start());
beforeEach(() => {
  server.experiment = experimentDetail();
  server.seen.length = 0;
  server.failures = [];
  server.intercept = undefined;
});
afterEach(async () => {
  await running?.kill();
  running = undefined;
});
after(async () => {
  await server.stop();
  rmSync(directory, { recursive: true, force: true });
});

const env = () => ({ AIRAVATA_SERVER: server.url, AIRAVATA_TOKEN: "right" });
const start = (...words: string[]): RunningCli => {
  running = new RunningCli(words, { env: env() });
  return running;
};
const requests = () => server.seen.map(({ method, path }) => `${method} ${path}`);

test("run: submits, watches, summarizes; exit 0", async () => {
  const cli = start("run", spec, "--name", "mine");
  await cli.said(/Experiment 17 \(sweep\), 100 tasks\./);
  server.set({ completed: 100 }, "COMPLETED");
  const { code, stdout } = await cli.end();
  assert.equal(code, 0);
  assert.match(stdout, /^sweep \(experiment 17\): COMPLETED, 100 tasks in 10 s\n\nTEMPLATE +TASKS +COMPLETED/);
  const body = server.seen.find(({ method }) => method === "POST")?.body as Record<string, unknown>;
  assert.equal(body.name, "mine");
  assert.equal(body.spec_directory, directory);
});

test("run: failures are grouped, exit 1", async () => {
  server.failures = [
    {
      template: "dock",
      blame: "exit",
      exit_code: 3,
      signal: null,
      tasks: 2,
      example: "17.dock.4",
      stderr_tail: "no ligand\n",
      detail: null,
    },
  ];
  const cli = start("run", spec);
  await cli.said(/Experiment 17/);
  server.set({ completed: 98, failed: 2 }, "FAILED");
  const { code, stdout } = await cli.end();
  assert.equal(code, 1);
  assert.match(stdout, /FAILED, 100 tasks/);
  assert.match(
    stdout,
    /2 tasks of dock failed: exit code 3\n {2}for example 17\/dock\/4, which said:\n {4}\| no ligand\n/,
  );
});

test("run: Ctrl-C detaches with the command that watches again; exit 0", async () => {
  const cli = start("run", spec);
  await cli.said(/Experiment 17/);
  cli.child.kill("SIGINT");
  const { code, stderr } = await cli.end();
  assert.equal(code, 0);
  assert.match(stderr, /Detached\. Watch it again with "airavata experiment watch 17"/);
  assert.ok(!requests().includes("POST /experiments/17/cancel"));
});

test("run: a second Ctrl-C cancels; exit 1", async () => {
  const cli = start("run", spec);
  await cli.said(/Experiment 17/);
  cli.child.kill("SIGINT");
  await cli.said(/Detached/);
  cli.child.kill("SIGINT");
  const { code, stdout } = await cli.end();
  assert.equal(code, 1);
  assert.match(stdout, /CANCELED/);
  assert.ok(requests().includes("POST /experiments/17/cancel"));
});

test("run --json: one JSON document per line, nothing else", async () => {
  const cli = start("run", spec, "--json");
  await cli.said(/"event":"submitted"/);
  await cli.said(/"event":"snapshot"/);
  server.set({ completed: 50 });
  await cli.said(/"event":"progress"/);
  server.set({ completed: 100 }, "COMPLETED");
  const { code, stdout, stderr } = await cli.end();
  assert.equal(code, 0);
  const events = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line).event);
  assert.equal(events[0], "submitted");
  assert.equal(events.at(-1), "ended");
  assert.equal(stderr, "");
});

test("run --detach returns at once and says how to watch", async () => {
  const { code, stdout } = await airavata(["run", spec, "--detach"], { env: env() });
  assert.equal(code, 0);
  assert.match(stdout, /airavata experiment watch 17/);
});

test("run: a server that goes away and comes back does not end it", async () => {
  const cli = start("run", spec);
  await cli.said(/Experiment 17/);
  await server.stop();
  await server.start();
  server.set({ completed: 100 }, "COMPLETED");
  assert.equal((await cli.end()).code, 0);
});

test("run: a broken file is exit 3 with line and column, and no server is asked", async () => {
  const path = join(directory, "broken.yaml");
  writeFileSync(path, "tasks:\n  dock:\n    comand: echo\n");
  const { code, stderr, stdout } = await airavata(["run", path], { env: env() });
  assert.equal(code, 3);
  assert.equal(stdout, "");
  assert.match(stderr, /broken\.yaml:3:5: .*comand/);
  assert.equal(server.seen.length, 0);
  const json = await airavata(["run", path, "--json"], { env: env() });
  assert.equal(json.code, 3);
  const { error } = JSON.parse(json.stderr);
  assert.equal(error.exit, 3);
  assert.equal(error.data.problems[0].line, 3);
});

test("run --output-dir fetches the outputs at the end", async () => {
  const content = Buffer.from("42\n");
  server.outputs = [
    {
      task: "17.dock.0",
      template: "dock",
      index: 0,
      attempt: 1,
      output: "SCORE",
      path: "dock/0/score.txt",
      size_bytes: 3,
      content,
    },
  ];
  const into = join(directory, "results");
  const cli = start("run", spec, "--output-dir", into);
  await cli.said(/Experiment 17/);
  server.set({ completed: 100 }, "COMPLETED");
  const { code, stdout } = await cli.end();
  assert.equal(code, 0);
  assert.match(stdout, /1 output file \(3 B\) in /);
  assert.equal(readFileSync(join(into, "dock/0/score.txt"), "utf8"), "42\n");
});

const EXITS: [what: string, words: string[], status: number, code: string, exit: number][] = [
  ["not logged in", ["experiment", "list"], 401, "unauthorized", 2],
  ["refused", ["experiment", "cancel", "17"], 403, "origin_refused", 2],
  ["not found", ["experiment", "show", "17"], 404, "experiment_not_found", 5],
  ["conflict", ["experiment", "pause", "17"], 409, "experiment_state_conflict", 3],
  ["not acceptable", ["experiment", "retry", "17"], 422, "request_invalid", 3],
  ["cannot for now", ["experiment", "show", "17"], 503, "not_leading", 4],
];
for (const [what, words, status, code, exit] of EXITS) {
  test(`a server's ${status} (${what}) is exit ${exit} with its sentence and the place in the docs`, async () => {
    server.intercept = (_, response) => {
      sendProblem(response, status, code, "Both sides of it.");
      return true;
    };
    const finished = await airavata(words, { env: env() });
    assert.equal(finished.code, exit);
    assert.equal(finished.stderr, `error: Both sides of it.\n       docs/errors.md#${code}\n`);
    assert.equal(finished.stdout, "");
  });
}

test("nobody listening is exit 4 with a sentence", async () => {
  const { code, stderr } = await airavata(["experiment", "list", "--server", "http://127.0.0.1:9"], { env: env() });
  assert.equal(code, 4);
  assert.match(stderr, /^error: .*http:\/\/127\.0\.0\.1:9 does not answer/);
  assert.doesNotMatch(stderr, /\n\s+at /);
});

test("run: an address where nobody listens is exit 4 in a moment", async () => {
  const begun = performance.now();
  const { code, stderr } = await airavata(["run", spec, "--server", "http://127.0.0.1:9"], { env: env() });
  assert.equal(code, 4);
  assert.match(stderr, /does not answer/);
  // Half a minute is what a submit waits for a server that has answered before.
  assert.ok(performance.now() - begun < 20_000);
});

test("no server configured and no stack is exit 4 with both ways out", async () => {
  const { code, stderr } = await airavata(["experiment", "list", "--data-dir", join(directory, "none")]);
  assert.equal(code, 4);
  assert.match(stderr, /AIRAVATA_SERVER.*airavata up/);
});

test("auth status: who one is, or exit 2", async () => {
  const known = await airavata(["auth", "status"], { env: env() });
  assert.equal(known.code, 0);
  assert.match(known.stdout, /logged in as +operator/);
  assert.equal((await airavata(["auth", "status"], { env: { ...env(), AIRAVATA_TOKEN: "wrong" } })).code, 2);
});

test("a token is never an argument", async () => {
  const { code, stderr } = await airavata(["auth", "status", "--token", "x"], { env: env() });
  assert.equal(code, 3);
  assert.match(stderr, /AIRAVATA_TOKEN.*--token-file/);
});

const answer = (response: ServerResponse, body: unknown): true => {
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
  return true;
};

test("an agent is named by its number or by its name", async () => {
  const untouched = { update: null, pinned_version: null, updates_refused: false };
  const agent = {
    ...untouched,
    id: 3,
    name: "node-7",
    enrolled_at: "2026-01-01T00:00:00Z",
    state: "GONE",
    session: null,
  };
  server.intercept = ({ path }, response) => {
    if (path === "/agents/3") return answer(response, agent);
    return path === "/agents" && answer(response, { items: [agent], next_cursor: null });
  };
  for (const name of ["3", "node-7"]) {
    const { code, stdout } = await airavata(["agent", "show", name], { env: env() });
    assert.equal(code, 0);
    assert.match(stdout, /^agent +3\nname +node-7\n/);
  }
  const { code, stderr } = await airavata(["agent", "drain", "node-8"], { env: env() });
  assert.equal(code, 5);
  assert.match(stderr, /^error: There is no agent "node-8"/);
});
