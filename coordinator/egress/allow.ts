/**
 * The operator's allow list: what may be called although it is not public. An entry is an address, a range, a host name
 * or `*.` and the end of one; an address or a name may have a port. Cloud metadata is open only when its very address
 * is an entry, so that no wide range opens it by accident.
 */
import { BlockList, isIP, isIPv6 } from "node:net";
import { AiravataError } from "../../shared/error/error.ts";
import { addRange, type ClosedKind, canonicalHost, closedKind, embeddedIpv4 } from "./address.ts";

export interface AllowList {
  /** Why this address may not be called for this host; undefined when it may. Host and address are canonical. */
  refusal(host: string, port: number, address: string): ClosedKind | undefined;
}

interface Place {
  host: string;
  /** Undefined: any. */
  port: number | undefined;
}

/** Throws `setting_invalid` that names the entry. */
export function parseAllowList(entries: readonly string[]): AllowList {
  const ranges = new BlockList();
  const places: Place[] = [];
  const suffixes: Place[] = [];
  for (const entry of entries.map((text) => text.trim()).filter((text) => text !== "")) {
    if (entry.includes("/")) addRange(ranges, checkedRange(entry));
    else if (entry.startsWith("*.")) suffixes.push(placeOf(entry, entry.slice(2)));
    else places.push(placeOf(entry, entry));
  }
  const names = (list: readonly Place[], port: number, matches: (host: string) => boolean): boolean =>
    list.some((place) => (place.port === undefined || place.port === port) && matches(place.host));
  const isInRange = (address: string): boolean => ranges.check(address, isIPv6(address) ? "ipv6" : "ipv4");

  const refusal = (host: string, port: number, address: string): ClosedKind | undefined => {
    const kind = closedKind(address);
    if (kind === undefined) return undefined;
    const isExact = names(places, port, (entry) => entry === address);
    if (isExact) return undefined;
    if (kind === "metadata") return kind;
    const inner = embeddedIpv4(address);
    // Who opens a whole translated range has not opened everything that it leads to.
    if (inner !== undefined) return isInRange(address) && !isMapped(address) ? refusal(host, port, inner) : kind;
    const isNamed =
      names(places, port, (entry) => entry === host) || names(suffixes, port, (entry) => host.endsWith(`.${entry}`));
    return isNamed || isInRange(address) ? undefined : kind;
  };
  return { refusal };
}

/** `::ffff:10.0.0.1` reaches 10.0.0.1 and is written by nobody who means it: it stays closed, also by a range. */
function isMapped(address: string): boolean {
  return address.startsWith("::ffff:");
}

function checkedRange(entry: string): string {
  const [address = "", bits = "", ...rest] = entry.split("/");
  const canonical = canonicalHost(address);
  const bitsMax = isIPv6(address) ? 128 : 32;
  if (isIP(address) === 0 || canonical === undefined || rest.length > 0 || !/^\d{1,3}$/.test(bits))
    throw refused(entry);
  if (Number(bits) > bitsMax) throw refused(entry);
  return `${canonical}/${Number(bits)}`;
}

function placeOf(entry: string, text: string): Place {
  const withPort = isIP(text) === 0 ? /^(.*):(\d{1,5})$/.exec(text) : null;
  const host = canonicalHost(withPort?.[1] ?? text);
  const port = withPort === null ? undefined : Number(withPort[2]);
  if (host === undefined || (port !== undefined && (port < 1 || port > 65_535))) throw refused(entry);
  return { host, port };
}

function refused(entry: string): AiravataError {
  return new AiravataError(
    "setting_invalid",
    `AIRAVATA_EGRESS_ALLOW: "${entry.slice(0, 100)}" is neither an address (10.1.2.3), a range (10.0.0.0/8), a host (idp.example.org), the end of one (*.example.org), nor one of them but a range with a port (idp.example.org:8443)`,
  );
}
