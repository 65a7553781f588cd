/**
 * Writes a binary WebSocket frame in one piece. `ws` hands header and payload to the socket apart, which for the small
 * frames of ten thousand heartbeats is a third of their cost; a large frame goes its way, since copying would cost more.
 */
import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";

/** Final frame of binary data. */
const BINARY = 0x82;
/** Payload lengths: up to 125 in one byte, up to 65,535 behind 126 in two more. */
const SHORT_MAX = 125;
const MEDIUM = 126;
/** Beyond it the copy costs more than a second buffer. */
const COPIED_MAX = 4_096;

/** `stream` is what the WebSocket was opened on; nothing of it is compressed or masked on this side. */
export function writeFrame(socket: WebSocket, stream: Duplex, payload: Uint8Array, sent: () => void): void {
  const { length } = payload;
  if (length > COPIED_MAX) {
    socket.send(payload, sent);
    return;
  }
  const headBytes = length <= SHORT_MAX ? 2 : 4;
  const frame = Buffer.allocUnsafe(headBytes + length);
  frame[0] = BINARY;
  if (length <= SHORT_MAX) frame[1] = length;
  else {
    frame[1] = MEDIUM;
    frame.writeUInt16BE(length, 2);
  }
  frame.set(payload, headBytes);
  stream.write(frame, sent);
}
