/**
 * How many connections one network may hold that are no WebSockets, so that nobody can take all of them without a word
 * of who he is. Trusted proxies, other coordinators and this machine speak for many and are not counted.
 */
import type { Server } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Logger } from "../../../shared/log/log.ts";
import { networkOf, siteOf } from "../../domain/network.ts";

export interface Crowd {
  /** More than half of all connections are in use: who is refused had better leave. */
  isDense(): boolean;
  /** The connection is a WebSocket, or another coordinator's: it is no longer its network's. */
  release(socket: Duplex): void;
  figures(): Record<string, number>;
}

/** Of a /48 of IPv6: it is one customer, or an institute. */
const FULL_NETWORKS_OF_SITE = 2;
/** What is turned away is told this often at most. */
const TOLD_EVERY_MS = 60_000;

interface CrowdOptions {
  max: number;
  perNetwork: number;
  /** Whose connections are not counted. */
  isExempt(address: string | undefined): boolean;
  log: Logger;
  mono?: () => number;
}

/** Turns away who has too many; once for each server. */
export function boundCrowd(server: Server, options: CrowdOptions): Crowd {
  const { max, perNetwork, isExempt, log, mono = () => performance.now() } = options;
  /** By both ends: of a connection with TLS the server and its requests see different sockets. */
  const open = new Map<string, string[]>();
  const counts = new Map<string, number>();
  let all = 0;
  let refused = 0;
  let untold = 0;
  let tellMono = 0;
  const release = (end: string): void => {
    for (const key of open.get(end) ?? []) {
      const left = (counts.get(key) ?? 1) - 1;
      if (left === 0) counts.delete(key);
      else counts.set(key, left);
    }
    open.delete(end);
  };
  const tell = (network: string): void => {
    refused++;
    untold++;
    if (mono() < tellMono) return;
    log.warn("too many connections of one network: further ones are closed", { network, closed: untold });
    tellMono = mono() + TOLD_EVERY_MS;
    untold = 0;
  };
  server.maxConnections = max;
  server.on("connection", (socket: Socket) => {
    const { remoteAddress } = socket;
    all++;
    socket.once("close", () => all--);
    if (isExempt(remoteAddress)) return;
    const network = networkOf(remoteAddress);
    const site = siteOf(remoteAddress);
    const isFull =
      (counts.get(network) ?? 0) >= perNetwork ||
      (site !== undefined && (counts.get(site) ?? 0) >= perNetwork * FULL_NETWORKS_OF_SITE);
    if (isFull) {
      tell(network);
      socket.destroy();
      return;
    }
    const end = endOf(socket);
    const keys = site === undefined ? [network] : [network, site];
    for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
    open.set(end, keys);
    socket.once("close", () => release(end));
  });
  return {
    isDense: () => all > max / 2,
    release: (socket) => release(endOf(socket as Socket)),
    figures: () => ({ connections: all, connections_refused_total: refused }),
  };
}

function endOf({ remoteAddress = "", remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
