/**
 * Decodes the records of a lane: the same bytes that stand in its results file (agent/runner/protocol.h, `struct
 * record`). The runner has checked them; a size that does not add up is a protocol error.
 */
import type { EndCause, EndedEvent, EndStage, HeldRun, StartedEvent, StreamEnd } from "./contract.ts";
import { readNsAsMs, readU64 } from "./frames.ts";

const STARTED_BYTES = 48;
const ENDED_BYTES = 128;
const HELD_BYTES = 32;
/** Blocks read and written, where the flag says that they stand behind the output. */
const STORAGE_BYTES = 16;
/** What the kernel counts blocks in, whatever the disk's own are. */
const BLOCK_BYTES = 512;
const KIND_STARTED = 1;
const EMPTY = Buffer.alloc(0);

const CAUSES: readonly EndCause[] = ["exit", "exit", "signal", "timeout", "killed", "spawn", "disk", "runner_lost"];
const STAGES: readonly (EndStage | null)[] = [
  null,
  "setsid",
  "cgroup",
  "rlimit",
  "chdir",
  "stdio",
  "exec",
  "fork",
  "pipe",
  "output",
  "record",
  "folder",
];
const Flag = { OUT_CUT: 1, ERR_CUT: 2, OUT_FILE: 4, ERR_FILE: 8, CORE: 16, FOLDER_EMPTY: 128, STORAGE: 256 } as const;

export interface DecodedRecord {
  /** What an acknowledgement names. */
  seq: number;
  event: StartedEvent | EndedEvent;
}

/** The record at [from, to) of the buffer, or undefined when it is none. */
export function decodeRecord(buffer: Buffer, from: number, to: number, lane: number): DecodedRecord | undefined {
  if (to - from < STARTED_BYTES) return undefined;
  const seq = readU64(buffer, from + 16);
  const keyBytes = buffer.readUInt16LE(from + 14);
  const startedAtMs = Math.round(readNsAsMs(buffer, from + 24));
  if (buffer[from + 12] === KIND_STARTED) {
    if (from + STARTED_BYTES + keyBytes > to) return undefined;
    const event: StartedEvent = {
      type: "started",
      key: buffer.toString("utf8", from + STARTED_BYTES, from + STARTED_BYTES + keyBytes),
      lane,
      pid: buffer.readInt32LE(from + 32),
      startTicks: readU64(buffer, from + 40),
      startedAtMs,
    };
    return { seq, event };
  }
  const outInline = to - from < ENDED_BYTES ? 0 : buffer.readUInt32LE(from + 120);
  const errInline = to - from < ENDED_BYTES ? 0 : buffer.readUInt32LE(from + 124);
  const keyAt = from + ENDED_BYTES;
  const outAt = keyAt + keyBytes;
  if (outAt + outInline + errInline > to) return undefined;
  const flags = buffer.readUInt16LE(from + 36);
  const storageAt = (flags & Flag.STORAGE) !== 0 ? outAt + outInline + errInline : -1;
  if (storageAt >= 0 && storageAt + STORAGE_BYTES > to) return undefined;
  const exitCode = buffer.readInt32LE(from + 64);
  const signal = buffer.readInt32LE(from + 68);
  const event: EndedEvent = {
    type: "ended",
    key: buffer.toString("utf8", keyAt, outAt),
    lane,
    cause: CAUSES[buffer[from + 38] as number] ?? "runner_lost",
    exitCode: exitCode < 0 ? null : exitCode,
    signal: signal === 0 ? null : signal,
    stage: STAGES[buffer[from + 39] as number] ?? null,
    errno: buffer.readInt32LE(from + 72),
    startedAtMs,
    endedAtMs: Math.round(readNsAsMs(buffer, from + 48)),
    durationMs: readNsAsMs(buffer, from + 56),
    cpuMs: (readU64(buffer, from + 80) + readU64(buffer, from + 88)) / 1000,
    maxRssBytes: readU64(buffer, from + 96),
    readBytes: storageAt < 0 ? 0 : readU64(buffer, storageAt) * BLOCK_BYTES,
    writtenBytes: storageAt < 0 ? 0 : readU64(buffer, storageAt + 8) * BLOCK_BYTES,
    stdout: stream(buffer, readU64(buffer, from + 104), outAt, outInline, flags & Flag.OUT_FILE, flags & Flag.OUT_CUT),
    stderr: stream(
      buffer,
      readU64(buffer, from + 112),
      outAt + outInline,
      errInline,
      flags & Flag.ERR_FILE,
      flags & Flag.ERR_CUT,
    ),
    coreDumped: (flags & Flag.CORE) !== 0,
    folderEmpty: (flags & Flag.FOLDER_EMPTY) !== 0,
    leftBehind: buffer.readUInt32LE(from + 76),
  };
  return { seq, event };
}

function stream(buffer: Buffer, bytes: number, at: number, size: number, inFile: number, cut: number): StreamEnd {
  /* A copy: a few bytes of output must not keep a whole socket buffer alive. */
  const inline = inFile !== 0 ? null : size === 0 ? EMPTY : Buffer.from(buffer.subarray(at, at + size));
  return { bytes, inline, truncated: cut !== 0 };
}

/** The body of a `held` frame. */
export function decodeHeld(buffer: Buffer, from: number, to: number, lane: number): HeldRun | undefined {
  if (to - from < HELD_BYTES) return undefined;
  return {
    key: buffer.toString("utf8", from + HELD_BYTES, to),
    lane,
    phase: buffer.readUInt32LE(from) === 1 ? "queued" : "running",
    pid: buffer.readInt32LE(from + 4),
    startTicks: readU64(buffer, from + 8),
    startedAtMs: Math.round(readNsAsMs(buffer, from + 16)),
  };
}
