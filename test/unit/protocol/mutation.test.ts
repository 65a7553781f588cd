/**
 * A hostile or broken frame never crashes either side: a hundred thousand mutated frames per direction either decode or
 * throw FrameError, within time and memory.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeFromAgent, decodeToAgent, encodeFrames } from "../../../shared/protocol/codec.ts";
import { FrameError } from "../../../shared/protocol/frame-error.ts";
import { FROM_AGENT, TO_AGENT } from "./samples.ts";

const FRAMES = 100_000;
const SEED = Number(process.env.SEED ?? 20_261_124);
/** A frame of a few hundred bytes decodes in microseconds; a stall shows as a thousand times that. */
const FRAME_MS_MAX = 250;
const MEMORY_BYTES_MAX = 128 * 1024 * 1024;

for (const [direction, samples, decode] of [
  ["to the agent", TO_AGENT, decodeToAgent],
  ["from the agent", FROM_AGENT, decodeFromAgent],
] as const) {
  test(`${FRAMES} mutated frames ${direction} (SEED=${SEED})`, () => {
    const random = randomFrom(SEED);
    const frames = samples.flatMap((message) => encodeFrames(message)).map((frame) => Buffer.from(frame));
    const before = process.memoryUsage().rss;
    let refused = 0;
    let slowest = 0;
    for (let i = 0; i < FRAMES; i++) {
      const frame = mutate(frames, random);
      const start = performance.now();
      try {
        decode(frame);
      } catch (error) {
        if (!(error instanceof FrameError))
          assert.fail(`frame ${frame.toString("hex")} threw ${(error as Error).stack}`);
        refused++;
      }
      slowest = Math.max(slowest, performance.now() - start);
    }
    assert.ok(refused > FRAMES / 2, `only ${refused} were refused: the mutations are too tame`);
    assert.ok(slowest < FRAME_MS_MAX, `the slowest took ${slowest} ms`);
    assert.ok(process.memoryUsage().rss - before < MEMORY_BYTES_MAX);
    assert.equal(Object.keys(Object.prototype).length, 0);
  });
}

/** One to four of: a bit flipped, a byte set, a length made huge, bytes cut, doubled, or taken from another frame. */
function mutate(frames: Buffer[], random: (below: number) => number): Buffer {
  let frame = Buffer.from(frames[random(frames.length)] as Buffer);
  for (let times = 1 + random(4); times > 0 && frame.length > 0; times--) {
    const at = random(frame.length);
    switch (random(7)) {
      case 0:
        frame[at] = (frame[at] as number) ^ (1 << random(8));
        break;
      case 1:
        frame[at] = random(256);
        break;
      case 2:
        frame[at] = [0xdd, 0xdf, 0xdb, 0xc6, 0xdc, 0xde, 0xd9, 0xc4, 0xcf, 0xcb, 0xc7][random(11)] as number;
        for (let i = at + 1; i < Math.min(frame.length, at + 5); i++) frame[i] = 0xff;
        break;
      case 3:
        frame = frame.subarray(0, at);
        break;
      case 4:
        frame = Buffer.concat([frame.subarray(0, at), frame.subarray(random(at + 1))]);
        break;
      case 5: {
        const other = frames[random(frames.length)] as Buffer;
        frame = Buffer.concat([frame.subarray(0, at), other.subarray(random(other.length))]);
        break;
      }
      default:
        frame = Buffer.concat([frame.subarray(0, at), Buffer.alloc(random(64), random(256)), frame.subarray(at)]);
    }
  }
  return frame;
}

/** mulberry32. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}
