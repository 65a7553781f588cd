/**
 * Encodes a run for its runner. What could not arrive as it was meant (a NUL, half a surrogate pair, a relative path, a
 * frame beyond the limit) is refused here with `run_invalid`, before anything of it is sent.
 */
import { AiravataError } from "../../../shared/error/error.ts";
import type { RunLimit, RunRequest } from "./contract.ts";
import { FRAME_BYTES_MAX, FRAME_HEAD_BYTES, Frame, KEY_BYTES_MAX, writeU64 } from "./frames.ts";

const RUN_HEAD_BYTES = 40;
const RUN_MAKE_FOLDER = 1;
const LIMIT_BYTES = 20;
const LIMITS_MAX = 32;
/** Most bytes of each stream that travel in the record. */
const INLINE_BYTES = 4096;
const OUTPUT_BYTES_MIN = 4096;
/** As protocol.h: execve counts nine bytes at least for each. */
const STRINGS_MAX = 262_144;

export function encodeRun(request: RunRequest): Buffer {
  const { argv, env } = request;
  const limits = request.rlimits ?? [];
  check(request, limits);
  const keyBytes = Buffer.byteLength(request.key);
  if (keyBytes < 1 || keyBytes > KEY_BYTES_MAX)
    throw invalid(request, `its key has ${keyBytes} bytes and may have 1 to ${KEY_BYTES_MAX}`);
  const paths = `${request.cwd}\0${request.stdoutPath}\0${request.stderrPath}\0${request.cgroupProcs ?? ""}\0`;
  const strings = encodeStrings(request, paths);
  const stringBytes = typeof strings === "string" ? Buffer.byteLength(strings) : strings.length;
  const stringsAt = FRAME_HEAD_BYTES + RUN_HEAD_BYTES + keyBytes + limits.length * LIMIT_BYTES;
  const size = stringsAt + stringBytes;
  if (size > FRAME_BYTES_MAX)
    throw invalid(request, `its arguments and environment make a frame of ${size} bytes, above ${FRAME_BYTES_MAX}`);
  const buffer = Buffer.allocUnsafe(size);
  buffer.writeUInt32LE(size, 0);
  buffer.writeUInt32LE(Frame.RUN, 4);
  writeU64(buffer, Math.max(0, Math.ceil(request.wallMs)), 8);
  writeU64(buffer, Math.floor(request.outputLimitBytes), 16);
  buffer.writeUInt32LE(Math.min(Math.max(0, Math.round(request.graceMs)), 0xffffffff), 24);
  buffer.writeUInt32LE(Math.min(INLINE_BYTES, request.inlineLimitBytes ?? INLINE_BYTES), 28);
  buffer.writeUInt32LE(argv.length, 32);
  buffer.writeUInt32LE(env.length, 36);
  buffer.writeUInt16LE(keyBytes, 40);
  buffer.writeUInt16LE(limits.length, 42);
  buffer.writeUInt32LE(request.makeFolder === true ? RUN_MAKE_FOLDER : 0, 44);
  buffer.write(request.key, 48);
  let at = 48 + keyBytes;
  for (const limit of limits) {
    buffer.writeUInt32LE(limit.resource, at);
    buffer.writeBigUInt64LE(BigInt(limit.soft), at + 4);
    buffer.writeBigUInt64LE(BigInt(limit.hard), at + 12);
    at += LIMIT_BYTES;
  }
  if (typeof strings === "string") buffer.write(strings, stringsAt);
  else strings.copy(buffer, stringsAt);
  return buffer;
}

function check(request: RunRequest, limits: readonly RunLimit[]): void {
  const { argv, env } = request;
  if (argv.length < 1) throw invalid(request, "its argv is empty");
  if (argv.length + env.length > STRINGS_MAX)
    throw invalid(request, `it has ${argv.length + env.length} arguments and variables, above ${STRINGS_MAX}`);
  if (limits.length > LIMITS_MAX) throw invalid(request, `it has ${limits.length} limits, above ${LIMITS_MAX}`);
  if (!request.cwd.startsWith("/")) throw invalid(request, `its folder "${request.cwd}" is not an absolute path`);
  for (const path of [request.stdoutPath, request.stderrPath])
    if (path !== "" && !path.startsWith("/")) throw invalid(request, `its output file "${path}" is no absolute path`);
  if (!(request.outputLimitBytes >= OUTPUT_BYTES_MIN && request.outputLimitBytes <= Number.MAX_SAFE_INTEGER))
    throw invalid(request, `its output limit is ${request.outputLimitBytes} bytes, below ${OUTPUT_BYTES_MIN}`);
  if (!(request.wallMs >= 0 && request.wallMs <= Number.MAX_SAFE_INTEGER))
    throw invalid(request, `its time limit is ${request.wallMs} ms`);
}

/** All strings with a NUL after each: one JavaScript string where all of them are, which is encoded in one go. */
function encodeStrings(request: RunRequest, paths: string): string | Buffer {
  const { argv, env } = request;
  if (!argv.every(isText) || !env.every(isText)) return encodePieces(request, paths);
  const zeros = 4 + argv.length + env.length;
  const text = `${paths}${argv.join("\0")}\0${env.length > 0 ? `${env.join("\0")}\0` : ""}`;
  if (countZeros(text) !== zeros) throw invalid(request, "one of its strings holds a NUL");
  if (!text.isWellFormed()) throw invalid(request, "one of its strings holds half a surrogate pair");
  return text;
}

function isText(item: string | Uint8Array): item is string {
  return typeof item === "string";
}

function countZeros(text: string): number {
  let count = 0;
  for (let at = text.indexOf("\0"); at >= 0; at = text.indexOf("\0", at + 1)) count++;
  return count;
}

function encodePieces(request: RunRequest, paths: string): Buffer {
  const pieces: Uint8Array[] = [Buffer.from(paths)];
  const zero = Buffer.alloc(1);
  for (const item of [...request.argv, ...request.env]) {
    if (typeof item === "string" && !item.isWellFormed())
      throw invalid(request, "one of its strings holds half a surrogate pair");
    const bytes = typeof item === "string" ? Buffer.from(item) : item;
    if (bytes.includes(0)) throw invalid(request, "one of its strings holds a NUL");
    pieces.push(bytes, zero);
  }
  if (countZeros(paths) !== 4) throw invalid(request, "one of its paths holds a NUL");
  return Buffer.concat(pieces);
}

export function invalid(request: { key: string }, why: string): AiravataError {
  return new AiravataError("run_invalid", `The run ${request.key.slice(0, KEY_BYTES_MAX)} cannot be started: ${why}.`, {
    data: { key: request.key },
  });
}
