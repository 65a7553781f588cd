/** Where a coordinator is reached: by clients on this machine, and by other coordinators. */
import type { AddressInfo } from "node:net";
import { type NetworkInterfaceInfo, networkInterfaces } from "node:os";
import { AiravataError } from "../shared/error/error.ts";

/** Who listens everywhere is reached on loopback from here. */
export function localUrl({ address, family, port }: AddressInfo, isTls = false): string {
  const scheme = isTls ? "https" : "http";
  if (isWildcard(address)) return `${scheme}://${address === "::" ? "[::1]" : "127.0.0.1"}:${port}`;
  return `${scheme}://${bracketed(address, family)}:${port}`;
}

/**
 * `host:port` for other coordinators: what the setting says, with the port that is listened on where it names none; by
 * default the address that is listened on, and of one that listens everywhere the machine's first own one.
 */
export function internalAddress(setting: InternalAddress | undefined, listening: AddressInfo): string {
  if (setting !== undefined) return `${setting.host}:${setting.port ?? listening.port}`;
  const { address, family, port } = listening;
  if (!isWildcard(address)) return `${bracketed(address, family)}:${port}`;
  const own = Object.values(networkInterfaces())
    .flatMap((all): NetworkInterfaceInfo[] => all ?? [])
    .filter((one) => !one.internal && !/^fe80:/i.test(one.address));
  const first = own.find((one) => one.family === "IPv4") ?? own[0];
  return first ? `${bracketed(first.address, first.family)}:${port}` : `127.0.0.1:${port}`;
}

export interface InternalAddress {
  /** An IPv6 address in brackets. */
  host: string;
  port: number | undefined;
}

/** Throws `setting_invalid`. */
export function parseInternalAddress(text: string | undefined): InternalAddress | undefined {
  if (text === undefined) return undefined;
  const match = /^(\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z]([0-9A-Za-z._-]{0,251}[0-9A-Za-z])?)(?::(\d{1,5}))?$/.exec(text);
  const port = match?.[3] === undefined ? undefined : Number(match[3]);
  if (match?.[1] !== undefined && (port === undefined || (port >= 1 && port <= 65_535)))
    return { host: match[1], port };
  throw new AiravataError(
    "setting_invalid",
    `--internal-address must be HOST or HOST:PORT where other coordinators reach this one (an IPv6 address in brackets), not "${text}"`,
  );
}

function isWildcard(address: string): boolean {
  return address === "0.0.0.0" || address === "::";
}

function bracketed(address: string, family: string): string {
  return family === "IPv6" ? `[${address}]` : address;
}
