/**
 * Who holds a connection without using it: half-open handshakes, requests that never end, answers that nobody takes.
 * Each is bounded in time, handshakes in number too. A followed log that is silent is none of these.
 */
import type { Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { networkOf } from "../../domain/network.ts";

/**
 * A peer that vanished without a word (a node that lost its power) is asked for by the kernel after this; nine unanswered
 * probes, 75 s apart by Linux' default, end its socket: within 13 minutes nothing of it is left.
 */
export const KEEP_ALIVE = { keepAlive: true, keepAliveInitialDelay: 60_000 } as const;

export interface Patience {
  /** A TLS handshake: a few round trips of the slowest line; also behind a busy loop that serves ten thousand of them. */
  handshakeMs: number;
  /** From the connection, or the end of the request before, to the last header: 80 kB at most, so at 64 kbit/s. */
  headersMs: number;
  /** From a request's first byte to its last: a body of 8 MiB at 2 Mbit/s. */
  requestMs: number;
  /** A client that takes nothing of its answer, not a byte: a pager between us and a person stops for a page that is read. */
  answerMs: number;
  /** Time limits of requests are looked at this often: what is late is cut off that much later at most. */
  lookMs: number;
}

export const PATIENCE: Patience = {
  handshakeMs: 10_000,
  headersMs: 10_000,
  requestMs: 35_000,
  answerMs: 120_000,
  lookMs: 2_000,
};

/**
 * Handshakes under way: a whole fleet comes back within seconds, and one takes about a millisecond of a processor; what is
 * turned away comes again with its back-off. 100 kB each, so 400 MB for 10 s at the very worst.
 */
const HANDSHAKES_MAX = 4_096;
/** Of one network: a fleet behind one address comes back over some seconds, and eight are needed to keep all others out. */
const NETWORKS_TO_FILL = 8;

/** Cuts off answers that are not taken. Of an upgraded socket Node does not tell the server any more. */
export function boundAnswers(server: Server, { answerMs }: Patience): void {
  /** The latest answer on each socket. */
  const answers = new WeakMap<Socket, ServerResponse>();
  server.setTimeout(answerMs);
  server.on("request", (request, response) => void answers.set(request.socket, response));
  // Fires when not a byte has moved for so long.
  server.on("timeout", (socket: Socket) => {
    const isThinking = answers.get(socket)?.writableEnded === false && socket.writableLength === 0;
    if (!isThinking) socket.destroy();
  });
}

/** Turns away who comes while too many have not finished their handshake. Exempt ones, who speak for many, count for all only. */
export function boundHandshakes(
  server: Server,
  isExempt: (address: string | undefined) => boolean,
  max = HANDSHAKES_MAX,
  perNetwork = max / NETWORKS_TO_FILL,
): void {
  const open = new Map<string, string>();
  const byNetwork = new Map<string, number>();
  const done = (end: string): void => {
    const network = open.get(end);
    if (network === undefined) return;
    open.delete(end);
    const left = (byNetwork.get(network) ?? 1) - 1;
    if (left === 0) byNetwork.delete(network);
    else byNetwork.set(network, left);
  };
  server.on("connection", (socket: Socket) => {
    // Turned away already, as one of too many connections.
    if (socket.destroyed) return;
    const { remoteAddress, remotePort } = socket;
    const network = networkOf(remoteAddress);
    const count = byNetwork.get(network) ?? 0;
    if (open.size >= max || (count >= perNetwork && !isExempt(remoteAddress))) {
      socket.destroy();
      return;
    }
    const end = `${remoteAddress} ${remotePort}`;
    open.set(end, network);
    byNetwork.set(network, count + 1);
    socket.once("close", () => done(end));
  });
  server.on("secureConnection", ({ remoteAddress = "", remotePort }: TLSSocket) =>
    done(`${remoteAddress} ${remotePort}`),
  );
}
