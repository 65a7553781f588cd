/** Opens connections to the dispatcher: within a second or not at all, without delay for small writes. */
import { connect, type Socket, type TcpNetConnectOpts } from "node:net";
import type { PeerTls } from "../edge/peer.ts";

const CONNECT_MS = 1_000;
/** A peer that vanished without a word is noticed by the kernel some minutes later; by the end of its term long before. */
const KEEP_ALIVE_MS = 10_000;

/** What says that a socket is open, of those that are not yet. */
const opening = new WeakMap<Socket, "connect" | "secureConnect">();

/** For `http.request` and its pool: a function that opens what `isTls` of its options asks for. */
export function createDial(peer: PeerTls): (options: object) => Socket {
  return (options) => {
    const { isTls, ...target } = options as TcpNetConnectOpts & { isTls: boolean };
    const wanted = { ...target, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS };
    const socket = isTls ? peer.connect(wanted) : connect(wanted);
    const timer = setTimeout(() => socket.destroy(new Error(`no connection within ${CONNECT_MS} ms`)), CONNECT_MS);
    opening.set(socket, isTls ? "secureConnect" : "connect");
    socket.once(isTls ? "secureConnect" : "connect", () => {
      opening.delete(socket);
      clearTimeout(timer);
    });
    socket.once("close", () => clearTimeout(timer));
    return socket;
  };
}

/** Calls when the socket may be written to: never before it is known who is at the other end. */
export function whenConnected(socket: Socket, send: () => void): void {
  const event = opening.get(socket);
  if (event === undefined) send();
  else
    socket.once(event, () => {
      if (!socket.destroyed) send();
    });
}

/** How an address in the database says that TLS is spoken there. */
export const TLS_PREFIX = "tls://";

/** The parts of `host:port` or `tls://host:port`; an IPv6 address stands in brackets. */
export function hostAndPort(address: string): { host: string; port: number; isTls: boolean } {
  const isTls = address.startsWith(TLS_PREFIX);
  const plain = isTls ? address.slice(TLS_PREFIX.length) : address;
  const at = plain.lastIndexOf(":");
  return { host: plain.slice(0, at).replace(/^\[(.*)\]$/, "$1"), port: Number(plain.slice(at + 1)), isTls };
}
