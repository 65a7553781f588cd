/** Ends a WebSocket politely, and for good soon after: a peer that does not answer the close must not hold its place. */
import type { WebSocket } from "ws";

const CLOSE_GRACE_MS = 1_000;
/** A close frame has room for 123 bytes of reason. */
const REASON_BYTES_MAX = 120;

export function closeSocket(socket: WebSocket, reason: string): void {
  socket.close(1000, reason.replace(/[^\x20-\x7e]/g, "?").slice(0, REASON_BYTES_MAX));
  const timer = setTimeout(() => socket.terminate(), CLOSE_GRACE_MS);
  timer.unref();
  socket.once("close", () => clearTimeout(timer));
  // A paused socket would never see the answer.
  if (socket.isPaused) socket.resume();
}
