/**
 * Whose address counts as one: for limits, throttles and bounds. Who has one address of IPv6 has at least 2^64 of them,
 * and who pays a little has a /48, 65,536 times as many.
 */
import { isIPv6 } from "node:net";

/**
 * What a /48 may do in an address' stead, in all: as much as so many of its networks. Sixteen are a site's own nets of
 * people; behind them stand 65,536 that cost nothing more.
 */
export const NETWORKS_PER_SITE = 16;

/** An IPv4-mapped address is written as IPv4. */
export function plainAddress(address: string | null | undefined): string {
  return (address ?? "unknown").replace(/^::ffff:(?=\d+\.)/i, "").replace(/%.*$/, "");
}

/** An address of IPv4, the /64 of IPv6. */
export function networkOf(address: string | null | undefined): string {
  return prefixOf(plainAddress(address), 4);
}

/** The /48 of an address of IPv6; IPv4 has nothing like it. */
export function siteOf(address: string | null | undefined): string | undefined {
  const plain = plainAddress(address);
  return isIPv6(plain) ? prefixOf(plain, 3) : undefined;
}

function prefixOf(address: string, length: number): string {
  if (!isIPv6(address)) return address;
  // A dotted tail is two groups of the lower half, which is cut off.
  const [head = "", tail] = address.replace(/\d+\.\d+\.\d+\.\d+$/, "0:0").split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const groups = tail === undefined ? left : [...left, ...Array(8 - left.length - right.length).fill("0"), ...right];
  const upper = groups.slice(0, length).map((group) => Number.parseInt(group, 16).toString(16));
  return `${upper.join(":")}::/${16 * length}`;
}
