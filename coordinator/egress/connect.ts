/**
 * Connections to addresses that users or configuration name. A name is resolved once; what came back is checked, and the
 * socket goes to one of those very addresses: a second answer of the resolver cannot move it. TLS still asks for, and
 * verifies, the name.
 */
import { lookup } from "node:dns/promises";
import { isIP, type LookupFunction, connect as netConnect, type Socket } from "node:net";
import { connect as tlsConnect } from "node:tls";
import { AiravataError } from "../../shared/error/error.ts";
import { canonicalHost } from "./address.ts";
import type { AllowList } from "./allow.ts";

/** All addresses of a name, as getaddrinfo gives them. */
export type Resolve = (host: string) => Promise<readonly string[]>;

export interface Target {
  host: string;
  port: number;
  tls: boolean;
}

export interface ConnectOptions {
  allow: AllowList;
  resolve?: Resolve;
  /** PEM of authorities beside those of Node (which reads more from NODE_EXTRA_CA_CERTS). */
  ca?: string;
}

export type Connect = (target: Target, signal: AbortSignal) => Promise<Socket>;

/** A name with more addresses than that is not asked at all of them: the time limit would end before. */
const ADDRESSES_MAX = 8;

const resolveBySystem: Resolve = async (host) => (await lookup(host, { all: true })).map(({ address }) => address);

/** Resolves with a connected socket. Throws `egress_refused`, `egress_failed`, or what the signal was aborted with. */
export function createConnect({ allow, resolve = resolveBySystem, ca }: ConnectOptions): Connect {
  return async (target, signal) => {
    const host = canonicalHost(target.host);
    if (host === undefined)
      throw new AiravataError("egress_refused", `"${shown(target.host)}" is no host name or address`);
    const addresses = await pinned({ ...target, host }, allow, resolve, signal);
    const socket = await untilConnected(open(host, target.port, addresses), "connect", host, signal);
    const reached = socket.remoteAddress;
    // Undefined: closed again meanwhile.
    if (reached !== undefined && !addresses.includes(canonicalHost(reached) ?? reached)) {
      socket.destroy();
      throw new AiravataError("internal", `a connection to ${host} went elsewhere than to its pinned addresses`);
    }
    if (!target.tls) return socket;
    const secure = tlsConnect({
      socket,
      host,
      // An address is no server name (RFC 6066); the certificate is still checked against it.
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ALPNProtocols: ["http/1.1"],
      // Said, so that NODE_TLS_REJECT_UNAUTHORIZED cannot unsay it.
      rejectUnauthorized: true,
      ...(ca === undefined ? {} : { ca }),
    });
    return untilConnected(secure, "secureConnect", host, signal);
  };
}

async function pinned(target: Target, allow: AllowList, resolve: Resolve, signal: AbortSignal): Promise<string[]> {
  const { host, port } = target;
  const found = isIP(host) === 0 ? await resolved(host, resolve, signal) : [host];
  const refusals = new Set<string>();
  const addresses = found.slice(0, ADDRESSES_MAX).filter((address) => {
    const refusal = allow.refusal(host, port, address);
    if (refusal !== undefined) refusals.add(refusal);
    return refusal === undefined;
  });
  if (addresses.length > 0) return addresses;
  // The kind, not the address: what internal names stand for is not told to whoever asks.
  const kinds = [...refusals].join(", ");
  throw new AiravataError(
    "egress_refused",
    `${shown(host)} ${isIP(host) === 0 ? "stands for" : "is"} a ${kinds} address, which is closed; an operator may open it by AIRAVATA_EGRESS_ALLOW`,
  );
}

async function resolved(host: string, resolve: Resolve, signal: AbortSignal): Promise<string[]> {
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(signal.reason);
  signal.throwIfAborted();
  signal.addEventListener("abort", abort, { once: true });
  try {
    const answers = await Promise.race([resolve(host), aborted.promise]);
    // A zone (fe80::1%eth0) has no canonical form, and nobody outside has business with one.
    const addresses = answers.map((address) => canonicalHost(address)).filter((address) => address !== undefined);
    if (addresses.some((address) => isIP(address) !== 0)) return addresses.filter((address) => isIP(address) !== 0);
    throw new Error("the resolver gave no address");
  } catch (cause) {
    if (signal.aborted) throw signal.reason;
    throw new AiravataError("egress_failed", `the name ${shown(host)} cannot be resolved`, { cause });
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

function open(host: string, port: number, addresses: readonly string[]): Socket {
  const answer = addresses.map((address) => ({ address, family: isIP(address) }));
  const pinnedLookup: LookupFunction = (_host, options, done) => {
    if (options.all) return done(null, answer);
    done(null, answer[0]?.address ?? "", answer[0]?.family);
  };
  return netConnect({ host, port, lookup: pinnedLookup, autoSelectFamily: true, noDelay: true });
}

function untilConnected(
  socket: Socket,
  event: "connect" | "secureConnect",
  host: string,
  signal: AbortSignal,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const finish = (error?: unknown): void => {
      signal.removeEventListener("abort", abort);
      socket.removeListener(event, connected);
      socket.removeListener("error", failed);
      // Errors that come before the next owner listens, or after it is given up, must not end the process.
      socket.on("error", () => {});
      if (error === undefined) {
        resolve(socket);
      } else {
        socket.destroy();
        reject(error);
      }
    };
    const connected = (): void => finish();
    const abort = (): void => finish(signal.reason);
    const failed = (cause: Error): void => {
      const what = event === "connect" ? "cannot be reached" : "did not prove who it is (TLS)";
      finish(new AiravataError("egress_failed", `${shown(host)} ${what}`, { cause }));
    };
    socket.once(event, connected);
    socket.once("error", failed);
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
  });
}

function shown(host: string): string {
  return host.replace(/[^\x21-\x7e]/g, "?").slice(0, 253);
}
