/** Logs and outputs through the session of an agent that a test plays: ranges, follow, offline, lies. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { FILE_WINDOW_BYTES } from "../../../shared/model/constants.ts";
import type { ToAgent } from "../../../shared/protocol/messages.ts";
import { type AgentPeer, connectAgent, endGroup, enrolTestAgent, until } from "../../support/agent-peer.ts";
import { startTestCoordinator, type TestCoordinator } from "../../support/coordinator.ts";

const SPEC = `
tasks:
  a: { command: "echo {n} > out/x.txt", task_inputs: { n: [1, 2, 3] }, task_outputs: { OUT: "out/*.txt" } }
`;

type Read = Extract<ToAgent, { type: "read" }>;

/** Answers reads of a file that may grow; `follow` waits until `isOver`. */
function serveFile(peer: AgentPeer, content: () => Buffer, isOver: () => boolean = () => true): Read[] {
  const reads: Read[] = [];
  const stopped = new Set<number>();
  peer.on((message) => {
    if (message.type === "read_stop") stopped.add(message.request);
    if (message.type !== "read") return;
    reads.push(message);
    let at = message.offset;
    const until = message.offset + message.limit;
    const go = (): void => {
      if (stopped.has(message.request) || peer.closed) return;
      const whole = content();
      const data = whole.subarray(at, Math.min(until, at + 60_000));
      at += data.length;
      const end = at >= until || (at >= whole.length && (!message.follow || isOver()));
      if (data.length > 0 || end) {
        const offset = at - data.length;
        peer.send({ type: "chunk", request: message.request, offset, data, totalBytes: whole.length, end });
      }
      if (!end) setTimeout(go, 5);
    };
    go();
  });
  return reads;
}

async function completed(at: TestCoordinator, peer: AgentPeer): Promise<number> {
  const { id } = await at.client.call("submitExperiment", { body: { spec: SPEC } });
  peer.send({ type: "free", ahead: 0, lastsMs: null, draining: false });
  for (const group of (await peer.next("leases")).groups) endGroup(peer, group);
  await until(async () => {
    const experiment = await at.client.call("getExperiment", { params: { experiment: id } });
    return experiment.state === "COMPLETED";
  }, "the experiment to complete");
  return id;
}

test("an output is listed, and read whole, in parts, and not at all", async (t) => {
  const at = await startTestCoordinator(t);
  const peer = await connectAgent(at, await enrolTestAgent(at));
  const content = Buffer.alloc(FILE_WINDOW_BYTES * 2 + 1_000);
  for (let i = 0; i < content.length; i++) content[i] = i % 251;
  const reads = serveFile(peer, () => content);
  peer.on((message) => {
    if (message.type !== "list") return;
    const { indexes } = message.group;
    const outputs = indexes.map((index) => ({
      index,
      output: "OUT",
      path: `out/${index}.txt`,
      sizeBytes: content.length,
    }));
    outputs.push({ index: indexes[0]!, output: "OUT", path: "../../etc/passwd", sizeBytes: 1 });
    peer.send({ type: "listed", request: message.request, outputs: outputs.slice(0, 1), end: false });
    peer.send({ type: "listed", request: message.request, outputs: outputs.slice(1), end: true });
  });
  const experiment = await completed(at, peer);
  const listed = await at.client.call("listOutputs", { params: { experiment } });
  assert.deepEqual(
    listed.items.map(({ path, task }) => [path, task]),
    [0, 1, 2].map((index) => [`a/${index}/out/${index}.txt`, `${experiment}.a.${index}`]),
  );
  const page = await at.client.call("listOutputs", { params: { experiment }, query: { limit: 2 } });
  assert.equal(page.next_cursor, "0.2.0");
  const rest = await at.client.call("listOutputs", { params: { experiment }, query: { cursor: "0.2.0" } });
  assert.deepEqual([...page.items, ...rest.items], listed.items);

  const url = `${at.url}/api/v1/experiments/${experiment}/outputs/a/1/out/1.txt`;
  const get = (headers: Record<string, string> = {}, method = "GET"): Promise<Response> =>
    fetch(url, { method, headers: { authorization: `Bearer ${at.token}`, ...headers } });
  const whole = await get();
  assert.equal(whole.status, 200);
  assert.equal(whole.headers.get("content-length"), String(content.length));
  assert.equal(whole.headers.get("accept-ranges"), "bytes");
  assert.equal(whole.headers.get("content-type"), "application/octet-stream");
  assert.equal(whole.headers.get("x-content-type-options"), "nosniff");
  assert.match(whole.headers.get("content-disposition") ?? "", /^attachment; filename="1.txt"/);
  assert.ok(content.equals(Buffer.from(await whole.arrayBuffer())));
  assert.ok(reads.every(({ limit }) => limit <= FILE_WINDOW_BYTES));
  const from = FILE_WINDOW_BYTES - 10;
  for (const [range, expected] of [
    ["bytes=0-0", content.subarray(0, 1)],
    [`bytes=${from}-${from + 99}`, content.subarray(from, from + 100)],
    [`bytes=${from}-`, content.subarray(from)],
    ["bytes=-5", content.subarray(-5)],
    [`bytes=1-${content.length * 2}`, content.subarray(1)],
  ] as const) {
    const part = await get({ range });
    assert.equal(part.status, 206, range);
    assert.match(part.headers.get("content-range") ?? "", new RegExp(`^bytes \\d+-\\d+/${content.length}$`));
    assert.ok(expected.equals(Buffer.from(await part.arrayBuffer())), range);
  }
  const beyond = await get({ range: `bytes=${content.length}-` });
  assert.equal(beyond.status, 416, await beyond.text());
  assert.equal(beyond.headers.get("content-range"), `bytes */${content.length}`);
  assert.equal((await get({ range: "lines=1-2" })).status, 200);
  assert.equal((await get({ range: "bytes=0-1,5-6" })).status, 200);
  const head = await get({}, "HEAD");
  assert.equal(head.headers.get("content-length"), String(content.length));
  assert.equal((await head.arrayBuffer()).byteLength, 0);
});

test("a file that is gone, a lying agent and one that leaves: sentences or a broken body, never a wrong one", async (t) => {
  const at = await startTestCoordinator(t);
  const identity = await enrolTestAgent(at);
  const peer = await connectAgent(at, identity);
  const experiment = await completed(at, peer);
  let answer = (_read: Read): void => {};
  peer.on((message) => {
    if (message.type === "read") answer(message);
  });
  const read = () => at.client.open("readOutput", { params: { experiment, path: "a/0/out/x.txt" } });
  answer = ({ request, offset }) => {
    const missing = "out/x.txt is a link, and links are not followed";
    peer.send({ type: "chunk", request, offset, data: Buffer.alloc(0), totalBytes: 0, end: true, missing });
  };
  await assert.rejects(read(), { code: "output_not_found", message: /is a link/ });
  answer = ({ request, offset }) => {
    peer.send({ type: "chunk", request, offset, data: Buffer.from("too much"), totalBytes: 8, end: true });
  };
  await assert.rejects(read(), { code: "file_changed" });
  answer = ({ request, offset, limit }) => {
    const data = Buffer.from("abc").subarray(0, limit);
    peer.send({ type: "chunk", request, offset, data, totalBytes: 10, end: true });
  };
  await assert.rejects((await read()).arrayBuffer());
  answer = ({ limit, request, offset }) => {
    if (limit > 0) return peer.close();
    peer.send({ type: "chunk", request, offset, data: Buffer.alloc(0), totalBytes: 10, end: true });
  };
  await assert.rejects((await read()).arrayBuffer());
  await peer.waitClosed();
  await until(
    () =>
      read().then(
        () => false,
        (error) => error.code === "agent_offline",
      ),
    "the agent to be offline",
  );
  const listed = await at.client.call("listOutputs", { params: { experiment } });
  assert.deepEqual(listed.items, []);
  assert.match(listed.problems[0] ?? "", /agent 1 has no session now/);
  await assert.rejects(at.client.open("readLog", { params: { task: `${experiment}.a.0` } }), { code: "agent_offline" });
});

test("a log is read in parts, and followed from before it begins until the attempt is over", async (t) => {
  const at = await startTestCoordinator(t);
  const peer = await connectAgent(at, await enrolTestAgent(at));
  let content = Buffer.from("first line\n");
  let over = false;
  const reads = serveFile(
    peer,
    () => content,
    () => over,
  );
  const { id } = await at.client.call("submitExperiment", { body: { spec: SPEC } });
  peer.send({ type: "free", ahead: 0, lastsMs: null, draining: false });
  const { groups } = await peer.next("leases");
  const task = `${id}.a.0`;
  const part = await at.client.open("readLog", { params: { task }, query: { offset: 6, limit: 4, stream: "stderr" } });
  assert.equal(await part.text(), "line");
  assert.equal(part.headers.get("airavata-attempt"), "1");
  assert.equal(part.headers.get("airavata-total-bytes"), "11");
  assert.match(part.headers.get("content-disposition") ?? "", /attachment; filename="\d+\.a\.0\.1\.stderr"/);
  assert.deepEqual(reads[0]?.file, { experiment: id, template: 0, index: 0, attempt: 1, stream: "stderr" });

  const followed = await at.client.open("readLog", { params: { task }, query: { follow: "true" } });
  let seen = "";
  const reading = (async () => {
    for await (const chunk of followed.body!) seen += Buffer.from(chunk).toString();
  })();
  await until(() => seen === "first line\n", "the first line");
  content = Buffer.concat([content, Buffer.from("second line\n")]);
  await until(() => seen.endsWith("second line\n"), "the second line");
  content = Buffer.concat([content, Buffer.from("last words\n")]);
  over = true;
  for (const group of groups) endGroup(peer, group);
  await reading;
  assert.equal(seen, "first line\nsecond line\nlast words\n");
});

test("a followed log that nobody reads any more is stopped at the agent", async (t) => {
  const at = await startTestCoordinator(t);
  const peer = await connectAgent(at, await enrolTestAgent(at));
  serveFile(
    peer,
    () => Buffer.alloc(0),
    () => false,
  );
  const { id } = await at.client.call("submitExperiment", { body: { spec: SPEC } });
  peer.send({ type: "free", ahead: 0, lastsMs: null, draining: false });
  await peer.next("leases");
  const gone = new AbortController();
  const answer = await at.client.open("readLog", {
    params: { task: `${id}.a.0` },
    query: { follow: "true" },
    signal: gone.signal,
  });
  const reading = answer.text().catch(() => "aborted");
  gone.abort();
  assert.equal(await reading, "aborted");
  await peer.next("read_stop");
});

test("a reader that does not read holds no more than a window at the coordinator", async (t) => {
  const at = await startTestCoordinator(t);
  const peer = await connectAgent(at, await enrolTestAgent(at));
  const content = Buffer.alloc(64 << 20);
  const reads = serveFile(peer, () => content);
  const experiment = await completed(at, peer);
  const answer = await at.client.open("readOutput", { params: { experiment, path: "a/0/out/x.txt" } });
  await until(() => reads.length > 2, "some windows");
  // The sockets in between hold some megabytes; then it must stand still.
  for (let before = 0; before < reads.length; await delay(300)) before = reads.length;
  assert.ok(reads.length * FILE_WINDOW_BYTES < 32 << 20, `${reads.length} windows were read`);
  let bytes = 0;
  for await (const chunk of answer.body!) bytes += chunk.length;
  assert.equal(bytes, content.length);
});
