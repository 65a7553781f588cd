/**
 * The client's half of a WebSocket on a bare TCP socket, as little as a simulated agent needs: thousands of them share two
 * cores with the coordinator that is measured. It opens, sends binary frames and takes whole small ones.
 */
import { connect, type Socket } from "node:net";

export interface SocketEvents {
  frame(data: Buffer): void;
  /** Once, whatever ended it. */
  closed(): void;
}

const BINARY = 0x82;
const CLOSE = 0x88;
const MASKED = 0x80;
/** Lengths up to 125 stand in the second byte; 126 says that two bytes follow, which is all we take. */
const SHORT_MAX = 125;
const TWO_BYTES = 126;

export class FleetSocket {
  private readonly socket: Socket;
  private readonly events: SocketEvents;
  private isOpen = false;
  private rest: Buffer = Buffer.alloc(0);

  constructor(url: URL, localAddress: string, events: SocketEvents) {
    this.events = events;
    this.socket = connect({ host: url.hostname, port: Number(url.port), localAddress, noDelay: true });
    this.socket.once("connect", () =>
      this.socket.write(
        `GET /api/v1/agent/session HTTP/1.1\r\nHost: ${url.host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
      ),
    );
    this.socket.on("data", (data) => this.take(data));
    // Told by `close` as well.
    this.socket.on("error", () => {});
    this.socket.once("close", () => events.closed());
  }

  /** The mask is zeros: masking hides nothing here, and costs. */
  send(payload: Uint8Array): void {
    if (!this.isOpen) return;
    const short = payload.length <= SHORT_MAX;
    const frame = Buffer.alloc((short ? 2 : 4) + 4 + payload.length);
    frame[0] = BINARY;
    frame[1] = MASKED | (short ? payload.length : TWO_BYTES);
    if (!short) frame.writeUInt16BE(payload.length, 2);
    frame.set(payload, frame.length - payload.length);
    this.socket.write(frame);
  }

  private take(data: Buffer): void {
    this.rest = this.rest.length === 0 ? data : Buffer.concat([this.rest, data]);
    if (!this.isOpen && !this.open()) return;
    for (;;) {
      const { rest } = this;
      const two = ((rest[1] ?? 0) & 127) === TWO_BYTES;
      const from = two ? 4 : 2;
      if (rest.length < from) return;
      const length = two ? rest.readUInt16BE(2) : (rest[1] as number) & 127;
      if (rest.length < from + length) return;
      this.rest = rest.subarray(from + length);
      if (rest[0] === BINARY) this.events.frame(rest.subarray(from, from + length));
      else if (rest[0] === CLOSE) this.socket.end();
    }
  }

  /** True when the head of the answer is complete and says that the socket is open. */
  private open(): boolean {
    const end = this.rest.indexOf("\r\n\r\n");
    if (end < 0) return false;
    if (!this.rest.subarray(0, 12).equals(Buffer.from("HTTP/1.1 101"))) {
      this.socket.destroy();
      return false;
    }
    this.isOpen = true;
    this.rest = this.rest.subarray(end + 4);
    return true;
  }
}
