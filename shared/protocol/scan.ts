/**
 * Walks a MessagePack frame before anything is decoded: every declared length must be covered by bytes that are really
 * there, so that what decoding allocates is bounded by the frame's own size. Extension types, keys that are not text and
 * deep nesting are refused here, because no message of ours has them.
 */
import { FrameError } from "./frame-error.ts";

/** The deepest message, an argv part inside of a lease, is 10 deep. */
const DEPTH_MAX = 16;

/** Bytes of `__proto__`: the one key that would reach beyond the object it stands in. */
const PROTO = [0x5f, 0x5f, 0x70, 0x72, 0x6f, 0x74, 0x6f, 0x5f, 0x5f];

/** Items still to come per open container; for a map two per entry, a key when the count is even. */
const remaining = new Float64Array(DEPTH_MAX + 1);
const isMap = new Uint8Array(DEPTH_MAX + 1);

/** Throws FrameError unless the bytes are exactly one well-formed MessagePack value within our limits. */
export function scanFrame(bytes: Uint8Array): void {
  const end = bytes.length;
  let at = 0;
  let depth = 0;
  remaining[0] = 1;
  isMap[0] = 0;
  while (true) {
    while (remaining[depth] === 0) {
      if (depth === 0) {
        if (at !== end) throw new FrameError(`the frame has ${end - at} bytes after its message`);
        return;
      }
      depth--;
    }
    const key = isMap[depth] === 1 && (remaining[depth] as number) % 2 === 0;
    remaining[depth]!--;
    if (at >= end) throw new FrameError("the frame ends in the middle of its message");
    const head = bytes[at++] as number;
    let size = 0;
    let items = -1;
    let text = false;
    if (head <= 0x7f || head >= 0xe0) size = 0;
    else if (head <= 0x8f) items = (head & 0x0f) * 2;
    else if (head <= 0x9f) items = head & 0x0f;
    else if (head <= 0xbf) {
      size = head & 0x1f;
      text = true;
    } else {
      const lengthBytes = LENGTH_BYTES[head - 0xc0] as number;
      if (lengthBytes === REFUSED) throw new FrameError(`the frame holds the type 0x${head.toString(16)}`);
      if (lengthBytes === 0) size = FIXED_BYTES[head - 0xc0] as number;
      else {
        if (at + lengthBytes > end) throw new FrameError("the frame ends in the middle of its message");
        let length = 0;
        for (let i = 0; i < lengthBytes; i++) length = length * 256 + (bytes[at++] as number);
        if (head === 0xdc || head === 0xdd) items = length;
        else if (head === 0xde || head === 0xdf) items = length * 2;
        else size = length;
        text = head >= 0xd9 && head <= 0xdb;
      }
    }
    if (key && !text) throw new FrameError("the frame holds a key that is not text");
    if (items >= 0) {
      if (items > end - at) throw new FrameError(`the frame declares ${items} items and has ${end - at} bytes left`);
      if (items > 0) {
        if (depth === DEPTH_MAX) throw new FrameError(`the frame is nested deeper than ${DEPTH_MAX}`);
        depth++;
        remaining[depth] = items;
        isMap[depth] = head <= 0x8f || head >= 0xde ? 1 : 0;
      }
      continue;
    }
    if (size > end - at) throw new FrameError(`the frame declares ${size} bytes and has ${end - at} left`);
    if (key && size === PROTO.length && isProto(bytes, at)) throw new FrameError("the frame holds a forbidden key");
    at += size;
  }
}

function isProto(bytes: Uint8Array, at: number): boolean {
  for (let i = 0; i < PROTO.length; i++) if (bytes[at + i] !== PROTO[i]) return false;
  return true;
}

const REFUSED = 255;
/** For 0xc0 … 0xdf: how many bytes of length follow the head; REFUSED for the unused code and all extensions. */
const LENGTH_BYTES = Uint8Array.from([
  // nil, (unused), false, true, bin 8/16/32, ext 8/16/32
  ...[0, REFUSED, 0, 0, 1, 2, 4, REFUSED, REFUSED, REFUSED],
  // float 32/64, uint 8–64, int 8–64, fixext 1–16
  ...[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, REFUSED, REFUSED, REFUSED, REFUSED, REFUSED],
  // str 8/16/32, array 16/32, map 16/32
  ...[1, 2, 4, 2, 4, 2, 4],
]);
/** For those without a length: bytes of the value itself. */
const FIXED_BYTES = Uint8Array.from([
  ...[0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
  ...[4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 0, 0, 0, 0, 0],
  ...[0, 0, 0, 0, 0, 0, 0],
]);
