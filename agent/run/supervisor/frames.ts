/**
 * Frames of the control protocol (agent/runner/PROTOCOL.md, whose numbers are in agent/runner/protocol.h): the head,
 * the small bodies, and a reader that takes frames out of a byte stream without trusting their lengths.
 */
/** Exported for tests, which compare it with protocol.h. */
export const PROTOCOL_VERSION = 1;
export const FRAME_HEAD_BYTES = 8;
/** 2 MiB of arguments and environment, and room. */
export const FRAME_BYTES_MAX = 4 * 1024 * 1024;
export const KEY_BYTES_MAX = 200;
export const LANES_MAX = 1024;
/** Runs that may wait behind the running one. */
export const LANE_QUEUE_MAX = 16;

export const Frame = {
  HELLO: 1,
  WELCOME: 2,
  ERROR: 3,
  OPEN_LANE: 16,
  LANE: 17,
  STOP: 18,
  RUN: 32,
  KILL: 33,
  RECALL: 34,
  ACK: 35,
  READ: 36,
  RECORD: 48,
  HELD: 49,
  READY: 50,
  ANSWER: 51,
  DATA: 52,
} as const;

export const Answer = { UNKNOWN: 0, RUNNING: 1, REMOVED: 2 } as const;

/** Codes of an error frame that are acted on. */
export const ERROR_VERSION = 2;
export const ERROR_BUSY = 3;

/** Role of an agent in a hello. */
const ROLE_AGENT = 1;

/** A frame of that type with room for a body; the head is filled in. */
export function frame(type: number, bodyBytes: number): Buffer {
  const buffer = Buffer.allocUnsafe(FRAME_HEAD_BYTES + bodyBytes);
  buffer.writeUInt32LE(buffer.length, 0);
  buffer.writeUInt32LE(type, 4);
  return buffer;
}

export function helloFrame(lanes: number): Buffer {
  const buffer = frame(Frame.HELLO, 12);
  buffer.writeUInt32LE(PROTOCOL_VERSION, 8);
  buffer.writeUInt32LE(ROLE_AGENT, 12);
  buffer.writeUInt32LE(lanes, 16);
  return buffer;
}

export function openLaneFrame(lane: number): Buffer {
  const buffer = frame(Frame.OPEN_LANE, 4);
  buffer.writeUInt32LE(lane, 8);
  return buffer;
}

export function killFrame(request: number, key: Buffer, graceMs: number): Buffer {
  const buffer = frame(Frame.KILL, 8 + key.length);
  buffer.writeUInt32LE(request, 8);
  buffer.writeUInt32LE(Math.min(Math.max(0, Math.round(graceMs)), 0xffffffff), 12);
  key.copy(buffer, 16);
  return buffer;
}

export function recallFrame(request: number, key: Buffer): Buffer {
  const buffer = frame(Frame.RECALL, 4 + key.length);
  buffer.writeUInt32LE(request, 8);
  key.copy(buffer, 12);
  return buffer;
}

export function readFrame(request: number, key: Buffer, stream: 1 | 2, offset: number, maxBytes: number): Buffer {
  const buffer = frame(Frame.READ, 20 + key.length);
  buffer.writeUInt32LE(request, 8);
  buffer.writeUInt32LE(stream, 12);
  buffer.writeBigUInt64LE(BigInt(offset), 16);
  buffer.writeUInt32LE(maxBytes, 24);
  key.copy(buffer, 28);
  return buffer;
}

export function ackFrame(seqs: readonly number[]): Buffer {
  const buffer = frame(Frame.ACK, 8 * seqs.length);
  let at = FRAME_HEAD_BYTES;
  for (const seq of seqs) {
    writeU64(buffer, seq, at);
    at += 8;
  }
  return buffer;
}

/** Numbers of the protocol stay below 2^53 except nanoseconds, which are read as milliseconds anyway. */
export function readU64(buffer: Buffer, at: number): number {
  return buffer.readUInt32LE(at + 4) * 0x1_0000_0000 + buffer.readUInt32LE(at);
}

export function writeU64(buffer: Buffer, value: number, at: number): void {
  buffer.writeUInt32LE(value % 0x1_0000_0000, at);
  buffer.writeUInt32LE(Math.floor(value / 0x1_0000_0000), at + 4);
}

/** Nanoseconds to milliseconds: exact to a quarter of a microsecond for wall-clock times. */
export function readNsAsMs(buffer: Buffer, at: number): number {
  return readU64(buffer, at) / 1e6;
}

/** Takes whole frames out of what a socket delivers. `onFrame` gets the buffer and the bounds of the body. */
export class FrameReader {
  #rest: Buffer | undefined;
  readonly #onFrame: (type: number, buffer: Buffer, from: number, to: number) => void;

  constructor(onFrame: (type: number, buffer: Buffer, from: number, to: number) => void) {
    this.#onFrame = onFrame;
  }

  /** False: what came is no frame, the connection is of no more use. */
  push(chunk: Buffer): boolean {
    const buffer = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = undefined;
    let at = 0;
    while (buffer.length - at >= FRAME_HEAD_BYTES) {
      const size = buffer.readUInt32LE(at);
      if (size < FRAME_HEAD_BYTES || size > FRAME_BYTES_MAX) return false;
      if (buffer.length - at < size) break;
      this.#onFrame(buffer[at + 4] as number, buffer, at + FRAME_HEAD_BYTES, at + size);
      at += size;
    }
    if (at < buffer.length) this.#rest = buffer.subarray(at);
    return true;
  }
}
