/** The codec: every message survives the way, nothing else gets through, and limits hold on both sides. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Packr } from "msgpackr/pack";
import { FAILED_TAIL_BYTES, FRAME_BYTES_MAX, FRAME_TASKS_MAX } from "../../../shared/model/constants.ts";
import type { ExperimentId } from "../../../shared/model/ids.ts";
import { FROM_AGENT_CHECKS } from "../../../shared/protocol/check/from-agent.ts";
import { TO_AGENT_CHECKS } from "../../../shared/protocol/check/to-agent.ts";
import { decodeFromAgent, decodeToAgent, encodeFrames } from "../../../shared/protocol/codec.ts";
import { FrameError } from "../../../shared/protocol/frame-error.ts";
import type { EndGroup, FromAgent, LeaseGroup, ToAgent } from "../../../shared/protocol/messages.ts";
import { shell, template } from "../../support/agent-templates.ts";
import { FROM_AGENT, TO_AGENT } from "./samples.ts";

const packr = new Packr({ useRecords: false });
const experiment = 17 as ExperimentId;

/** Bytes as numbers and undefined fields left out, so that what was sent and what came compare. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object") return value;
  const fields = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(fields.map(([name, item]) => [name, plain(item)]));
}

test("there is a sample of every message type", () => {
  assert.deepEqual([...new Set(TO_AGENT.map((message) => message.type))].sort(), Object.keys(TO_AGENT_CHECKS).sort());
  assert.deepEqual(
    [...new Set(FROM_AGENT.map((message) => message.type))].sort(),
    Object.keys(FROM_AGENT_CHECKS).sort(),
  );
});

for (const message of TO_AGENT) {
  test(`to the agent: ${message.type} arrives as it was sent`, () => {
    const [frame, ...more] = encodeFrames(message);
    assert.equal(more.length, 0);
    assert.deepEqual(plain(decodeToAgent(frame as Uint8Array)), plain(message));
  });
}

for (const message of FROM_AGENT) {
  test(`from the agent: ${message.type} arrives as it was sent`, () => {
    const [frame, ...more] = encodeFrames(message);
    assert.equal(more.length, 0);
    assert.deepEqual(plain(decodeFromAgent(frame as Uint8Array)), plain(message));
  });
}

test("a field that is undefined is not sent", () => {
  const message = { type: "ack", groups: [], refused: undefined } as unknown as ToAgent;
  assert.deepEqual(plain(decodeToAgent(encodeFrames(message)[0] as Uint8Array)), { type: "ack", groups: [] });
});

test("an unknown type is named, not refused", () => {
  assert.deepEqual(decodeToAgent(packr.pack({ type: "teleport", x: 1 })), { type: "unknown", name: "teleport" });
  assert.deepEqual(decodeFromAgent(packr.pack({ type: "constructor" })), { type: "unknown", name: "constructor" });
});

const broken: [string, unknown][] = [
  ["no object", [1, 2]],
  ["no type", { a: 1 }],
  ["a type that is no text", { type: 5 }],
  ["a fraction where a whole number belongs", { type: "renew", sentAtMs: 1.5 }],
  ["a number beyond 2^53", { type: "renew", sentAtMs: 2 ** 60 }],
  ["a big integer", { type: "renew", sentAtMs: 2n ** 62n }],
  ["NaN", { type: "renew", sentAtMs: Number.NaN }],
  [
    "columns of unequal length",
    { type: "started", groups: [{ experiment, template: 0, indexes: [1, 2], attempts: [1], startedAtMs: [1, 2] }] },
  ],
  [
    "an index beyond a template",
    { type: "started", groups: [{ experiment, template: 0, indexes: [1e7], attempts: [1], startedAtMs: [1] }] },
  ],
  [
    "an empty group",
    { type: "started", groups: [{ experiment, template: 0, indexes: [], attempts: [], startedAtMs: [] }] },
  ],
  ["a message too long", { type: "goodbye", reason: "x".repeat(8_193) }],
  ["bytes that are text", { type: "chunk", request: 1, offset: 0, data: "abc", totalBytes: 3, end: true }],
  ["an unknown reaction", { type: "error", code: "a", message: "b", reaction: "panic" }],
];
for (const [name, message] of broken) {
  test(`from the agent: ${name} is refused`, () => {
    assert.throws(() => decodeFromAgent(packr.pack(message)), FrameError);
  });
}

test("as many tasks as a frame may name are read, one more is refused", () => {
  const started = (count: number): unknown => {
    const column = Array.from({ length: count }, (_, i) => i + 1);
    return {
      type: "started",
      groups: [{ experiment, template: 0, indexes: column, attempts: column, startedAtMs: column }],
    };
  };
  assert.equal(decodeFromAgent(packr.pack(started(FRAME_TASKS_MAX))).type, "started");
  assert.throws(() => decodeFromAgent(packr.pack(started(FRAME_TASKS_MAX + 1))), FrameError);
});

test("a frame of the greatest size is read, one byte more is refused before it is looked at", () => {
  const reason = (bytes: number): Uint8Array => {
    const head = packr.pack({ type: "teleport", reason: "" }).length + 4;
    return packr.pack({ type: "teleport", reason: "x".repeat(bytes - head) });
  };
  assert.equal(reason(FRAME_BYTES_MAX).length, FRAME_BYTES_MAX);
  assert.equal(decodeFromAgent(reason(FRAME_BYTES_MAX)).type, "unknown");
  assert.throws(() => decodeFromAgent(new Uint8Array(FRAME_BYTES_MAX + 1)), /at most/);
});

test("lengths that are declared and not there are refused without being allocated", () => {
  const before = process.memoryUsage().rss;
  // Arrays of 16 million in arrays: decoded as they claim, each would take 128 MB.
  const nested = Buffer.concat(Array.from({ length: 10 }, () => Buffer.from([0xdd, 0x01, 0x00, 0x00, 0x00])));
  for (const frame of [
    nested,
    Buffer.from([0xdf, 0xff, 0xff, 0xff, 0xff]),
    Buffer.from([0xdb, 0xff, 0xff, 0xff, 0xff]),
    Buffer.from([0xc6, 0x7f, 0xff, 0xff, 0xff, 1]),
  ]) {
    assert.throws(() => decodeToAgent(frame), FrameError);
  }
  assert.ok(process.memoryUsage().rss - before < 64 * 1024 * 1024);
});

test("deep nesting, extensions, forbidden keys and trailing bytes are refused", () => {
  let deep: unknown = 1;
  for (let i = 0; i < 100; i++) deep = [deep];
  assert.throws(() => decodeToAgent(packr.pack({ type: "drain", reason: deep })), /deeper/);
  assert.throws(() => decodeToAgent(packr.pack({ type: "drain", reason: new Date() })), /type 0x/);
  const proto = packr.pack(JSON.parse('{"type":"drain","reason":"x","__proto__":{"polluted":1}}'));
  assert.throws(() => decodeToAgent(proto), /forbidden key/);
  assert.equal(({} as Record<string, unknown>).polluted, undefined);
  assert.throws(
    () => decodeToAgent(Buffer.concat([packr.pack({ type: "drain", reason: "x" }), Buffer.from([0])])),
    /after/,
  );
});

test("more leases than a frame names go in several; definitions go once, texts move with their tasks", () => {
  const count = 2 * FRAME_TASKS_MAX + 3;
  const column = Array.from({ length: count }, (_, i) => i + 1);
  const group: LeaseGroup = {
    experiment,
    template: 0,
    indexes: column,
    attempts: column,
    leased: template(),
    medianMs: 0,
  };
  const parts = encodeFrames({ type: "leases", groups: [group] }).map((frame) => decodeToAgent(frame));
  const groups = parts.flatMap((part) => (part.type === "leases" ? part.groups : []));
  assert.deepEqual(
    groups.map((part) => part.indexes.length),
    [FRAME_TASKS_MAX, FRAME_TASKS_MAX, 3],
  );
  assert.deepEqual(
    groups.flatMap((part) => part.indexes),
    column,
  );
  assert.deepEqual(
    groups.map((part) => part.leased !== undefined),
    [true, false, false],
  );
});

test("a report whose texts do not fit into a frame is cut until its parts do", () => {
  const count = 400;
  const column = Array.from({ length: count }, (_, i) => i + 1);
  const zeros = column.map(() => 0);
  const group: EndGroup = {
    experiment,
    template: 0,
    indexes: column,
    attempts: column,
    outcomes: column.map(() => 1),
    blames: column.map(() => 1),
    exitCodes: column.map(() => 1),
    signals: zeros,
    startedAtMs: zeros,
    endedAtMs: zeros,
    cpuMs: zeros,
    memoryMaxBytes: zeros,
    tails: Object.fromEntries(column.map((index, i) => [i, `${index} `.padEnd(FAILED_TAIL_BYTES, "ü")])),
  };
  const frames = encodeFrames({ type: "ended", groups: [group] });
  assert.ok(frames.length > 1 && frames.every((frame) => frame.length <= FRAME_BYTES_MAX));
  const parts = frames.map((frame) => decodeFromAgent(frame) as Extract<FromAgent, { type: "ended" }>);
  const told = parts.flatMap((part) =>
    part.groups.flatMap((it) => it.indexes.map((index, i) => [index, it.tails?.[i]])),
  );
  assert.deepEqual(
    told.map(([index]) => index),
    column,
  );
  assert.ok(told.every(([index, tail]) => String(tail).startsWith(`${index} `)));
});

test("a single task that does not fit into a frame is refused with a sentence", () => {
  const leased = template({ command: shell("x".repeat(FRAME_BYTES_MAX)) });
  const group: LeaseGroup = { experiment, template: 0, indexes: [0], attempts: [1], leased, medianMs: 0 };
  assert.throws(() => encodeFrames({ type: "leases", groups: [group] }), { code: "frame_too_large" });
});
