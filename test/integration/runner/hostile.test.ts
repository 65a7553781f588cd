/** Whatever is sent to their sockets, runner and supervisor live, and the task that runs is not touched. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { Frame, frame, helloFrame, LANES_MAX } from "../../../agent/run/supervisor/frames.ts";
import { connectIn } from "../../../agent/run/supervisor/launch.ts";
import { encodeRun } from "../../../agent/run/supervisor/request.ts";
import { alive, type Bench, bench } from "./harness.ts";

/** A seeded generator (mulberry32): a failure is repeated by its seed. */
function generator(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let x = Math.imul(a ^ (a >>> 15), 1 | a);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Sends bytes on a fresh connection and waits until the other side has closed it or answers nothing for a while. */
async function throwAt(b: Bench, socket: string, bytes: Buffer): Promise<string> {
  const connection: Socket = await connectIn(b.stateDir, socket);
  return await new Promise((resolve) => {
    let said = "";
    connection.on("data", (chunk) => {
      said += chunk.toString("latin1");
    });
    connection.on("error", () => {});
    connection.on("close", () => resolve(said));
    connection.end(bytes);
  });
}

function head(size: number, type: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(size, 0);
  bytes.writeUInt32LE(type, 4);
  return bytes;
}

/** A running task in lane 0 whose agent has let go, so that connections of the test are the lane's agent. */
async function held(t: TestContext): Promise<{ b: Bench; pids: number[]; survives(): Promise<void> }> {
  const b = bench(t);
  await b.open();
  const key = b.start("echo $$ > pid1; while [ ! -e go ]; do sleep 0.01; done; exit 3");
  const pids = [await b.number("pid1"), b.runnerPid(), b.supervisorPid()];
  await b.client.close();
  const survives = async () => {
    for (const pid of pids) assert.ok(alive(pid), `${pid} died`);
    const client = await b.open();
    assert.ok(client.adopted.running.some((run) => run.key === key));
    writeFileSync(b.file("go"), "");
    assert.equal((await b.end(key)).exitCode, 3);
  };
  return { b, pids, survives };
}

const SOCKETS = ["lane-0.sock", "supervisor.sock"];

test("lengths that lie, frames out of turn and unknown types are refused with a sentence", async (t) => {
  const { b, survives } = await held(t);
  const hello = helloFrame(2);
  const wrongVersion = Buffer.from(hello);
  wrongVersion.writeUInt32LE(99, 8);
  for (const socket of SOCKETS) {
    for (const bytes of [
      head(0, 1),
      head(7, 1),
      head(0xffffffff, 1),
      head(65, 1),
      head(8, 77),
      Buffer.concat([head(20, 1), Buffer.alloc(12, 9)]),
    ])
      assert.match(await throwAt(b, socket, bytes), /hello|version/);
    assert.match(await throwAt(b, socket, wrongVersion), /version 1 .* version 99/);
    for (const bytes of [
      head(0, 32),
      head(0x7fffffff, 32),
      head(4 * 1024 * 1024 + 1, 32),
      frame(200, 0),
      frame(Frame.RECORD, 0),
      head(8, 32),
    ])
      assert.match(await throwAt(b, socket, Buffer.concat([hello, bytes])), /frame|agent may send/i);
    /* A frame that never ends, and nothing at all. */
    await throwAt(b, socket, Buffer.concat([hello, head(4 * 1024 * 1024, 32), Buffer.alloc(1000)]));
    await throwAt(b, socket, Buffer.alloc(0));
  }
  /* A run whose counts promise more or fewer strings, or more limits or key bytes, than there are or may be. */
  const run = encodeRun(b.request(["/nowhere/true", "a"], { env: ["A=1"] }));
  for (const [at, change] of [
    [32, 1],
    [32, -1],
    [36, 1],
    [36, -1],
    [36, 262_144],
    [42, 33],
    [40, 200],
    [44, 2],
  ] as const) {
    const bytes = Buffer.from(run);
    if (at === 32 || at === 36 || at === 44) bytes.writeUInt32LE(bytes.readUInt32LE(at) + change, at);
    else bytes.writeUInt16LE(bytes.readUInt16LE(at) + change, at);
    assert.match(await throwAt(b, "lane-0.sock", Buffer.concat([hello, bytes])), /malformed/, `${at} ${change}`);
  }
  const lane = frame(Frame.OPEN_LANE, 4);
  lane.writeUInt32LE(LANES_MAX, 8);
  assert.match(await throwAt(b, "supervisor.sock", Buffer.concat([hello, lane])), /may send/);
  await survives();
});

test("random bytes and mutated frames: 3,000 connections", async (t) => {
  const { b, pids, survives } = await held(t);
  const seed = Number(process.env.SEED ?? 17);
  const random = generator(seed);
  const below = (n: number) => Math.floor(random() * n);
  /* No string of it names a real file: whatever a mutation makes of it, nothing of the machine is run or written. */
  const run = encodeRun(
    b.request(["/nowhere/true", "a"], { env: ["A=1"], rlimits: [{ resource: 7, soft: 9, hard: 9 }] }),
  );
  const key = Buffer.from("some key");
  const read = frame(Frame.READ, 28);
  key.copy(read, 28);
  const others = [
    read,
    frame(Frame.ACK, 16),
    frame(Frame.KILL, 16),
    frame(Frame.RECALL, 12),
    frame(Frame.OPEN_LANE, 4),
  ];
  for (let round = 0; round < 3000; round++) {
    const frames: Buffer[] = round % 10 === 0 ? [] : [helloFrame(2)];
    for (let i = below(4); i >= 0; i--) {
      const bytes = Buffer.from(random() < 0.5 ? run : (others[below(others.length)] as Buffer));
      /* Mostly behind the head, so that the frame is taken apart and not only refused. */
      for (let c = below(4); c >= 0; c--) bytes[random() < 0.05 ? below(8) : 8 + below(bytes.length - 8)] = below(256);
      frames.push(random() < 0.02 ? bytes.subarray(0, below(bytes.length)) : bytes);
    }
    if (round % 100 === 1) frames.push(Buffer.from(Array.from({ length: 5000 }, () => below(256))));
    await throwAt(b, SOCKETS[round % 3 === 0 ? 1 : 0] as string, Buffer.concat(frames));
    for (const pid of pids) assert.ok(alive(pid), `seed ${seed}, round ${round}: ${pid} died`);
  }
  await survives();
});
