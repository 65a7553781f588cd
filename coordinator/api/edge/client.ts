/**
 * Where a request comes from: the one place that decides which address counts for limits, audit and logs, and whether it
 * came by TLS. What proxies say about it is believed of those only that the operator named.
 */
import type { IncomingMessage } from "node:http";
import { BlockList, isIP } from "node:net";
import type { TLSSocket } from "node:tls";
import { AiravataError } from "../../../shared/error/error.ts";
import { plainAddress } from "../../domain/network.ts";

export interface ClientOrigin {
  /** An IPv4-mapped address is written as IPv4. */
  address: string;
  /** By our own listener, or by what a trusted proxy says of itself. */
  isSecure: boolean;
  /** From loopback, and not for somebody else as a proxy says it. */
  isLoopback: boolean;
  /** On this machine: from loopback, where no trusted proxy lives who might have said nothing. */
  isLocal: boolean;
}

/** Hops of one `X-Forwarded-For` that are looked at; nobody has more proxies of his own. */
const HOPS_MAX = 20;

const origins = new WeakMap<IncomingMessage, ClientOrigin>();

/** The address of the client that sent the request, through whatever proxies and coordinators it came. */
export function clientAddress(request: IncomingMessage): string {
  return origins.get(request)?.address ?? plainAddress(request.socket.remoteAddress);
}

/** Whether the request was made on this machine, and through no proxy. */
export function isLocal(request: IncomingMessage): boolean {
  return origins.get(request)?.isLocal ?? isFromLoopback(request);
}

/** Keeps for `clientAddress` and `isLocal` what was found out about the request. */
export function noteOrigin(request: IncomingMessage, origin: ClientOrigin): ClientOrigin {
  origins.set(request, origin);
  return origin;
}

/** How requests are traced back through the proxies of `trusted` (addresses and CIDR). Throws `setting_invalid`. */
export function createOriginFinder(trusted: readonly string[]): (request: IncomingMessage) => ClientOrigin {
  const isTrusted = createProxyList(trusted);
  return (request) => {
    const peer = plainAddress(request.socket.remoteAddress);
    const isTls = (request.socket as TLSSocket).encrypted === true;
    const isLoopback = isFromLoopback(request);
    if (!isTrusted(peer)) return { address: peer, isSecure: isTls, isLoopback, isLocal: isLoopback };
    return {
      address: clientOf(peer, request.headers["x-forwarded-for"], isTrusted),
      isSecure: isTls || lastOf(request.headers["x-forwarded-proto"])?.toLowerCase() === "https",
      isLoopback,
      isLocal: false,
    };
  };
}

/** Whether an address, as `plainAddress` writes it, is of `trusted`. Throws `setting_invalid`. */
function createProxyList(trusted: readonly string[]): (address: string) => boolean {
  const proxies = blockListOf(trusted);
  return (address) => isIP(address) !== 0 && proxies.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");
}

/** Whose connections are of many, or of nobody from outside: trusted proxies' and loopback's. Throws `setting_invalid`. */
export function createExemption(trusted: readonly string[]): (address: string | undefined) => boolean {
  const isTrusted = createProxyList(trusted);
  return (address) => {
    const plain = plainAddress(address);
    return isLoopbackAddress(plain) || isTrusted(plain);
  };
}

/** A proxy on this machine also comes from loopback, but says for whom it asks. */
function isFromLoopback({ headers, socket }: IncomingMessage): boolean {
  if (headers["x-forwarded-for"] !== undefined || headers.forwarded !== undefined) return false;
  return isLoopbackAddress(plainAddress(socket.remoteAddress));
}

function isLoopbackAddress(address: string): boolean {
  return isIP(address) === 4 ? address.startsWith("127.") : address === "::1";
}

/** From the nearest hop outwards, as far as those who say so are trusted. */
function clientOf(peer: string, forwarded: string | string[] | undefined, isTrusted: (a: string) => boolean): string {
  const hops = String(forwarded ?? "")
    .split(",")
    .slice(-HOPS_MAX)
    .map((hop) => plainAddress(hop.trim().replace(/^\[(.*)\](:\d+)?$/, "$1")))
    .map((hop) => hop.replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, "$1"));
  let client = peer;
  while (hops.length > 0 && isTrusted(client)) {
    const hop = hops.pop() as string;
    // Not an address: the nearest one that is counts.
    if (isIP(hop) === 0) break;
    client = hop;
  }
  return client;
}

/** The nearest proxy's word stands last. */
function lastOf(header: string | string[] | undefined): string | undefined {
  return header === undefined ? undefined : String(header).split(",").at(-1)?.trim();
}

function blockListOf(entries: readonly string[]): BlockList {
  const list = new BlockList();
  for (const entry of entries) {
    const [address = "", length, ...more] = entry.split("/");
    const family = isIP(address);
    const bits = length === undefined ? (family === 6 ? 128 : 32) : Number(length);
    const isLength = more.length === 0 && (length === undefined || /^\d{1,3}$/.test(length));
    if (family === 0 || !isLength || bits > (family === 6 ? 128 : 32)) {
      throw new AiravataError(
        "setting_invalid",
        `--trusted-proxies (AIRAVATA_TRUSTED_PROXIES) takes addresses and networks like 10.0.0.0/8, not "${entry}"`,
      );
    }
    list.addSubnet(address, bits, family === 6 ? "ipv6" : "ipv4");
  }
  return list;
}
