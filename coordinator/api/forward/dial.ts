/** Opens connections to the dispatcher: within a second or not at all, without delay for small writes. */
import { connect, type Socket, type TcpNetConnectOpts } from "node:net";

const CONNECT_MS = 1_000;
/** A peer that vanished without a word is noticed by the kernel some minutes later; by the end of its term long before. */
const KEEP_ALIVE_MS = 10_000;

/** For `http.request` and its pool. */
export function dial(options: object): Socket {
  const socket = connect({
    ...(options as TcpNetConnectOpts),
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
  });
  const timer = setTimeout(() => socket.destroy(new Error(`no connection within ${CONNECT_MS} ms`)), CONNECT_MS);
  socket.once("connect", () => clearTimeout(timer));
  socket.once("close", () => clearTimeout(timer));
  return socket;
}

/** The parts of `host:port`; an IPv6 address stands in brackets. */
export function hostAndPort(address: string): { host: string; port: number } {
  const at = address.lastIndexOf(":");
  return { host: address.slice(0, at).replace(/^\[(.*)\]$/, "$1"), port: Number(address.slice(at + 1)) };
}
