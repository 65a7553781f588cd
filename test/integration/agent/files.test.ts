/** Logs and outputs through the session: ranges, following, lists, references between tasks, and links that lead outside. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { RunningAgent } from "../../../agent/agent.ts";
import { Blame, Outcome } from "../../../shared/model/attempt.ts";
import type { ExperimentId } from "../../../shared/model/ids.ts";
import type { FileRequest, FromAgent, ToAgent } from "../../../shared/protocol/messages.ts";
import { agentDirectory, removeAgentDirectory, startAgent } from "../../support/agent.ts";
import { FakeCoordinator } from "../../support/agent-coordinator.ts";
import { shell, template } from "../../support/agent-templates.ts";

type Chunk = Extract<FromAgent, { type: "chunk" }>;

const coordinator = new FakeCoordinator();
let directory: string;
let agent: RunningAgent;
let lastRequest = 0;

before(async () => {
  await coordinator.start();
  directory = await agentDirectory();
  agent = await startAgent(coordinator.url, directory);
  await coordinator.message("free");
});

after(async () => {
  await agent.stop();
  await coordinator.stop();
  await removeAgentDirectory(directory);
});

async function endOf(index: number) {
  await coordinator.until(`the end of ${index}`, () => coordinator.ends.some((end) => end.index === index));
  return coordinator.ends.find((end) => end.index === index);
}

const task = (experiment: number, index: number) => ({
  experiment: experiment as ExperimentId,
  template: 0,
  index,
  attempt: 1,
});

function chunks(request: number): Chunk[] {
  return coordinator.received.filter((message) => message.type === "chunk" && message.request === request) as Chunk[];
}

/** Asks, and waits for the whole answer. */
async function read(file: FileRequest, offset = 0, limit = 1 << 30): Promise<{ text: string; last: Chunk }> {
  const request = ++lastRequest;
  coordinator.send({ type: "read", request, file, offset, limit, follow: false });
  await coordinator.until("the end of a file", () => chunks(request).some((chunk) => chunk.end));
  const all = chunks(request);
  let at = offset;
  for (const chunk of all) {
    assert.equal(chunk.offset, at);
    at += chunk.data.length;
  }
  return { text: Buffer.concat(all.map((chunk) => chunk.data)).toString(), last: all.at(-1) as Chunk };
}

async function list(experiment: number, index: number) {
  const request = ++lastRequest;
  const group = { experiment: experiment as ExperimentId, template: 0, indexes: [index], attempts: [1] };
  coordinator.send({ type: "list", request, group } satisfies ToAgent);
  const found = (): Extract<FromAgent, { type: "listed" }>[] =>
    coordinator.received.filter((message) => message.type === "listed" && message.request === request) as never;
  await coordinator.until("a list", () => found().some((message) => message.end));
  return {
    outputs: found().flatMap((message) => message.outputs),
    problem: found().at(-1)?.problem,
  };
}

test("a log is read whole and in parts; what was never written is empty, what is not known is missing", async () => {
  coordinator.lease(1, template({ command: shell("printf 0123456789; printf err >&2") }), [0]);
  await endOf(0);
  const stdout = { ...task(1, 0), stream: "stdout" } as const;
  assert.equal((await read(stdout)).text, "0123456789");
  const part = await read(stdout, 3, 4);
  assert.deepEqual([part.text, part.last.totalBytes], ["3456", 10]);
  assert.equal((await read(stdout, 10)).text, "");
  assert.equal((await read({ ...task(1, 0), stream: "stderr" })).text, "err");
  coordinator.lease(2, template(), [1]);
  await endOf(1);
  const silent = await read({ ...task(2, 1), stream: "stdout" });
  assert.deepEqual([silent.text, silent.last.missing], ["", undefined]);
  assert.match((await read({ ...task(99, 0), stream: "stdout" })).last.missing ?? "", /not known/);
});

test("a running task's log is followed, without gap or repetition, to its end", async () => {
  const text = `i=0; while [ $i -lt 30 ]; do echo line $i; i=$((i+1)); sleep 0.02; done; while [ ! -e ${directory}/go ]; do sleep 0.02; done; echo last`;
  coordinator.lease(3, template({ command: shell(text) }), [0], { attempts: [1] });
  const file = { ...task(3, 0), stream: "stdout" } as const;
  const request = ++lastRequest;
  coordinator.send({ type: "read", request, file, offset: 0, limit: 1 << 20, follow: true });
  const sofar = (): string => Buffer.concat(chunks(request).map((chunk) => chunk.data)).toString();
  await coordinator.until("thirty lines", () => sofar().includes("line 29"));
  assert.ok(!chunks(request).some((chunk) => chunk.end));
  await writeFile(join(directory, "go"), "");
  await coordinator.until("its end", () => chunks(request).some((chunk) => chunk.end));
  assert.equal(sofar(), `${Array.from({ length: 30 }, (_, i) => `line ${i}\n`).join("")}last\n`);
});

test("a follower who leaves is not served any more", async () => {
  coordinator.lease(4, template({ command: shell("while :; do echo x; sleep 0.01; done") }), [400]);
  const request = ++lastRequest;
  await coordinator.until("a start", () =>
    coordinator.received.some(
      (message) => message.type === "started" && message.groups.some(({ indexes }) => indexes.includes(400)),
    ),
  );
  const file = { ...task(4, 400), stream: "stdout" } as const;
  coordinator.send({ type: "read", request, file, offset: 0, limit: 1 << 20, follow: true });
  await coordinator.until("something", () => chunks(request).length > 0);
  coordinator.send({ type: "read_stop", request });
  const group = { experiment: 4 as ExperimentId, template: 0, indexes: [400], attempts: [1] };
  coordinator.send({ type: "cancel", groups: [group], graceMs: 100, reason: "x" });
  await endOf(400);
  assert.ok(!chunks(request).some((chunk) => chunk.end));
});

test("a log of three megabytes comes in chunks of at most 64 KiB", async () => {
  coordinator.lease(5, template({ command: shell("head -c 3000000 /dev/zero | tr '\\0' a") }), [500]);
  await endOf(500);
  const { text } = await read({ ...task(5, 500), stream: "stdout" });
  assert.equal(text.length, 3_000_000);
  assert.ok(chunks(lastRequest).every((chunk) => chunk.data.length <= 65_536));
});

test("beyond the limit head and tail are kept with a sentence between, and the agent does not grow", async () => {
  const before = process.memoryUsage().rss;
  coordinator.lease(6, template({ command: shell("echo first; head -c 200000000 /dev/zero; echo; echo last") }), [600]);
  await endOf(600);
  const file = { ...task(6, 600), stream: "stdout" } as const;
  assert.equal((await read(file, 0, 6)).text, "first\n");
  const { last } = await read(file, 0, 1);
  assert.ok(last.totalBytes <= 16 * 1024 * 1024 + 4_096, `${last.totalBytes} bytes were kept`);
  assert.equal((await read(file, last.totalBytes - 5)).text, "last\n");
  assert.ok(process.memoryUsage().rss - before < 64 * 1024 * 1024);
});

test("named outputs are listed with their sizes and read by path", async () => {
  const outputs = [
    { name: "SCORE", glob: "score.txt" },
    { name: "MAPS", glob: "maps/**/*.map" },
  ];
  const text =
    "printf 12345 > score.txt; mkdir -p maps/a; echo a > maps/a/1.map; echo b > maps/2.map; echo no > maps/3.txt";
  coordinator.lease(7, template({ command: shell(text), outputs }), [700]);
  assert.equal((await endOf(700))?.outcome, Outcome.COMPLETED);
  assert.deepEqual(await list(7, 700), {
    outputs: [
      { index: 700, output: "SCORE", path: "score.txt", sizeBytes: 5 },
      { index: 700, output: "MAPS", path: "maps/2.map", sizeBytes: 2 },
      { index: 700, output: "MAPS", path: "maps/a/1.map", sizeBytes: 2 },
    ],
    problem: undefined,
  });
  assert.equal((await read({ ...task(7, 700), path: "maps/a/1.map" })).text, "a\n");
});

test("an output that is missing after exit 0 fails the attempt and is named", async () => {
  coordinator.lease(8, template({ outputs: [{ name: "SCORE", glob: "score.txt" }] }), [800]);
  const end = await endOf(800);
  assert.deepEqual([end?.outcome, end?.blame], [Outcome.FAILED, Blame.OUTPUT]);
  assert.match(end?.detail ?? "", /SCORE \(score\.txt\)/);
});

test("an output that is a link to a file outside is refused, at its end and when it is asked for", async () => {
  const outputs = [{ name: "SECRET", glob: "secret.txt" }];
  coordinator.lease(9, template({ command: shell("ln -s /etc/passwd secret.txt"), outputs }), [900]);
  const end = await endOf(900);
  assert.deepEqual([end?.outcome, end?.blame], [Outcome.FAILED, Blame.OUTPUT]);
  assert.match(end?.detail ?? "", /SECRET is refused: "secret\.txt" leads outside/);
  for (const path of ["secret.txt", "../../../../state/agent.key", "/etc/passwd", "a/../../x"]) {
    const { text, last } = await read({ ...task(9, 900), path });
    assert.equal(text, "");
    assert.ok(last.missing, path);
  }
});

test("a link to a file beside it, and a directory that is a link, are told apart", async () => {
  const outputs = [{ name: "ALL", glob: "**/*.txt" }];
  const text = "echo in > real.txt; ln -s real.txt alias.txt; mkdir d; ln -s ../real.txt d/up.txt; ln -s /etc e";
  coordinator.lease(10, template({ command: shell(text), outputs }), [1000]);
  assert.equal((await endOf(1000))?.outcome, Outcome.COMPLETED);
  const { outputs: found } = await list(10, 1000);
  assert.deepEqual(
    found.map(({ path }) => path),
    ["alias.txt", "d/up.txt", "real.txt"],
  );
  assert.equal((await read({ ...task(10, 1000), path: "d/up.txt" })).text, "in\n");
  assert.ok((await read({ ...task(10, 1000), path: "e/passwd" })).last.missing);
});

test("a child finds its parent's output by path, in argv and in its environment", async () => {
  coordinator.lease(
    11,
    template({
      name: "first",
      command: shell("echo from parent > score.txt"),
      outputs: [{ name: "SCORE", glob: "score.txt" }],
      leased: { templateNames: ["first", "second"] },
    }),
    [3],
  );
  await endOf(3);
  const child = template({
    ordinal: 1,
    name: "second",
    command: {
      kind: "argv",
      argv: [
        ["/bin/sh"],
        ["-c"],
        ['cat "$1" "$AIRAVATA_INPUT_first_SCORE"'],
        ["sh"],
        [{ output: "SCORE", template: 0 }],
      ],
    },
    definition: {
      foreach: [0],
      references: [{ template: 0, output: "SCORE", variable: "AIRAVATA_INPUT_first_SCORE" }],
    },
    leased: { templateNames: ["first", "second"], parentOutputs: { 0: { SCORE: "score.txt" } } },
  });
  coordinator.lease(11, child, [3], { parents: [[[1]]] });
  await coordinator.until("the child's link", () => existsSync(join(directory, "11/second/3")));
  assert.equal(await readFile(join(directory, "11/second/3/.stdout"), "utf8"), "from parent\nfrom parent\n");
});

test("a script of another interpreter runs from its file", async () => {
  const text = "#!/usr/bin/env -S sh -u\necho script $AIRAVATA_TASK_INDEX";
  coordinator.lease(
    12,
    template({ command: { kind: "script", text: text.replace("/usr/bin/env -S sh -u", "/bin/sh -u") } }),
    [1200],
  );
  assert.equal((await endOf(1200))?.outcome, Outcome.COMPLETED);
  assert.equal((await read({ ...task(12, 1200), stream: "stdout" })).text, "script 1200\n");
});
