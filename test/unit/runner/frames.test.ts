/** The client's half of the protocol: its numbers are those of protocol.h, and what cannot be said is refused. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { RunRequest } from "../../../agent/run/supervisor/contract.ts";
import {
  ackFrame,
  FRAME_BYTES_MAX,
  Frame,
  FrameReader,
  frame,
  helloFrame,
  KEY_BYTES_MAX,
  LANE_QUEUE_MAX,
  LANES_MAX,
  PROTOCOL_VERSION,
} from "../../../agent/run/supervisor/frames.ts";
import { decodeRecord } from "../../../agent/run/supervisor/record.ts";
import { encodeRun } from "../../../agent/run/supervisor/request.ts";
import { AiravataError } from "../../../shared/error/error.ts";

const HEADER = readFileSync(new URL("../../../agent/runner/protocol.h", import.meta.url), "utf8");
const WORDS = readFileSync(new URL("../../../agent/runner/PROTOCOL.md", import.meta.url), "utf8");

function defined(name: string): number {
  const match = new RegExp(`#define ${name} \\(?(\\d+)u?(?: << (\\d+))?`).exec(HEADER);
  assert.ok(match, name);
  return Number(match[1]) * 2 ** Number(match[2] ?? 0);
}

test("frame types and limits are those of protocol.h, and PROTOCOL.md names every one", () => {
  for (const [name, number] of Object.entries(Frame)) {
    assert.match(HEADER, new RegExp(`FRAME_${name} = ${number},`));
    assert.match(WORDS, new RegExp(`\\| ${number} \\| \`${name.toLowerCase()}\``));
  }
  assert.equal(PROTOCOL_VERSION, defined("PROTOCOL_VERSION"));
  assert.equal(FRAME_BYTES_MAX, defined("FRAME_MAX_BYTES"));
  assert.equal(KEY_BYTES_MAX, defined("KEY_MAX_BYTES"));
  assert.equal(LANES_MAX, defined("LANES_MAX"));
  assert.equal(LANE_QUEUE_MAX, defined("QUEUE_MAX"));
});

test("a reader takes frames out of pieces of any size and refuses lengths that lie", () => {
  const all = Buffer.concat([helloFrame(3), frame(Frame.STOP, 0), ackFrame([1, 2 ** 40])]);
  for (const step of [1, 3, 8, 19, all.length]) {
    const seen: string[] = [];
    const reader = new FrameReader((type, buffer, from, to) =>
      seen.push(`${type}:${buffer.toString("hex", from, to)}`),
    );
    for (let at = 0; at < all.length; at += step) assert.ok(reader.push(all.subarray(at, at + step)));
    assert.deepEqual(seen, ["1:010000000100000003000000", "18:", "35:01000000000000000000000000010000"]);
  }
  for (const size of [0, 7, FRAME_BYTES_MAX + 1]) {
    const bytes = frame(1, 0);
    bytes.writeUInt32LE(size, 0);
    assert.equal(new FrameReader(() => assert.fail()).push(bytes), false);
  }
});

const GOOD: RunRequest = {
  key: "1.2.3.4",
  argv: ["/bin/true"],
  env: [],
  cwd: "/",
  stdoutPath: "/o",
  stderrPath: "",
  outputLimitBytes: 4096,
  wallMs: 0,
  graceMs: 0,
};

test("text and bytes make the same frame", () => {
  const text = encodeRun({ ...GOOD, argv: ["/bin/x", "ä€"], env: ["A=🙂"] });
  const bytes = encodeRun({ ...GOOD, argv: ["/bin/x", Buffer.from("ä€")], env: ["A=🙂"] });
  assert.deepEqual(text, bytes);
});

test("what could not arrive as it was meant is refused", () => {
  const cases: [Partial<RunRequest>, RegExp][] = [
    [{ argv: [] }, /argv is empty/],
    [{ argv: ["a\0b"] }, /NUL/],
    [{ argv: ["a"], env: ["A=\0"] }, /NUL/],
    [{ argv: [Buffer.from("a\0")] }, /NUL/],
    [{ argv: [Buffer.from("a")], cwd: "/a\0" }, /NUL/],
    [{ argv: ["\ud800"] }, /surrogate/],
    [{ argv: [Buffer.from("a"), "\udc00"] }, /surrogate/],
    [{ cwd: "relative" }, /absolute/],
    [{ stdoutPath: "o" }, /absolute/],
    [{ key: "" }, /key has 0 bytes/],
    [{ key: "ä".repeat(101) }, /key has 202 bytes/],
    [{ outputLimitBytes: 4095 }, /output limit/],
    [{ outputLimitBytes: Number.NaN }, /output limit/],
    [{ wallMs: -1 }, /time limit/],
    [{ argv: Array.from({ length: 43 }, () => "x".repeat(100_000)) }, /frame of/],
    [{ rlimits: Array.from({ length: 33 }, () => ({ resource: 1, soft: 1, hard: 1 })) }, /33 limits/],
  ];
  assert.ok(encodeRun({ ...GOOD, key: "k".repeat(200) }));
  for (const [change, message] of cases)
    assert.throws(
      () => encodeRun({ ...GOOD, ...change }),
      (error) => error instanceof AiravataError && error.code === "run_invalid" && message.test(error.message),
    );
});

test("a record that does not add up is none", () => {
  assert.equal(decodeRecord(Buffer.alloc(47), 0, 47, 0), undefined);
  const record = Buffer.alloc(136);
  record[12] = 2;
  assert.ok(decodeRecord(record, 0, 136, 0));
  record.writeUInt32LE(100, 120);
  assert.equal(decodeRecord(record, 0, 136, 0), undefined);
});

test("what a task moved stands behind its output, where the flag says so; without it nothing is read there", () => {
  const record = Buffer.alloc(128 + 8 + 16);
  record[12] = 2;
  record.writeUInt32LE(3, 120);
  record.writeUInt32LE(5, 124);
  record.writeBigUInt64LE(7n, 136);
  record.writeBigUInt64LE(2n ** 31n, 144);
  const moved = (bytes: number) => {
    const event = decodeRecord(record, 0, bytes, 0)?.event;
    return event?.type === "ended" ? [event.readBytes, event.writtenBytes] : undefined;
  };
  assert.deepEqual(moved(152), [0, 0]);
  record.writeUInt16LE(256, 36);
  assert.deepEqual(moved(152), [7 * 512, 2 ** 40]);
  assert.equal(moved(151), undefined);
});
